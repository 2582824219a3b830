"""logging: every record knows the trace and span that were active when it was made, for whatever formatter asks.

    %(trace_id)s   %(span_id)s   as Jaeger shows them, in hex; empty where no span is active
    %(sampled)s    1 if the trace is recorded, 0 if not; empty where no span is active
    %(service)s    the tracer's service name, with a span or without

They are ordinary attributes, so JSON formatters that write what is on a record write them too. An application that gives one of these names as
``extra`` keeps its own value: logging itself would raise KeyError over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import opentracing

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._function_patch import FunctionPatch

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["FORMAT", "patches"]

FORMAT = "%(asctime)s %(levelname)s [%(service)s,%(trace_id)s,%(span_id)s,%(sampled)s] %(name)s: %(message)s"
"""For ``logging.basicConfig(format=…)``: the layout that Spring's services use."""

_NAMES = ("trace_id", "span_id", "sampled", "service")
_EXTRA = 8
"""Where ``extra`` stands among the positional arguments of ``Logger.makeRecord``."""
_NOTHING = ("", "", "", "")
_guard = Guard("instrumentation_logging")


def patches(module: ModuleType, tracer: TracerSource) -> list[FunctionPatch | _Factory]:
    """Return the patches for ``logging``, not yet installed."""
    hooks = _Hooks(tracer)
    return [_Factory(module, hooks), FunctionPatch(module.Logger, "makeRecord", hooks.make_record)]


class _Factory:
    """The factory of records, which calls the one that was there. Records that are not made by a logger come from it, too."""

    def __init__(self, module: Any, hooks: _Hooks) -> None:
        self._module = module
        self._hooks = hooks
        self._enabled = False

    def install(self) -> None:
        if self._enabled:
            return
        self._enabled = True
        before = self._before = self._module.getLogRecordFactory()

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record: logging.LogRecord = before(*args, **kwargs)
            if self._enabled:
                self._hooks.complete(vars(record))
            return record

        self._factory = factory
        self._module.setLogRecordFactory(factory)

    def remove(self) -> None:
        self._enabled = False
        # Another factory may have been put around ours since: then ours stays, and passes records on.
        if self._module.getLogRecordFactory() is getattr(self, "_factory", None):
            self._module.setLogRecordFactory(self._before)


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer

    def make_record(
        self, wrapped: Callable[..., Any], logger: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``Logger.makeRecord``: lets the application's ``extra`` win, and completes records of a factory that does not call ours."""
        extra = args[_EXTRA] if len(args) > _EXTRA else kwargs.get("extra")
        own: dict[str, Any] = {}
        if extra:
            own = {name: extra[name] for name in _NAMES if name in extra}
            if own:
                rest = {name: value for name, value in extra.items() if name not in own}
                if len(args) > _EXTRA:
                    args = (*args[:_EXTRA], rest, *args[_EXTRA + 1 :])
                else:
                    kwargs = {**kwargs, "extra": rest}
        record = wrapped(*args, **kwargs)
        attributes = vars(record)
        if "trace_id" not in attributes:
            self.complete(attributes)
        attributes.update(own)
        return record

    def complete(self, attributes: dict[str, Any]) -> None:
        """Put the four names in, whatever a tracer raises: a formatter asks for them."""
        attributes.update(zip(_NAMES, _guard.call(_NOTHING, self._values), strict=True))

    def _values(self) -> tuple[str, str, str, str]:
        tracer = self._tracer.explicit if self._tracer.explicit is not None else opentracing.tracer
        span = tracer.active_span
        service = str(getattr(tracer, "service_name", ""))
        return ("", "", "", service) if span is None else (*_identity(span.context), service)


def _identity(context: Any) -> tuple[str, str, str]:
    """Return the ids as text and the decision, of any tracer's context."""
    if hasattr(context, "to_trace_id"):
        return context.to_trace_id(), context.to_span_id(), _decision(context.sampled)
    trace_id, span_id = getattr(context, "trace_id", None), getattr(context, "span_id", None)
    flags = getattr(context, "flags", None)  # jaeger-client
    sampled = getattr(context, "sampled", None) if flags is None else bool(flags & 1)
    return _hex(trace_id), _hex(span_id), _decision(sampled)


def _hex(identity: object) -> str:
    return format(identity, "x") if isinstance(identity, int) else str(identity or "")


def _decision(sampled: object) -> str:
    return "" if sampled is None else "1" if sampled else "0"
