"""The counter behind productpage's /metrics: ``request_result_total{destination_app, response_code}``."""

from __future__ import annotations

import threading
from collections import Counter

__all__ = ["RequestResults"]

HEADER = """\
# HELP request_result_total Results of requests to the other services
# TYPE request_result_total counter
"""


class RequestResults:
    """Counts answers by service and status; ``exposition`` is Prometheus's text format (version 0.0.4)."""

    CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def count(self, destination: str, status: int) -> None:
        """One more answer of ``destination`` with ``status``."""
        with self._lock:
            self._counts[destination, status] += 1

    def exposition(self) -> str:
        """All counts, one a line. The labels are our own service names and numbers: nothing to escape."""
        with self._lock:
            counts = sorted(self._counts.items())
        lines = [
            f'request_result_total{{destination_app="{destination}",response_code="{status}"}} {count}\n'
            for (destination, status), count in counts
        ]
        return HEADER + "".join(lines)
