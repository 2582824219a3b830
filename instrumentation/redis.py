"""redis-py, sync and async: a client span for every command, and one for every pipeline.

Of a command only its name is shown, since keys hold session ids and values anything. Messages of pub/sub carry no headers, so nothing could
link a subscriber to who publishes; publishing is a command like others. The connections of Celery's transport are left out: what a worker asks
its broker all day belongs to no trace.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sls_tracing.guard import Guard
from sls_tracing.instrumentation._database import Database, DatabaseCall, Peers, endpoint_tags
from sls_tracing.instrumentation._patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["patches"]

_DATABASE = Database("redis", "redis", "redis")
_COMMAND = re.compile(r"[A-Za-z][\w.|-]{0,30}(?: [A-Za-z][\w-]{0,30})?")
_MOST_ARGUMENTS = 8
_MOST_COMMANDS = 20
_guard = Guard("instrumentation_redis")
_broker_pools: WeakSet[Any] = WeakSet()


def patches(module: ModuleType, tracer: TracerSource) -> list[Patch]:
    """Return the patches for ``redis.client``, ``redis.asyncio.client`` or ``kombu.transport.redis``, not yet installed."""
    if module.__name__.startswith("kombu"):
        return [Patch(module.Channel, "_create_client", _mark_broker)]
    hooks = _Hooks(tracer)
    is_async = module.__name__.startswith("redis.asyncio")
    command, pipeline = (hooks.command_async, hooks.pipeline_async) if is_async else (hooks.command, hooks.pipeline)
    return [
        Patch(module.Redis, "execute_command", command),
        Patch(module.Pipeline, "immediate_execute_command", command),  # after WATCH
        Patch(module.Pipeline, "execute", pipeline),
    ]


class _Hooks:
    def __init__(self, tracer: TracerSource) -> None:
        self._tracer = tracer
        self._peers = Peers(_peer)

    def command(self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around a command."""
        call = _guard.call(None, self._start, client, args)
        return wrapped(*args, **kwargs) if call is None else call.run(wrapped, args, kwargs)

    async def command_async(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The same, asynchronous."""
        call = _guard.call(None, self._start, client, args)
        return await wrapped(*args, **kwargs) if call is None else await call.run_async(wrapped, args, kwargs)

    def pipeline(self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around a pipeline's ``execute``."""
        call = _guard.call(None, self._start_pipeline, client)
        return wrapped(*args, **kwargs) if call is None else call.run(wrapped, args, kwargs)

    async def pipeline_async(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The same, asynchronous."""
        call = _guard.call(None, self._start_pipeline, client)
        return await wrapped(*args, **kwargs) if call is None else await call.run_async(wrapped, args, kwargs)

    def _start(self, client: Any, command: tuple[Any, ...]) -> DatabaseCall | None:
        tracer = self._tracer.active()
        if tracer is None or _serves_a_broker(client):
            return None
        tags = self._peers.tags(client.connection_pool)
        return DatabaseCall.start(tracer, _DATABASE, _name(command) or "redis", _shown(command), tags)

    def _start_pipeline(self, client: Any) -> DatabaseCall | None:
        tracer = self._tracer.active()
        if tracer is None or not client.command_stack or _serves_a_broker(client):
            return None
        commands = [command[0] for command in client.command_stack]
        # The one attribute that the two kinds of clients call differently.
        is_transaction = getattr(client, "is_transaction", False) or getattr(client, "transaction", False) is True
        name = "MULTI" if is_transaction or client.explicit_transaction else "PIPELINE"
        shown = "\n".join(map(_shown, commands[:_MOST_COMMANDS]))
        if len(commands) > _MOST_COMMANDS:
            shown += "\n…"
        tags = {**self._peers.tags(client.connection_pool), "db.redis.pipeline_length": len(commands)}
        return DatabaseCall.start(tracer, _DATABASE, name, shown, tags)


def _mark_broker(wrapped: Callable[..., Any], channel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around where Celery's transport makes a client."""
    client = wrapped(*args, **kwargs)
    with _guard:
        _broker_pools.add(client.connection_pool)
    return client


def _serves_a_broker(client: Any) -> bool:
    return client.connection_pool in _broker_pools


def _name(command: tuple[Any, ...]) -> str:
    """Return the command's name if it looks like one: it may be any text."""
    text = command[0].decode("latin-1") if isinstance(command[0], bytes) else str(command[0])
    return text.upper() if _COMMAND.fullmatch(text) else ""


def _shown(command: tuple[Any, ...]) -> str:
    """Return the command with a question mark for each argument."""
    arguments = ["?"] * min(len(command) - 1, _MOST_ARGUMENTS)
    if len(command) - 1 > _MOST_ARGUMENTS:
        arguments.append("…")
    return " ".join((_name(command) or "?", *arguments))


def _peer(pool: Any) -> Mapping[str, object]:
    options = pool.connection_kwargs
    host = options.get("path") or options.get("host", "localhost")
    return endpoint_tags(host, options.get("port", 6379), str(options.get("db") or 0), options.get("username"))
