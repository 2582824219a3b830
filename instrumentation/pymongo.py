"""PyMongo, sync and async: a client span for every command that goes to a server.

Through its command events. Listeners of its public kind reach only clients that are made later and stay with them for good; so the class that
hands events to a client's listeners is patched, and clients made before and after are covered. Motor stands on PyMongo and is covered with it.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._database import Database, DatabaseCall, endpoint_tags
from sls_tracing.instrumentation._patching import Patch
from sls_tracing.instrumentation._sql import LONGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_DATABASE = Database("pymongo", "mongodb", "mongodb")
_SILENT = frozenset(
    """
    authenticate copydb copydbgetnonce copydbsaslstart createuser endsessions getnonce hello ismaster saslcontinue saslstart updateuser
    """.split()  # noqa: SIM905
)
"""Commands of the driver's own about its connections, and those that hold passwords."""
_LEFT_OUT = frozenset(("lsid", "$db", "$clusterTime", "$readPreference", "txnNumber", "documents", "nsInfo", "ops"))
_DEEPEST = 6
_MOST = 20
_guard = Guard("instrumentation_pymongo")


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch | _Enabled]:
    """Return the patches for ``pymongo.monitoring``, not yet installed."""
    hooks = _Hooks(tracer)
    listeners = module._EventListeners
    return [
        Patch(listeners, "publish_command_start", hooks.started),
        Patch(listeners, "publish_command_success", hooks.succeeded),
        Patch(listeners, "publish_command_failure", hooks.failed),
        _Enabled(listeners, tracer),
    ]


class _Enabled:
    """Has events published though a client has no listeners, where something is to be traced: they are not for nothing."""

    def __init__(self, owner: Any, tracer: TracerSource) -> None:
        self._owner = owner
        self._tracer = tracer

    def install(self) -> None:
        own, tracer = self._owner.enabled_for_commands, self._tracer
        self._own = own
        self._patched = property(lambda listeners: own.fget(listeners) or tracer.active() is not None)
        self._owner.enabled_for_commands = self._patched

    def remove(self) -> None:
        if vars(self._owner).get("enabled_for_commands") is self._patched:
            self._owner.enabled_for_commands = self._own


class _Running(NamedTuple):
    request_id: object
    call: DatabaseCall


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer
        # One at a time: a command and its answer are awaited in one thread or task. A table would keep what is cancelled in between.
        self._running: ContextVar[_Running | None] = ContextVar("sls_tracing_pymongo_running", default=None)

    def started(self, wrapped: Callable[..., Any], listeners: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        """A command goes out: (command, database, request_id, address, …)."""
        with _guard:
            self._finish(None, None)  # of one that was cancelled
            call = _start(self._tracer, *args[:4])
            if call is not None:
                self._running.set(_Running(args[2], call))
        return wrapped(*args, **kwargs)

    def succeeded(self, wrapped: Callable[..., Any], listeners: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        """The answer is there: (duration, reply, name, request_id, …)."""
        with _guard:
            self._finish(args[3], args[1])
        return wrapped(*args, **kwargs)

    def failed(self, wrapped: Callable[..., Any], listeners: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        """The server refuses, or the connection broke: (duration, failure, name, request_id, …)."""
        with _guard:
            running = self._running.get()
            if running is not None and running.request_id == args[3]:
                _tell_failure(running.call, args[1])
            self._finish(args[3], None)
        return wrapped(*args, **kwargs)

    def _finish(self, request_id: object, reply: Any) -> None:
        running = self._running.get()
        if running is None or (request_id is not None and running.request_id != request_id):
            return
        self._running.set(None)
        errors = reply.get("writeErrors") if isinstance(reply, dict) else None
        if errors:  # the command went well, as far as the server is concerned
            running.call.set_tags({"error": True})
            running.call.log(
                {"event": "error", "error.kind": "WriteError", "db.mongodb.code": errors[0].get("code", 0)}
            )
        running.call.finish()


def _start(source: TracerSource, command: Mapping[str, Any], database: str, _: object, address: Any) -> Any:
    tracer = source.active()
    name = next(iter(command), "")
    if tracer is None or not name or name.lower() in _SILENT:
        return None
    collection = command.get("collection") if name == "getMore" else command[name]
    about = f" {collection}" if isinstance(collection, str) else ""
    host, port = address if isinstance(address, tuple) else (address, None)
    shown = f"{name}{about} {_shape(command, name)}"
    return DatabaseCall.start(tracer, _DATABASE, name + about, shown[:LONGEST], endpoint_tags(host, port, database))


def _tell_failure(call: DatabaseCall, failure: Mapping[str, Any]) -> None:
    """Of the server's refusal the code and its name: its text quotes the document."""
    call.set_tags({"error": True})
    fields: dict[str, object] = {
        "event": "error",
        "error.kind": str(failure.get("codeName") or failure.get("errtype") or "OperationFailure"),
    }
    if "code" in failure:
        fields["db.mongodb.code"] = failure["code"]
    call.log(fields)


def _shape(command: Mapping[str, Any], name: str) -> str:
    wanted = {key: value for key, value in command.items() if key != name and key not in _LEFT_OUT}
    return json.dumps(_masked(wanted, 0), ensure_ascii=False)


def _masked(value: Any, depth: int) -> Any:
    """Return the structure with a question mark for each value: names of fields and operators tell what is asked."""
    if depth < _DEEPEST and isinstance(value, dict):
        return {str(key): _masked(inner, depth + 1) for key, inner in islice(value.items(), _MOST)}
    if depth < _DEEPEST and isinstance(value, (list, tuple)) and any(isinstance(inner, dict) for inner in value):
        return [_masked(inner, depth + 1) for inner in islice(value, _MOST)]
    return "?"
