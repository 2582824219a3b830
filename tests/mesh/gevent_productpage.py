"""productpage once more, for gunicorn's gevent workers: no request goes on to reviews before all of them are in flight."""

from __future__ import annotations

import os
import threading

import gevent
import requests
from flask import Flask, request

app = Flask("productpage")
all_here = threading.Barrier(int(os.environ["IN_FLIGHT"]))  # of greenlets: the worker has patched threading


@app.get("/productpage/<key>")
def productpage(key: str) -> str:
    url = f"http://127.0.0.1:{request.args['outbound']}/reviews/{key}"

    def call() -> None:
        all_here.wait(60)
        with requests.Session() as session:
            session.trust_env = False
            session.get(url, timeout=30).raise_for_status()

    gevent.spawn(call).get()
    return "page"
