"""ratings: the stars that each reviewer gave. A leaf: it calls nobody.

SERVICE_VERSION=v-faulty python ratings.py --port 9082          (the versions: see faults.py)
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from faults import Faults
from flask import Flask, jsonify, request
from serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.typing import ResponseReturnValue

__all__ = ["create_app"]

RATINGS = {"Reviewer1": 5, "Reviewer2": 4}


def create_app(faults: Faults, *, sleep: Callable[[float], None] = time.sleep) -> Flask:
    """The service's routes, disturbed by ``faults``. Posted ratings live as long as the process."""
    app = Flask("ratings")
    posted: dict[int, dict[str, object]] = {}

    @app.get("/health")
    def health() -> ResponseReturnValue:
        if not faults.healthy():
            return jsonify(status="Ratings is not healthy"), 500
        return jsonify(status="Ratings is healthy")

    @app.get("/ratings/<product_id>")
    def get_ratings(product_id: str) -> ResponseReturnValue:
        number = _parse(product_id)
        if number is None:
            return _not_a_number()
        sleep(faults.delay())
        if faults.unavailable():
            return jsonify(error="Service unavailable"), 503
        return jsonify(id=number, ratings=posted.get(number, RATINGS))

    @app.post("/ratings/<product_id>")
    def post_ratings(product_id: str) -> ResponseReturnValue:
        number = _parse(product_id)
        if number is None:
            return _not_a_number()
        # force: the original reads the body as JSON whatever its content type says.
        body = request.get_json(force=True, silent=True)
        if not isinstance(body, dict):
            return jsonify(error="the body must be a JSON object of reviewers and their stars"), 400
        posted[number] = body
        return jsonify(id=number, ratings=body)

    return app


def _parse(product_id: str) -> int | None:
    return int(product_id) if product_id.isascii() and product_id.isdigit() and len(product_id) < 19 else None


def _not_a_number() -> ResponseReturnValue:
    return jsonify(error="the product id must be a number"), 400


if __name__ == "__main__":
    serve(create_app(Faults(os.environ.get("SERVICE_VERSION", "v1"))))
