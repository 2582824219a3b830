"""concurrent.futures and multiprocessing's ThreadPool: each task inherits the span that was active where it was handed over.

``submit`` is the one entry of ``ThreadPoolExecutor``: ``map`` calls it, and so do asyncio's ``run_in_executor`` and ``to_thread``. The workers inherit
nothing, though it is a task that makes the pool start them. Tasks of process pools are pickled and stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sls_tracing.inheritance import inheritance, inheriting, without_inheritance
from sls_tracing.instrumentation._function_patch import FunctionPatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sls_tracing.instrumentation._tracer_source import TracerSource

__all__ = ["hand_over", "patches"]

_THREAD_POOL_METHODS = ("apply_async", "_map_async", "imap", "imap_unordered")
"""What ``apply``, ``map``, ``starmap`` and their asynchronous forms end in."""


def patches(module: ModuleType, tracer: TracerSource) -> list[FunctionPatch]:
    """Return the patches for ``concurrent.futures.thread`` or ``multiprocessing.pool``, not yet installed."""
    if module.__name__ == "concurrent.futures.thread":
        return [FunctionPatch(module.ThreadPoolExecutor, "submit", hand_over)]
    pool = module.ThreadPool  # not Pool, its base: that one's tasks go to processes
    return [FunctionPatch(pool, name, hand_over) for name in _THREAD_POOL_METHODS if hasattr(pool, name)]


def hand_over(wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Around a pool's method whose first argument, called ``func`` if anything, is the function that a worker shall call."""
    inherited = inheritance()
    if inherited is None:
        return wrapped(*args, **kwargs)
    if args:
        args = (inheriting(args[0], inherited), *args[1:])
    elif "func" in kwargs:
        kwargs = {**kwargs, "func": inheriting(kwargs["func"], inherited)}
    return without_inheritance(wrapped, *args, **kwargs)
