"""threading: a thread inherits the active span of whoever starts it. ``Timer`` does too, being a thread.

Only an application's own threads. Those that a library starts for the whole process, at the moment when a request happens to need
them first (a pool's workers, a queue's feeder, a driver's monitor), inherit nothing: all they ever do would end in that one trace. A long-lived
thread of the application's own that is started inside a request is left out by OpenTracing's ``no_parent_scope()``.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

from sls_tracing.guard import Guard
from sls_tracing.inheritance import inheritance, without_inheritance
from sls_tracing.instrumentation._function_patch import FunctionPatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sls_tracing.inheritance import Inheritance
    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["LIBRARIES", "patches"]

LIBRARIES = frozenset(
    """
    aliyun anyio apscheduler asgiref asyncio botocore celery concurrent confluent_kafka datadog ddtrace
    elasticapm eventlet gevent google grpc gunicorn http jaeger_client kafka kazoo kombu logging multiprocessing
    newrelic opentelemetry pika prometheus_client psycopg_pool pymongo queue redis s3transfer sentry_sdk
    sls_tracing socketserver sqlalchemy statsd threadloop tornado urllib3 uvicorn waitress watchdog werkzeug
    wsgiref xmlrpc
    """.split()  # noqa: SIM905 - a list literal would take 49 lines
)
"""Top-level packages whose threads serve the process and not the caller."""

_NO_OWN_RUN = object()
_guard = Guard("instrumentation_threading")


def patches(module: ModuleType, tracer: TracerSource) -> list[FunctionPatch]:
    """Return the patch for ``threading``, not yet installed."""
    return [FunctionPatch(module.Thread, "start", _start)]


def _start(
    wrapped: Callable[..., None], thread: threading.Thread, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    inherited = inheritance()
    if inherited is None:
        wrapped(*args, **kwargs)
        return
    if _guard.call(False, _serves_the_process, thread):
        without_inheritance(wrapped, *args, **kwargs)
        return
    run = _Run(thread, inherited)
    started = False
    try:
        # Where threading is gevent's, a greenlet is spawned in here, and Python 3.14 may copy the context: neither shall take
        # along the span itself.
        without_inheritance(wrapped, *args, **kwargs)
        started = True
    finally:
        if not started:  # it was running already, or the system has no more threads: it is left as it was
            run.restore()


class _Run:
    """Stands before the thread's ``run`` until that is called, as an attribute of the one object.

    A patch of ``Thread.run`` would miss the subclasses that override it without calling it. The attribute is gone before the
    application's code runs, and with it the circle of references.
    """

    def __init__(self, thread: threading.Thread, inherited: Inheritance) -> None:
        self._thread = thread
        self._inheritance = inherited
        self._before = vars(thread).get("run", _NO_OWN_RUN)
        vars(thread)["run"] = self

    def __call__(self) -> None:
        self.restore()
        self._inheritance.run(self._thread.run)

    def restore(self) -> None:
        """Take itself off the thread."""
        if vars(self._thread).get("run") is self:
            if self._before is _NO_OWN_RUN:
                del vars(self._thread)["run"]
            else:
                vars(self._thread)["run"] = self._before


def _serves_the_process(thread: threading.Thread) -> bool:
    """Return whether the code that the thread will run belongs to one of the libraries above."""
    run: Any = type(thread).run
    if run is threading.Thread.run:
        run = getattr(thread, "_target", None)
    elif run is threading.Timer.run:
        run = thread.function  # type: ignore[attr-defined]
    while isinstance(run, functools.partial):
        run = run.func
    return (getattr(run, "__module__", None) or "").partition(".")[0] in LIBRARIES
