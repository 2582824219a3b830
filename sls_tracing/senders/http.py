"""Spans to a Jaeger collector over HTTP, as the Go and Java clients send them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.guard import LimitedLog, limited_log
from sls_tracing.metrics import Counters, counters
from sls_tracing.senders.http_poster import HTTPPoster
from sls_tracing.senders.http_target import read_target
from sls_tracing.senders.http_tls import TLS
from sls_tracing.senders.posting import PostingSender
from sls_tracing.thrift.binary import BinaryEncoder

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HTTPSender"]


class HTTPSender(PostingSender):
    """Posts ``Batch`` structs in Thrift's binary protocol, without an agent in between.

        HTTPSender("http://collector:14268")                                    # …/api/traces is added
        HTTPSender("http://tracing-analysis-dc-hz.aliyuncs.com/adapt_<token>/api/traces")

    - ``url``: the collector's. Without a path it gets ``/api/traces``, and so does one that ends with Alibaba Cloud's token. Without
      a query it gets ``format=jaeger.thrift``, which collectors before 1.8 ask for and later ones ignore.
    - ``token`` (bearer), or ``user`` and ``password`` (basic): one of the two, or neither.
    - ``headers``: sent with every request, for a gateway or a tenant.
    - ``timeout``: seconds of one exchange. ``retry_for``: seconds during which a batch is tried again after refused connections,
      timeouts and the answers 408, 429 and 5xx. The reporter's queue fills meanwhile. 0: never again.
    - ``max_batch_bytes``: of one request, before compression. A larger span is trimmed and marked, as by :class:`UDPSender`.
    - ``verify``, ``ca``, ``cert``: False trusts any certificate; a file or folder of those to trust; our own, as a file with the key in
      it or a pair of files.
    - ``compress``: gzip. Jaeger's own collectors do not read it here; a gateway may.

    Raises :class:`ConfigurationError`. Secrets are masked in every message. Spans arrive once, unless a connection broke after a batch
    was sent and before its answer came; see ``http_poster.py``.
    """

    content_type = "application/x-thrift"

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        user: str | None = None,
        password: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 5.0,
        retry_for: float = 30.0,
        max_batch_bytes: int = 1 << 20,
        verify: bool = True,
        ca: str | None = None,
        cert: str | tuple[str, str] | None = None,
        compress: bool = False,
        counters: Counters = counters,
        log: LimitedLog = limited_log,
    ) -> None:
        target = read_target(
            url,
            path="/api/traces",
            alibaba_path="/api/traces",
            query="format=jaeger.thrift",
            token=token,
            user=user,
            password=password,
            headers=headers,
        )
        poster = HTTPPoster(target, tls=TLS(verify, ca, cert), timeout=timeout, retry_for=retry_for, counters=counters)
        super().__init__(
            poster, BinaryEncoder(), max_batch_bytes=max_batch_bytes, compress=compress, counters=counters, log=log
        )
