"""Where the pages get traces from: the store, or files that somebody opened. What was just read is kept a short while, since one page asks several times."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from sls_tracing.backend.query_params import parse_trace_id
from sls_tracing.backend.ui import words
from sls_tracing.backend.ui.trace_tree import TraceTree
from sls_tracing.clock import monotonic_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sls_tracing.clock import Clock
    from sls_tracing.log_service import TraceStore
    from sls_tracing.model import SpanRecord

__all__ = ["FILE", "Traces"]

FILE = "file-"
"""How the ids of traces from files begin: no trace's own id does."""

KEPT_SPANS = 60_000
"""Of traces from files, and as many of traces from the store; the oldest go first. A span takes about 3 kB."""

KEPT_SECONDS = 60.0


class Traces:
    """Traces as trees, by the text of their ids. Any thread may ask."""

    def __init__(self, store: TraceStore, clock: Clock = monotonic_clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, tuple[float, TraceTree]] = OrderedDict()
        self._files: OrderedDict[str, TraceTree] = OrderedDict()

    def get(self, text: str, *, follow_up: bool = False) -> TraceTree | None:
        """Return the trace, None if there is none. A ``follow_up`` to a page takes what that page saw.

        Raises ParameterError for what is no id, LogServiceError if the store does not answer.
        """
        if text.startswith(FILE):
            with self._lock:
                return self._files.get(text)
        trace_id = parse_trace_id(text)
        name = words.trace_id(trace_id)
        if follow_up:
            with self._lock:
                read, tree = self._recent.get(name, (0.0, None))
            if tree is not None and self._clock() - read < KEPT_SECONDS:
                return tree
        spans = self._store.get_trace(trace_id)
        if not spans:
            return None
        tree = TraceTree(spans)
        self._keep(name, tree)
        return tree

    def _keep(self, name: str, tree: TraceTree) -> None:
        now = self._clock()
        with self._lock:
            self._recent[name] = (now, tree)
            self._recent.move_to_end(name)
            for old, (read, _) in list(self._recent.items()):
                total = sum(len(kept.nodes) for _, kept in self._recent.values())
                if old != name and (now - read >= KEPT_SECONDS or total > KEPT_SPANS):
                    del self._recent[old]

    def add(self, spans: Sequence[SpanRecord]) -> str:
        """Keep a trace from a file and return the id under which it is found, until newer ones take its place or the server ends."""
        tree = TraceTree(spans)
        said = [(node.key, node.service, node.span.operation_name, node.start, node.end) for node in tree.nodes]
        name = (
            FILE + hashlib.sha256(repr((tree.trace_id, tree.start, said)).encode("utf-8", "replace")).hexdigest()[:24]
        )
        with self._lock:
            self._files[name] = tree
            self._files.move_to_end(name)
            while len(self._files) > 1 and sum(len(kept.nodes) for kept in self._files.values()) > KEPT_SPANS:
                self._files.popitem(last=False)
        return name
