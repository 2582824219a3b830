"""Spans over OTLP/HTTP in JSON: to an OpenTelemetry collector, Jaeger from 1.35 on, or Alibaba Cloud's ``/api/otlp/traces``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sls_tracing.guard import LimitedLog, limited_log
from sls_tracing.metrics import Counters, counters
from sls_tracing.senders.http_poster import HTTPPoster
from sls_tracing.senders.http_target import read_target
from sls_tracing.senders.http_tls import TLS
from sls_tracing.senders.otlp_json import OTLPEncoder
from sls_tracing.senders.posting import PostingSender

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sls_tracing.senders.http_poster import Answer

__all__ = ["OTLPSender"]

_TRANSIENT = frozenset((429, 502, 503, 504))
"""All others "MUST NOT be retried" (OTLP specification, "Retryable Response Codes")."""


class OTLPSender(PostingSender):
    """Posts ``ExportTraceServiceRequest`` in OTLP's JSON, compressed.

    The options are those of :class:`HTTPSender`; the differences:

    - ``url`` without a path gets ``/v1/traces``, one that ends with Alibaba Cloud's token ``/api/otlp/traces``.
    - Retried are 429, 502, 503, 504 and connections that fail, as OTLP prescribes.
    - ``compress``: gzip, which every OTLP server must read.
    - Spans that the server refuses out of a batch that it takes ("partial success") are counted as ``sender_spans_rejected``.

    OTLP has no place for Jaeger's client statistics. How a span is written: ``otlp_json.py``.
    """

    content_type = "application/json"

    def __init__(
        self,
        url: str = "http://localhost:4318/v1/traces",
        *,
        token: str | None = None,
        user: str | None = None,
        password: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        retry_for: float = 30.0,
        max_batch_bytes: int = 1 << 20,
        verify: bool = True,
        ca: str | None = None,
        cert: str | tuple[str, str] | None = None,
        compress: bool = True,
        counters: Counters = counters,
        log: LimitedLog = limited_log,
    ) -> None:
        target = read_target(
            url,
            path="/v1/traces",
            alibaba_path="/api/otlp/traces",
            token=token,
            user=user,
            password=password,
            headers=headers,
        )
        poster = HTTPPoster(
            target,
            tls=TLS(verify, ca, cert),
            timeout=timeout,
            retry_for=retry_for,
            transient=_TRANSIENT.__contains__,
            counters=counters,
        )
        super().__init__(
            poster, OTLPEncoder(), max_batch_bytes=max_batch_bytes, compress=compress, counters=counters, log=log
        )

    def _rejected(self, answer: Answer, number: int) -> int:
        """Read ``partialSuccess``; an answer that cannot be read says nothing against the spans."""
        try:
            partial = json.loads(answer.body)["partialSuccess"]
            rejected = int(partial.get("rejectedSpans") or 0)
            message = str(partial.get("errorMessage") or "")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return 0
        rejected = max(0, min(rejected, number))
        said = self._poster.target.hide_secrets(message)[:200]
        if rejected:
            self._lost("rejected", rejected, "%s: %r", self.url, said)
        elif said:
            self._log.warning("OTLPSender_partial", "%s took all spans and said %r", self.url, said)
        return rejected
