"""How each of the four services starts: one process, a thread for each request, a clean end.

Every service listens on 9080 unless told otherwise, as in the original; here they share one machine, so the port is an option, or the
variable ``PORT``.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.serving import BaseWSGIServer

__all__ = ["DEFAULT_PORT", "create_server", "serve"]

DEFAULT_PORT = 9080


class RequestHandler(WSGIRequestHandler):
    """One line of log a request, and answers that leave at once."""

    disable_nagle_algorithm = True
    """TCP_NODELAY. Werkzeug writes head and body apart; with Nagle's algorithm the body waits for the peer's delayed acknowledgement:
    about 40 ms at each hop once a proxy keeps the connection open."""


def create_server(app: Flask, host: str, port: int) -> BaseWSGIServer:
    """Bind ``app`` to ``host`` and ``port`` (0: any free one, see ``server.port``); it answers once ``serve_forever`` runs."""
    return make_server(host, port, app, threaded=True, request_handler=RequestHandler)


def serve(app: Flask) -> None:
    """Run ``app`` until SIGTERM or Ctrl-C, which end the process with status 0 through the interpreter's usual exit.

    SIGTERM's default action would skip that exit, and with it whatever the process still has to deliver.
    """
    options = _parse(app.name)
    server = create_server(app, options.host, options.port)
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: sys.exit(0))
    print(f"{app.name} listens on http://{options.host}:{server.port}", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()


def _parse(name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"{name}.py", description=f"Bookinfo's {name} service")
    # A string default goes through `type` as well, so a PORT that is not a number gets the same clear message as the option.
    parser.add_argument("--port", type=int, default=os.environ.get("PORT", str(DEFAULT_PORT)), help="default: 9080")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (0.0.0.0 inside a container)")
    return parser.parse_args()
