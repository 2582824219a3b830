"""reviews: what readers wrote. v1 stands alone; v2 (black stars) and v3 (red stars) ask ratings.

ENABLE_RATINGS=true STAR_COLOR=red python reviews.py --port 9083
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import requests
from flask import Flask, jsonify
from flask import request as incoming
from serving import serve
from upstreams import base_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask.typing import ResponseReturnValue

__all__ = ["create_app"]

TEXTS = {
    "Reviewer1": "Two pairs of twins, one town, and nobody asks the obvious question. I laughed until the last page.",
    "Reviewer2": "Fast, loud and over too soon. Not the poet at his deepest, but surely at his quickest.",
}


def create_app(environment: Mapping[str, str] = os.environ) -> Flask:
    """The service's two routes; ``environment`` decides the version.

    v2 waits 10 s for ratings and v3 2.5 s, while productpage waits 3 s for either: a slow ratings service breaks v2's page and costs v3
    only its stars. That mismatch is deliberate; it is there to be found.
    """
    app = Flask("reviews")
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider
    wants_ratings = environment.get("ENABLE_RATINGS", "false").lower() == "true"
    color = environment.get("STAR_COLOR", "black")
    timeout = 10.0 if color == "black" else 2.5
    ratings_url = base_url("ratings", environment)

    @app.get("/health")
    def health() -> ResponseReturnValue:
        return jsonify(status="Reviews is healthy")

    @app.get("/reviews/<int:product_id>")
    def reviews(product_id: int) -> ResponseReturnValue:
        entries: list[dict[str, object]] = [{"reviewer": name, "text": text} for name, text in TEXTS.items()]
        if wants_ratings:
            stars = _get_stars(f"{ratings_url}/ratings/{product_id}", timeout)
            for entry in entries:
                entry["rating"] = _rating(stars, str(entry["reviewer"]), color)
        # "null" is a string in the original too: it joins its JSON by hand, in Java.
        return jsonify(
            id=str(product_id),
            podname=environment.get("HOSTNAME", "null"),
            clustername=environment.get("CLUSTER_NAME", "null"),
            reviews=entries,
        )

    return app


def _get_stars(url: str, timeout: float) -> dict[str, object] | None:
    """Stars by reviewer, or None if ratings did not answer well in time."""
    # The user's name travels along, so that a mesh can route each user to a version of its own. Nothing about tracing is needed here.
    headers = {name: incoming.headers[name] for name in ("end-user",) if name in incoming.headers}
    try:
        response = requests.get(url, headers=headers, timeout=timeout)
        stars = response.json()["ratings"] if response.ok else None
    except (requests.RequestException, KeyError, TypeError):
        return None
    return stars if isinstance(stars, dict) else None


def _rating(stars: dict[str, object] | None, reviewer: str, color: str) -> dict[str, object]:
    if stars is None or reviewer not in stars:
        return {"error": "Ratings service is currently unavailable"}
    return {"stars": stars[reviewer], "color": color}


if __name__ == "__main__":
    serve(create_app())
