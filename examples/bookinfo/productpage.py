"""productpage: the front of the shop. It asks details, then reviews, and makes a page of both.

DETAILS_HOSTNAME=localhost DETAILS_SERVICE_PORT=9081 python productpage.py --port 9080
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

import requests
from flask import Flask, Response, jsonify, redirect, render_template, request, session
from request_results import RequestResults
from serving import serve
from upstreams import base_url

try:
    from sls_tracing import traced
except ImportError:  # The service runs just as well without.

    def traced(function: Any) -> Any:  # type: ignore[no-redef]
        """Stand in for the decorator."""
        return function


if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask.typing import ResponseReturnValue

__all__ = ["create_app"]

TIMEOUT = 3.0
"""Seconds, for each call to another service."""

REVIEWS_ATTEMPTS = 2
"""A deliberate defect of Bookinfo: the second try makes a slow reviews service twice as slow, which is what its fault-injection lesson shows."""

PRODUCTS = [
    {
        "id": 0,
        "title": "The Comedy of Errors",
        "descriptionHtml": (
            "Two brothers, parted as infants and called by the <em>same name</em>, spend a day in the same town, each with a servant "
            "who is the other servant's double. Dinners are served to the wrong man, debts are claimed from the wrong man, and by "
            "evening all of Ephesus is certain that somebody has gone mad. It is Shakespeare's shortest play."
        ),
    }
]


class Answer(NamedTuple):
    """Another service's answer: its status (500 if there was none, or no sense in it) and JSON body, or an object with ``error``."""

    status: int
    body: Any


class Upstreams:
    """The three services behind the page. Each call is one plain GET on a connection of its own, as in the original."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._urls = {name: base_url(name, environment) for name in ("details", "reviews", "ratings")}
        self.results = RequestResults()

    def details(self, product_id: object) -> Answer:
        """Author, publisher, pages and the like."""
        return self._get("details", product_id)

    @traced
    def reviews(self, product_id: object) -> Answer:
        """The reviews, asked for twice if need be. The decorator shows both tries under one span."""
        for _ in range(REVIEWS_ATTEMPTS):
            answer = self._get("reviews", product_id)
            if answer.status == 200:
                break
        return answer

    def ratings(self, product_id: object) -> Answer:
        """The stars alone."""
        return self._get("ratings", product_id)

    async def flood_reviews(self, product_id: object, times: int) -> None:
        """``times`` more calls to reviews, all at once, their answers thrown away (FLOOD_FACTOR, for lessons on rate limits)."""
        headers = _headers()
        await asyncio.gather(
            *(asyncio.to_thread(self._fetch, "reviews", product_id, headers) for _ in range(times)),
        )

    def _get(self, service: str, product_id: object) -> Answer:
        answer = self._fetch(service, product_id, _headers())
        self.results.count(service, answer.status)
        return answer

    def _fetch(self, service: str, product_id: object, headers: dict[str, str]) -> Answer:
        url = f"{self._urls[service]}/{service}/{quote(str(product_id), safe='')}"
        try:
            response = requests.get(url, headers=headers, timeout=TIMEOUT)
            status = response.status_code
            if status == 200:
                return Answer(200, _json_object(response))
        except requests.RequestException:
            status = 500
        return Answer(status, {"error": f"Sorry, product {service} are currently unavailable for this book."})


def create_app(environment: Mapping[str, str] = os.environ) -> Flask:
    """The page, the API and the metrics.

    Raises ValueError if ``FLOOD_FACTOR`` is not a number. ``SECRET_KEY`` signs the login cookie; several replicas must share one.
    """
    app = Flask("productpage", template_folder=str(Path(__file__).parent / "templates"))
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider
    app.secret_key = environment.get("SECRET_KEY") or os.urandom(32)
    upstreams = Upstreams(environment)
    flood_factor = _flood_factor(environment)

    @app.get("/")
    @app.get("/index.html")
    def index() -> ResponseReturnValue:
        return render_template("index.html", products=PRODUCTS)

    @app.get("/health")
    def health() -> ResponseReturnValue:
        return Response("Product page is healthy", content_type="text/plain; charset=utf-8")

    @app.get("/metrics")
    def metrics() -> ResponseReturnValue:
        return Response(upstreams.results.exposition(), content_type=RequestResults.CONTENT_TYPE)

    @app.get("/productpage")
    def productpage() -> ResponseReturnValue:
        product = PRODUCTS[0]
        details = upstreams.details(product["id"])
        if flood_factor:
            asyncio.run(upstreams.flood_reviews(product["id"], flood_factor))
        reviews = upstreams.reviews(product["id"])
        return render_template(
            "productpage.html",
            product=product,
            details=details,
            reviews=reviews,
            user=session.get("user", ""),
        )

    _add_login(app)
    _add_api(app, upstreams)
    return app


def _add_login(app: Flask) -> None:
    @app.post("/login")
    def login() -> ResponseReturnValue:
        session["user"] = request.values.get("username", "")
        return redirect(_previous_page())

    @app.get("/logout")
    def logout() -> ResponseReturnValue:
        session.pop("user", None)
        return redirect(_previous_page())


def _add_api(app: Flask, upstreams: Upstreams) -> None:
    @app.get("/api/v1/products")
    def products() -> ResponseReturnValue:
        return jsonify(PRODUCTS)

    @app.get("/api/v1/products/<product_id>")
    def product(product_id: str) -> ResponseReturnValue:
        return _as_json(upstreams.details(product_id))

    @app.get("/api/v1/products/<product_id>/reviews")
    def product_reviews(product_id: str) -> ResponseReturnValue:
        return _as_json(upstreams.reviews(product_id))

    @app.get("/api/v1/products/<product_id>/ratings")
    def product_ratings(product_id: str) -> ResponseReturnValue:
        return _as_json(upstreams.ratings(product_id))


def _json_object(response: requests.Response) -> dict[str, Any]:
    body = response.json()
    if not isinstance(body, dict):
        raise requests.JSONDecodeError("an object was expected", response.text, 0)
    return body


def _as_json(answer: Answer) -> ResponseReturnValue:
    return jsonify(answer.body), answer.status


def _headers() -> dict[str, str]:
    """The user's name goes along, so that a mesh can route each user to a version of its own. Nothing about tracing is needed here."""
    user = session.get("user")
    return {"end-user": user} if user else {}


def _previous_page() -> str:
    """Where the user came from, as a path of this site only: a Referer is the client's word and may name any host."""
    path = urlsplit(request.referrer or "").path
    return path if path.startswith("/") and not path.startswith("//") else "/productpage"


def _flood_factor(environment: Mapping[str, str]) -> int:
    text = environment.get("FLOOD_FACTOR") or "0"
    if not text.isdecimal():
        raise ValueError(f"FLOOD_FACTOR must be a number of extra requests, 0 or more, not {text!r}")
    return int(text)


if __name__ == "__main__":
    serve(create_app())
