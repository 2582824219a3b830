"""What this project asks of Log Service: put logs, get logs by query, keep an index. The real service and the embedded one both do.

Shapes and limits are those of the service's own API, so that what is written against one holds on the other: times are whole
seconds since the epoch, a page has at most 100 logs, every stored value is text, a query is ``search | SQL``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from sls_tracing.exceptions import TracingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sls_tracing.log_service.index import Index

__all__ = [
    "ACCEPTED_FUTURE",
    "ACCEPTED_PAST",
    "END_OF_TIME",
    "INCOMPLETE_TRIES",
    "PAGE_LINES",
    "TRANSIENT",
    "Log",
    "LogGroup",
    "LogServiceError",
    "Logstore",
    "QueryResult",
    "ValueLookup",
    "complete_page",
    "search_all",
]

PAGE_LINES = 100
"""The most logs that one search returns (GetLogs, parameter ``line``)."""

ACCEPTED_PAST, ACCEPTED_FUTURE = 7 * 86400, 15 * 60
"""Seconds around now in which Log Service takes a log; one log outside makes it refuse the whole request."""

END_OF_TIME = 2**32 - 1
"""Log time is a uint32 on the wire: nothing is stored at or after this second."""

INCOMPLETE_TRIES = 10
"""Times that an answer which says that it is not whole is asked for again."""


TRANSIENT = frozenset(
    [
        "BadResponse",
        "ExceedQuota",
        "InternalServerError",
        "ReadQuotaExceed",
        "RequestError",
        "RequestTimeout",
        "ServerBusy",
        "ShardReadQuotaExceed",
        "ShardWriteQuotaExceed",
        "WriteQuotaExceed",
    ]
)
"""Codes of what may succeed later (the official producers' lists)."""


class LogServiceError(TracingError):
    """Log Service refused or failed. ``code`` is the service's own (``ParameterInvalid``, ``LogStoreNotExist``, …).

    ``status`` is HTTP's, 0 without an answer; ``request_id`` is what Alibaba Cloud's support asks for.
    """

    def __init__(self, code: str, message: str, *, status: int = 0, request_id: str = "") -> None:
        super().__init__(f"{code}: {message}" + (f" (request {request_id})" if request_id else ""))
        self.code = code
        self.message = message
        self.status = status
        self.request_id = request_id


class Log(NamedTuple):
    """One log: its time in seconds and its contents, in the order in which they are written."""

    time: int
    contents: Sequence[tuple[str, str]]
    time_ns: int | None = None


class LogGroup(NamedTuple):
    """What one write carries. ``tags`` become contents named ``__tag__:<key>`` of every log."""

    logs: Sequence[Log]
    topic: str = ""
    source: str = ""
    tags: Sequence[tuple[str, str]] = ()


class QueryResult(NamedTuple):
    """One page of an answer.

    ``logs`` are flat text maps; those of a search hold ``__time__``, ``__source__`` and ``__topic__`` too. ``complete`` False asks for the
    same request again. ``keys`` are the columns of an analysis in their order (a search has none). ``processed`` counts the logs
    looked at, where the store knows.
    """

    logs: list[Mapping[str, str]]
    complete: bool = True
    has_sql: bool = False
    keys: Sequence[str] = ()
    processed: int = 0


class Logstore(Protocol):
    """One logstore. Any thread may call any method. What fails raises :class:`LogServiceError`."""

    def put_logs(self, group: LogGroup) -> None:
        """Store all logs of the group, or none. They survive the process once this returned."""

    def get_logs(
        self,
        query: str,
        from_time: int,
        to_time: int,
        *,
        line: int = PAGE_LINES,
        offset: int = 0,
        reverse: bool = False,
    ) -> QueryResult:
        """Answer ``query`` over the logs with ``from_time <= time < to_time``, oldest first unless ``reverse``.

        ``line`` and ``offset`` page through a search. An analysis pages with its own LIMIT and takes neither.
        """

    def histogram(self, query: str, from_time: int, to_time: int) -> list[tuple[int, int, int]]:
        """Count what the search part of ``query`` finds over time: ``(from, to, count)`` of steps that follow one another, the empty ones too."""

    def get_index(self) -> Index:
        """Return the index: which fields can be searched and analysed, and how."""

    def set_index(self, index: Index) -> None:
        """Replace the index. It holds for logs that are put from now on."""

    def close(self) -> None:
        """Release what the logstore holds. Closing twice is fine."""


@runtime_checkable
class ValueLookup(Protocol):
    """What a logstore may have besides: logs by a field's values, without the pages and the limits of a search.

    The embedded one has it: each page of a search is a scan there, so that 1,500 traces took 16 seconds by searching, and half a second this way.
    """

    def logs_with(
        self, field: str, values: Sequence[str], from_time: int, to_time: int, *, most: int | None = None
    ) -> Iterator[Mapping[str, str]]:
        """Yield the logs whose ``field`` is one of ``values``, as a search for these would find it, oldest first, at most ``most``."""


def search_all(logstore: Logstore, query: str, from_time: int, to_time: int) -> Iterator[Mapping[str, str]]:
    """Yield every log that a search finds, oldest first, page after page.

    There is no cap (Jaeger's own Log Service plugin stopped at 2,000 logs and cut long traces). A page that stays incomplete after
    some repetitions raises :class:`LogServiceError` rather than pass for the whole.
    """
    offset = 0
    while True:
        page = complete_page(logstore, query, from_time, to_time, offset)
        yield from page.logs
        if len(page.logs) < PAGE_LINES:
            return
        offset += PAGE_LINES


def complete_page(logstore: Logstore, query: str, from_time: int, to_time: int, offset: int = 0) -> QueryResult:
    """Ask until the answer is complete, as the service wants it; raise :class:`LogServiceError` if it never is."""
    for _ in range(INCOMPLETE_TRIES):
        page = logstore.get_logs(query, from_time, to_time, offset=offset)
        if page.complete:
            return page
    message = f"the answer stayed incomplete after {INCOMPLETE_TRIES} requests; ask for a shorter time range"
    raise LogServiceError("RequestTimeout", message)
