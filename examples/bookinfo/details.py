"""details: what is known about a book. A leaf: it calls nobody.

python details.py --port 9081
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, jsonify
from serving import serve

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

__all__ = ["create_app"]


def create_app() -> Flask:
    """The service's two routes."""
    app = Flask("details")
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider

    @app.get("/health")
    def health() -> ResponseReturnValue:
        return jsonify(status="Details is healthy")

    @app.get("/details/<product_id>")
    def details(product_id: str) -> ResponseReturnValue:
        if not (product_id.isascii() and product_id.isdigit() and len(product_id) < 19):
            return jsonify(error="the product id must be a number"), 400
        return jsonify(
            {
                "id": int(product_id),
                "author": "William Shakespeare",
                "year": 1595,
                "type": "paperback",
                "pages": 200,
                "publisher": "PublisherA",
                "language": "English",
                "ISBN-10": "1234567890",
                "ISBN-13": "123-1234567890",
            }
        )

    return app


if __name__ == "__main__":
    serve(create_app())
