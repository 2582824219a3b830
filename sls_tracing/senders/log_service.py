"""Spans straight into Log Service: no agent, no collector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.clock import wall_clock
from sls_tracing.exceptions import ConfigurationError, SenderError
from sls_tracing.guard import LimitedLog, limited_log
from sls_tracing.metrics import Counters, counters
from sls_tracing.senders.client_statistics import ClientStatistics
from sls_tracing.senders.trimming import smaller_spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sls_tracing.clock import Clock
    from sls_tracing.log_service.credentials import Credentials
    from sls_tracing.log_service.logstore import Log
    from sls_tracing.log_service.settings import LogServiceSettings
    from sls_tracing.model import SpanRecord

__all__ = ["LogServiceSender"]

MAX_BATCH_BYTES = 3_000_000
"""Bytes of one request before compression. The service takes 10 MB now and took 3 MB for long; a larger one gains nothing."""

MAX_BATCH_LOGS = 4096
MAX_VALUE_BYTES = 1_000_000
"""Of one value, which is the service's limit (1 MB); a longer one would make it refuse the request."""


class LogServiceSender:
    """Puts spans into a logstore, one log a span, in the form that everything in this package reads.

        LogServiceSender("cn-hangzhou.log.aliyuncs.com", "my-project", access_key_id="LTAI…", access_key_secret="…")
        LogServiceSender()                                                     # STORAGE_ALIYUN_SLS_ENDPOINT, …_PROJECT, …

    - ``endpoint``, ``project``, ``logstore``, ``access_key_id``, ``access_key_secret``: what is not given is read from the environment
      (``STORAGE_ALIYUN_SLS_…``, then ``ALIBABA_CLOUD_…``; see docs/log-service.md). The logstore must be there: `sls-tracing provision` makes it.
    - ``credentials``: called for each request instead of the two keys: for temporary ones (STS), which change; see ``log_service/credentials.py``.
    - ``signature`` (``v1`` or ``v4``), ``region``, ``connect``, ``dialect``: see :class:`~sls_tracing.log_service.settings.LogServiceSettings`.
    - ``timeout``: seconds of one exchange. ``retry_for``: seconds during which a batch is tried again after what may pass: no answer, 5xx, a quota that is
      used up. 0: never again.

    What is lost is counted: ``sender_spans_unencodable``, ``…_too_large`` (even when trimmed: ``…_trimmed``), ``…_failed`` (the log says why and what to do).
    Raises :class:`ConfigurationError`. Keys are in no message.
    """

    def __init__(
        self,
        endpoint: str = "",
        project: str = "",
        logstore: str = "",
        *,
        access_key_id: str = "",
        access_key_secret: str = "",
        credentials: Credentials | None = None,
        region: str = "",
        signature: str = "",
        connect: str = "",
        dialect: str = "",
        timeout: float = 5.0,
        retry_for: float = 30.0,
        settings: LogServiceSettings | None = None,
        counters: Counters = counters,
        log: LimitedLog = limited_log,
        clock: Clock = wall_clock,
    ) -> None:
        from sls_tracing.log_service.aliyun import AliyunLogService
        from sls_tracing.log_service.dialects import find_dialect
        from sls_tracing.log_service.settings import LogServiceSettings

        given = {
            "endpoint": endpoint, "project": project, "logstore": logstore, "accesskey.id": access_key_id, "accesskey.secret": access_key_secret,
            "region": region, "signature": signature, "connect": connect, "dialect": dialect,
        }  # fmt: skip
        for name, value in given.items():
            if not isinstance(value, str):
                raise ConfigurationError(f"{name} must be text, not {type(value).__name__}")
        self.settings = settings or LogServiceSettings.from_environment(
            given, credentials=credentials, timeout=timeout, retry_for=retry_for
        )
        self.url = f"{self.settings.url}/logstores/{self.settings.logstore}"
        """Where spans go, for messages."""
        self.statistics = ClientStatistics()
        self._dialect = find_dialect(self.settings.dialect)
        self._service = AliyunLogService(self.settings, clock=clock, counters=counters)
        self._logstore = self._service.logstore(self.settings.logstore)
        self._counters = counters
        self._log = log
        self._clock = clock
        self._closed = False

    def __repr__(self) -> str:
        return f"LogServiceSender({self.url!r})"

    def send(self, spans: Sequence[SpanRecord]) -> int:
        """Send and return how many spans the service took. Raises :class:`SenderError` only after ``close``."""
        from sls_tracing.log_service.logstore import ACCEPTED_FUTURE, ACCEPTED_PAST

        if self._closed:
            raise SenderError(f"{self!r} is closed")
        now = self._clock()
        accepted: list[Log] = []
        untimely: list[Log] = []
        for span in spans:
            if (log := self._encode(span)) is not None:
                timely = now - ACCEPTED_PAST <= log.time <= now + ACCEPTED_FUTURE
                (accepted if timely else untimely).append(log)
        return sum(self._deliver(batch) for logs in (accepted, untimely) for batch in _batches(logs))

    def stop_at(self, deadline: float) -> None:
        """Give up at ``deadline``, in seconds of ``time.monotonic``; see ``BatchingReporter.close``."""
        self._service.stop_at(deadline)

    def close(self) -> None:
        """Close the connections for good; a ``send`` of another thread ends within a fraction of a second, its spans counted as failed."""
        self._closed = True
        self._service.close()

    def after_fork(self) -> None:
        """In a forked child: count from 0 again. The connections see to themselves."""
        self._closed = False
        self.statistics.start_afresh()

    def _encode(self, span: SpanRecord) -> Log | None:
        try:
            log = self._dialect.to_log(span)
            if _fits(log):
                return log
            for smaller in smaller_spans(span):
                log = self._dialect.to_log(smaller)
                if _fits(log):
                    self._counters.add("sender_spans_trimmed")
                    return log
        except (TypeError, ValueError, AttributeError, OverflowError, KeyError) as error:
            self._lost("unencodable", 1, "%s", error)
            return None
        self._lost("too_large", 1, "%r", span.operation_name[:100])
        return None

    def _deliver(self, batch: Sequence[Log]) -> int:
        from sls_tracing.log_service.logstore import LogGroup, LogServiceError

        try:
            self._logstore.put_logs(LogGroup(batch, source="0.0.0.0"))
        except LogServiceError as error:
            self._lost("failed", len(batch), "%s: %s", self.url, error)
            return 0
        self._log.recovered("LogServiceSender_failed", "spans go out to %s again", self.url)
        return len(batch)

    def _lost(self, reason: str, number: int, why: str, *args: object) -> None:
        self._counters.add("sender_spans_" + reason, number)
        if reason == "too_large":
            self.statistics.was_too_large(number)
        else:
            self.statistics.failed(number)
        self._log.warning(f"LogServiceSender_{reason}", "lost %d span(s), " + reason + ": " + why, number, *args)


def _size(log: Log) -> int:
    """Return an upper bound of the log's bytes on the wire."""
    return 16 + sum(len(key) * 4 + len(value.encode("utf-8", "replace")) + 16 for key, value in log.contents)


def _fits(log: Log) -> bool:
    return all(
        len(value) <= MAX_VALUE_BYTES // 4 or len(value.encode()) <= MAX_VALUE_BYTES for _, value in log.contents
    ) and (_size(log) <= MAX_BATCH_BYTES)


def _batches(logs: Sequence[Log]) -> Iterator[list[Log]]:
    batch: list[Log] = []
    size = 0
    for log in logs:
        more = _size(log)
        if batch and (size + more > MAX_BATCH_BYTES or len(batch) == MAX_BATCH_LOGS):
            yield batch
            batch, size = [], 0
        batch.append(log)
        size += more
    if batch:
        yield batch
