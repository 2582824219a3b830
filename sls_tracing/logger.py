"""The library's logger, found when there is something to say: `logging` takes 10 ms to load, and most processes of ours never say anything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sls_tracing.forks import held

if TYPE_CHECKING:
    import logging

__all__ = ["logger"]


def logger() -> logging.Logger:
    """Return the logger ``sls_tracing``."""
    if "logging" not in sys.modules:
        with held():  # the flusher may be the first to log: a child forked meanwhile would wait for its import for ever
            import logging
    import logging

    return logging.getLogger("sls_tracing")
