"""A span too large for its transport, made smaller: first its logs go, then long values are cut. A tag tells.

Losing detail beats losing the span: without it, its children would be orphans and the trace's tree broken. jaeger-client lost the whole
batch, other clients drop the span (jaeger#389 asks for this).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sls_tracing.model import Process, SpanRecord, TagValue

__all__ = ["TRIMMED_TAG", "smaller_processes", "smaller_spans"]

TRIMMED_TAG = "sls.trimmed"
_LENGTHS = (8192, 2048, 512, 128, 32)
"""Characters or bytes of a value that are kept, tried in this order."""


def smaller_spans(record: SpanRecord) -> Iterator[SpanRecord]:
    """Yield ever smaller versions of ``record``, each marked with ``sls.trimmed=true``."""
    record = record._replace(logs=(), tags={**record.tags, TRIMMED_TAG: True})
    yield record
    for length in _LENGTHS:
        yield record._replace(operation_name=record.operation_name[:length], tags=_cut(record.tags, length))


def smaller_processes(process: Process) -> Iterator[Process]:
    """Yield ever smaller versions of ``process``; the last has no tags."""
    for length in _LENGTHS:
        yield process._replace(tags=_cut(process.tags, length))
    yield process._replace(service_name=process.service_name[: _LENGTHS[-1]], tags={})


def _cut(tags: Mapping[str, TagValue], length: int) -> dict[str, TagValue]:
    return {key: value[:length] if isinstance(value, (str, bytes)) else value for key, value in tags.items()}
