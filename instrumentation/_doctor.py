"""What a service tells about a request of `sls-tracing doctor --mesh`: the trace headers that it read, and those that it wrote.

Such a request is known by a baggage item, which goes wherever the trace goes. The notes are logs on the spans; they hold trace headers
only, none that says who somebody is, and cut to a length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.instrumentation._operation import Operation

__all__ = ["note_headers"]

_MARK = "sls-tracing-doctor"
_LONGEST = 300


def note_headers(call: Operation, event: str, headers: Mapping[str, Any]) -> None:
    """Log the trace headers among ``headers`` on the call's span, if the doctor has asked for it."""
    baggage = getattr(call.span.context, "baggage", None)
    if not baggage or _MARK not in baggage or not call.is_recorded:
        return
    from sls_tracing.doctor.headers import TRACE_HEADERS  # late: of a million requests none is the doctor's

    found = {str(name).lower(): str(value)[:_LONGEST] for name, value in headers.items()}
    call.log({"event": event, **{name: found[name] for name in TRACE_HEADERS if name in found}})
