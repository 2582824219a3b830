"""Whether uWSGI lets Python's threads run. Until 2.0.26 it did so only on demand; without, a thread runs while a request does."""

from __future__ import annotations

import sys

from sls_tracing.guard import Guard, limited_log

__all__ = ["warn_if_threads_starve"]

_ALWAYS_SINCE = (2, 0, 27)
_guard = Guard("uwsgi_threads")


def warn_if_threads_starve() -> None:
    """Log the remedy where spans have to wait for the next request, or the worker's end, until they leave."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return
    with _guard:
        if uwsgi.version_info[:3] < _ALWAYS_SINCE and not {"enable-threads", "threads"} & uwsgi.opt.keys():
            limited_log.warning(
                "uwsgi_threads",
                "uWSGI runs without threads: spans leave with a later request, or when the worker ends; start it with --enable-threads",
            )
