"""The real Log Service, over HTTP: the interfaces of ``service.py`` and ``logstore.py``.

    service = AliyunLogService(LogServiceSettings("cn-hangzhou.log.aliyuncs.com", "my-project", credentials=…))
    service.logstore("jaeger-span").get_logs("* | select count(1) as n", now - 3600, now)

Paths, members and error codes are those of API version 0.6.0 (the official SDKs). Requests, signatures, second attempts: ``aliyun_http.py``.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Literal

from sls_tracing.clock import wall_clock
from sls_tracing.log_service.aliyun_http import Exchange
from sls_tracing.log_service.index import Index
from sls_tracing.log_service.logstore import INCOMPLETE_TRIES, PAGE_LINES, LogGroup, LogServiceError, QueryResult
from sls_tracing.log_service.query import split
from sls_tracing.log_service.service import LogstoreInfo
from sls_tracing.log_service.wire import MAX_LOGS, MAX_RAW_SIZE, WireError, compress, decompress, encode_log_group
from sls_tracing.metrics import Counters, counters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sls_tracing.clock import Clock
    from sls_tracing.log_service.aliyun_http import Response
    from sls_tracing.log_service.settings import LogServiceSettings

__all__ = ["AliyunLogService", "AliyunLogstore"]

_PAGE = 500
"""Names that one listing returns at most."""

_MAX_SHARDS = 64


class AliyunLogService:
    """One project of the real service. Any thread may call any method. What fails raises :class:`LogServiceError`."""

    def __init__(
        self, settings: LogServiceSettings, *, clock: Clock = wall_clock, counters: Counters = counters
    ) -> None:
        self.project = settings.project
        self._exchange = Exchange(settings, clock=clock, counters=counters)

    def __repr__(self) -> str:
        return f"AliyunLogService({self._exchange.settings.url!r})"

    def get_project(self) -> Mapping[str, object]:
        """Describe the project: ``projectName``, ``description``, ``region``, ``status``, …"""
        found: Mapping[str, object] = self._exchange.ask("GET", "/").json()
        return found

    def create_project(self, description: str = "") -> None:
        """Create the project; its name must be free in all of Alibaba Cloud."""
        self._post("/", {"projectName": self.project, "description": description})

    def list_logstores(self) -> Sequence[str]:
        """Return the names of all logstores, sorted."""
        return sorted(self._names("/logstores", "logstores"))

    def get_logstore(self, name: str) -> LogstoreInfo:
        """Describe a logstore."""
        found = self._exchange.ask("GET", f"/logstores/{name}").json()
        return LogstoreInfo(name, int(found.get("ttl", 0)), int(found.get("shardCount", 0)))

    def create_logstore(self, info: LogstoreInfo) -> None:
        """Create a logstore; its shards split by themselves when traffic grows."""
        self._post(
            "/logstores",
            {
                "logstoreName": info.name,
                "ttl": info.retention_days,
                "shardCount": info.shards,
                "autoSplit": True,
                "maxSplitShard": _MAX_SHARDS,
                "enable_tracking": False,
            },
        )

    def logstore(self, name: str, *, api: Literal["v1", "v3"] = "v3") -> AliyunLogstore:
        """Open a logstore; ``api`` is the form of GetLogs: v3 posts the query, v1 puts it into the URL, where long ones do not fit."""
        return AliyunLogstore(self._exchange, name, api=api)

    def list_dashboards(self) -> Sequence[str]:
        """Return the names of all dashboards, sorted."""
        return sorted(self._names("/dashboards", "dashboards"))

    def get_dashboard(self, name: str) -> Mapping[str, object]:
        """Return a dashboard."""
        found: Mapping[str, object] = self._exchange.ask("GET", f"/dashboards/{name}").json()
        return found

    def create_dashboard(self, dashboard: Mapping[str, object]) -> None:
        """Store a dashboard under its ``dashboardName``."""
        self._post("/dashboards", dashboard)

    def stop_at(self, deadline: float) -> None:
        """Let nothing last longer than until ``deadline``, in seconds of ``time.monotonic``."""
        self._exchange.stop_at(deadline)

    def close(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def _post(self, path: str, what: Mapping[str, object]) -> None:
        self._exchange.ask("POST", path, body=json.dumps(what).encode())

    def _names(self, path: str, member: str) -> Iterator[str]:
        offset = 0
        while True:
            found = self._exchange.ask("GET", path, {"offset": str(offset), "size": str(_PAGE)}).json()
            names = found.get(member) or []
            yield from (each if isinstance(each, str) else each["dashboardName"] for each in names)
            offset += len(names)
            if not names or offset >= int(found.get("total", 0)):
                return


class AliyunLogstore:
    """One logstore of the real service; see :class:`~sls_tracing.log_service.logstore.Logstore`."""

    def __init__(self, exchange: Exchange, name: str, *, api: Literal["v1", "v3"] = "v3") -> None:
        self.name = name
        self._exchange = exchange
        self._path = f"/logstores/{name}"
        self._api = api

    def __repr__(self) -> str:
        return f"AliyunLogstore({self._exchange.settings.url!r}, {self.name!r})"

    def put_logs(self, group: LogGroup) -> None:
        """Store the group: in one request, or in several if it is too large for one. Those before one that fails are stored."""
        try:
            parts = list(_parts(group))
        except (UnicodeEncodeError, struct.error) as error:
            raise LogServiceError("PostBodyInvalid", f"a log cannot be encoded: {error}") from None
        for part in parts:
            self.put_raw(part)

    def put_raw(self, raw: bytes) -> None:
        """Store an encoded LogGroup of at most 10 MB."""
        kind = self._exchange.settings.compression
        headers = {"x-log-bodyrawsize": str(len(raw))} | ({"x-log-compresstype": kind} if kind else {})
        self._exchange.ask(
            "POST",
            f"{self._path}/shards/lb",
            body=compress(raw, kind),
            content_type="application/x-protobuf",
            headers=headers,
        )

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
        """Answer a search or an analysis."""
        if not 0 <= line <= PAGE_LINES or offset < 0:
            raise LogServiceError("ParameterInvalid", f"line must be 0 to {PAGE_LINES} and offset not negative")
        asked: dict[str, Any] = {
            "from": int(from_time), "to": int(to_time), "query": query, "line": line, "offset": offset, "reverse": reverse,
        }  # fmt: skip
        if self._api == "v1":
            params = {key: str(value).lower() if value is reverse else str(value) for key, value in asked.items()}
            return _result_v1(self._exchange.ask("GET", self._path, {"type": "log", **params}))
        body = json.dumps(asked).encode()
        return _result_v3(self._exchange.ask("POST", f"{self._path}/logs", body=body))

    def histogram(self, query: str, from_time: int, to_time: int) -> list[tuple[int, int, int]]:
        """Count what the search part of ``query`` finds, over time (GetHistograms). Steps that the service leaves out hold nothing."""
        asked = {
            "type": "histogram",
            "from": str(int(from_time)),
            "to": str(int(to_time)),
            "query": split(query).search.strip() or "*",
        }
        for _ in range(INCOMPLETE_TRIES):
            response = self._exchange.ask("GET", self._path, asked)
            steps = response.json()
            if response.headers.get("x-log-progress", "Complete") == "Complete":
                break
        try:
            return [(int(each["from"]), int(each["to"]), int(each["count"])) for each in steps]
        except (KeyError, TypeError, ValueError):
            raise LogServiceError("BadResponse", "the answer is no histogram", status=response.status) from None

    def get_index(self) -> Index:
        """Return the index; ``IndexConfigNotExist`` if there is none."""
        return Index.from_json(self._exchange.ask("GET", f"{self._path}/index").json())

    def set_index(self, index: Index) -> None:
        """Replace the index, or create it."""
        form = index.to_json()
        form.pop("any_key", None)
        body = json.dumps(form).encode()
        try:
            self._exchange.ask("PUT", f"{self._path}/index", body=body)
        except LogServiceError as error:
            if error.code != "IndexConfigNotExist":
                raise
            self._exchange.ask("POST", f"{self._path}/index", body=body)

    def close(self) -> None:
        """Close the connections, which the logstores of a service share."""
        self._exchange.close()


def _parts(group: LogGroup) -> Iterator[bytes]:
    """Encode a group in as many pieces as one request's limits ask for. A log too large for any is the service's to refuse."""
    raw = encode_log_group(group)
    if len(group.logs) <= 1 or (len(raw) <= MAX_RAW_SIZE and len(group.logs) <= MAX_LOGS):
        yield raw
        return
    half = len(group.logs) // 2
    yield from _parts(group._replace(logs=group.logs[:half]))
    yield from _parts(group._replace(logs=group.logs[half:]))


def _result_v1(response: Response) -> QueryResult:
    headers = response.headers
    logs = _json(response)
    if not isinstance(logs, list):
        raise LogServiceError("BadResponse", "the answer is no list of logs", status=response.status)
    return QueryResult(
        [_texts(log) for log in logs],
        complete=headers.get("x-log-progress", "Complete") == "Complete",
        has_sql=headers.get("x-log-has-sql", "false").lower() == "true",
        processed=_number(headers.get("x-log-processed-rows")),
    )


def _result_v3(response: Response) -> QueryResult:
    found = _json(response)
    try:
        meta, data = found["meta"], found["data"] or []
        return QueryResult(
            [_texts(log) for log in data],
            complete=meta.get("progress", "Complete") == "Complete",
            has_sql=bool(meta.get("hasSQL")),
            keys=tuple(meta.get("keys") or ()) if meta.get("hasSQL") else (),
            processed=_number(meta.get("processedRows")),
        )
    except (KeyError, TypeError, AttributeError):
        raise LogServiceError("BadResponse", "the answer has no meta or no data", status=response.status) from None


def _json(response: Response) -> Any:
    kind = response.headers.get("x-log-compresstype", "")
    if kind:
        try:
            raw = decompress(response.body, kind, _number(response.headers.get("x-log-bodyrawsize")))
        except WireError as error:
            raise LogServiceError("BadResponse", str(error), status=response.status) from None
        response = response._replace(body=raw)
    return response.json()


def _texts(log: Mapping[str, object]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in log.items()}


def _number(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return 0
