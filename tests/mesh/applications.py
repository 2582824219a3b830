"""The services of these tests, in this process. They note the headers of every request under its key, the last part of its path.

productpage asks reviews, both with the library under test; ``plain`` takes productpage's place without it. They serve every mesh: the
client's query says through which outbound listener productpage is to ask.
"""

from __future__ import annotations

import http.client
import threading
from typing import TYPE_CHECKING, Any

import requests
from flask import Flask, request
from serving import create_server

from sls_tracing.suppression import suppress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Applications", "Headers", "plain_get"]

Headers = dict[str, str]


class Applications:
    """All three, on free ports (``ports``). ``ways`` are how productpage makes its call: ``?by=NAME``."""

    def __init__(self) -> None:
        self.received: dict[str, Headers] = {}
        self.forwarded: dict[str, Headers] = {}
        self.arrived: dict[str, Headers] = {}
        self.ways: dict[str, Callable[[Callable[[], None]], None]] = {"itself": lambda call: call()}
        self._servers: list[Any] = []
        applications = {"productpage": self._productpage(), "reviews": self._reviews(), "plain": self._plain}
        self.ports = {name: self._serve(application) for name, application in applications.items()}

    def _productpage(self) -> Flask:
        app = Flask("productpage")

        @app.get("/productpage/<key>")
        def productpage(key: str) -> str:
            self.received[key] = _lower(request.headers.items())
            url = f"http://127.0.0.1:{request.args['outbound']}/reviews/{key}"

            def call() -> None:
                with requests.Session() as session:
                    session.trust_env = False
                    response = session.get(url, timeout=30)
                response.raise_for_status()
                self.forwarded[key] = _lower(response.request.headers.items())

            self.ways[request.args.get("by", "itself")](call)
            return "page"

        return app

    def _reviews(self) -> Flask:
        app = Flask("reviews")

        @app.get("/reviews/<key>")
        def reviews(key: str) -> str:
            self.arrived[key] = _lower(request.headers.items())
            return "reviews"

        return app

    def _plain(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """An application without the library: it copies the headers that ``?copy=`` names, then sets those of ``&set=name:value``."""
        key = environ["PATH_INFO"].rpartition("/")[2]
        query = dict(pair.partition("=")[::2] for pair in environ["QUERY_STRING"].split("&"))
        names = [name for name in environ if name.startswith("HTTP_")]
        received = {name[5:].lower().replace("_", "-"): environ[name] for name in names}
        forwarded = {name: received[name] for name in query.get("copy", "").split(",") if name in received}
        forwarded |= dict(pair.split(":") for pair in query.get("set", "").split(",") if pair)
        self.received[key], self.forwarded[key] = received, forwarded
        plain_get(int(query["outbound"]), f"/reviews/{key}", forwarded)
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]

    def _serve(self, application: Any) -> int:
        server = create_server(application, "127.0.0.1", 0)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self._servers.append((server, thread))
        return int(server.port)

    def close(self) -> None:
        for server, thread in self._servers:
            server.shutdown()
            thread.join()
            server.server_close()


def plain_get(port: int, path: str, headers: Headers) -> int:
    """The status of a GET with just these headers, from a client that no instrumentation touches."""
    with suppress():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()


def _lower(headers: Iterable[tuple[str, str]]) -> Headers:
    return {name.lower(): value for name, value in headers}
