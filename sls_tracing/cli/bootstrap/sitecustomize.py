"""Runs at the start of every Python process under `sls-tracing run`, because run.py put this folder on PYTHONPATH.

Any Python may come by, an old one or one of another environment too. Hence no syntax here that one of them cannot read, and nothing
is done unless this is the interpreter that has sls_tracing. Nothing is imported that a program has to patch first (ssl, urllib3,
asyncio): libraries are patched when the program imports them.
"""
# ruff: noqa: INP001, ANN202, PTH100, PTH120, RUF005 - a folder for PYTHONPATH, not a package; the syntax and library of any Python
# No `from __future__ import annotations`, the rule elsewhere: Python 2 and 3.6 stop at that line, and their programs with it.

import gc
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _run_the_hidden_one():
    # type: () -> None
    """Import the environment's own sitecustomize, which this file hides. It ends up in sys.modules, as without us."""
    path = sys.path[:]
    ours = sys.modules.pop("sitecustomize", None)
    sys.path[:] = [entry for entry in path if os.path.abspath(entry) != _HERE]
    without = sys.path[:]
    try:
        __import__("sitecustomize")
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
        if ours is not None:
            sys.modules["sitecustomize"] = ours
    finally:
        # The folder stays on the path: what starts Python by itself often rebuilds PYTHONPATH from there.
        sys.path[:] = path if sys.path == without else [_HERE] + sys.path


def _trace():
    # type: () -> None
    version = ".".join(map(str, sys.version_info[:2]))
    if os.environ.get("SLS_TRACING_RUN_INTERPRETER") != version + ":" + os.path.realpath(sys.prefix):
        return
    try:
        import sls_tracing  # noqa: F401
    except ImportError:
        # A checkout that is not installed: at the end of the path it can hide nothing.
        sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(_HERE))))
    from sls_tracing.guard import Guard

    with Guard("run_bootstrap"):
        from sls_tracing import init_tracer, instrumentation

        init_tracer()
        instrumentation.install()


def _trace_without_collecting():
    # type: () -> None
    """All that is made here stays; looking through it for garbage again and again takes up to a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        _trace()
    finally:
        if enabled:
            gc.enable()


try:
    _run_the_hidden_one()
finally:
    _trace_without_collecting()
