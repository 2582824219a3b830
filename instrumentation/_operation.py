"""One unit of work and its span, whatever library does it: what HTTP, databases, messages and gRPC have in common.

Everything here is guarded: whatever a tracer raises is counted, logged at a limited rate and gone; only the application's own
exceptions pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import opentracing

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._redaction import redact_text
from sls_tracing.values import error_fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from types import TracebackType
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Operation", "extract", "guard"]

guard = Guard("instrumentation")

_NO_ERRORS = (StopIteration, StopAsyncIteration, GeneratorExit)
"""How iterables end: PEP 3333 bodies, and gunicorn's way out of a request at shutdown."""
_UNREADABLE = (
    opentracing.InvalidCarrierException,
    opentracing.SpanContextCorruptedException,
    opentracing.UnsupportedFormatException,
)


class Operation:
    """A span and its life. ``with operation:`` makes it the active one for that block, in this thread and context only.

    An exception that leaves the block is recorded and ends the span; otherwise :meth:`finish` does. Never keep the block open across a
    ``yield`` to the application.
    """

    __slots__ = ("__weakref__", "_logged", "_scope", "finished", "span", "tracer")

    def __init__(self, tracer: opentracing.Tracer, span: opentracing.Span) -> None:
        self.tracer = tracer
        self.span = span
        self.finished = False
        self._scope: Any = None
        self._logged = 0

    @property
    def is_recorded(self) -> bool:
        """False when tags would go nowhere, as far as the tracer tells: ours says so in ``context.sampled``."""
        recording = getattr(self.span, "is_recording", None)
        return getattr(self.span.context, "sampled", None) is not False if recording is None else bool(recording)

    def __enter__(self) -> None:
        with guard:
            self._scope = self.tracer.scope_manager.activate(self.span, False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            with guard:
                scope.close()
        if error is not None:
            if not isinstance(error, _NO_ERRORS):
                self.failed(error)
            self.finish()

    def run(self, function: Callable[..., T], args: Iterable[Any], kwargs: Mapping[str, Any]) -> T:
        """Return ``function(*args, **kwargs)``, which is the whole work."""
        with self:
            result = function(*args, **kwargs)
        self.finish()
        return result

    async def run_async(
        self, function: Callable[..., Awaitable[T]], args: Iterable[Any], kwargs: Mapping[str, Any]
    ) -> T:
        """The same for a coroutine function."""
        with self:
            result = await function(*args, **kwargs)
        self.finish()
        return result

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set each tag on the span."""
        with guard:
            for key, value in tags.items():
                self.span.set_tag(key, value)

    def log(self, fields: Mapping[str, object]) -> None:
        """Log ``fields`` on the span."""
        with guard:
            self.span.log_kv(fields)

    def failed(self, error: BaseException) -> None:
        """Mark the span as failed and log ``error`` on it, without the secrets that its text may quote; once, wherever it passes again."""
        if self.finished or self._logged == id(error):
            return
        self._logged = id(error)  # the object itself would keep its frames alive, and with them the request
        with guard:
            self.span.set_tag("error", True)
            self.span.log_kv(self._error_log(error))

    def finish(self) -> None:
        """Finish the span; later calls do nothing."""
        if not self.finished:
            self.finished = True
            guard.call_method(None, self.span, "finish")

    def _error_log(self, error: BaseException) -> dict[str, Any]:
        """OpenTracing's fields for an exception, with the object itself where its text is free of secrets."""
        fields: dict[str, Any] = dict(error_fields(error))
        redacted = {key: self._redact(value) if isinstance(value, str) else value for key, value in fields.items()}
        if redacted == fields:
            redacted["error.object"] = error
        return redacted

    def _redact(self, text: str) -> str:
        return redact_text(text)


def extract(
    tracer: opentracing.Tracer, carrier: Mapping[str, str], carrier_format: str = opentracing.Format.HTTP_HEADERS
) -> opentracing.SpanContext | None:
    """Return the context that ``carrier`` (names in lower case) brings; None if it brings none that can be read."""
    with guard:
        try:
            return tracer.extract(carrier_format, carrier)
        except _UNREADABLE:  # a tracer may say so of headers that are malformed, or just not there: a new trace begins
            pass
    return None
