"""What stands behind the paths of Log Service's HTTP API: requests that were read and checked, answered by the embedded service."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sls_tracing.clock import wall_clock
from sls_tracing.log_service.index import Index
from sls_tracing.log_service.logstore import ACCEPTED_FUTURE, ACCEPTED_PAST, PAGE_LINES, LogServiceError
from sls_tracing.log_service.query import split
from sls_tracing.log_service.service import LogstoreInfo
from sls_tracing.log_service.settings import check_logstore, check_project
from sls_tracing.log_service.wire import MAX_RAW_SIZE, WireError, decode_log_group, decompress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sls_tracing.clock import Clock
    from sls_tracing.log_service.embedded_service import EmbeddedLogService, EmbeddedProjects
    from sls_tracing.log_service.http_api import Asked
    from sls_tracing.log_service.logstore import LogGroup, QueryResult

__all__ = ["Answered", "Resources"]


class Answered(NamedTuple):
    """What becomes of a request: ``body`` is rendered as JSON, None as nothing at all."""

    body: object = None
    headers: Mapping[str, str] = {}


class Resources:
    """Answers requests; any thread may call."""

    def __init__(
        self, projects: EmbeddedProjects, *, refuses_times: Callable[[], bool] = bool, clock: Clock = wall_clock
    ) -> None:
        self._projects = projects
        self._refuses_times = refuses_times
        self._clock = clock

    def answer(self, asked: Asked) -> Answered:
        """Return the answer; raise LogServiceError for what cannot be granted."""
        for method, pattern, handler in _ROUTES:
            if method == asked.method and (found := pattern.fullmatch(asked.path)):
                if not asked.project and handler is _get_project:
                    return _list_projects(self._projects)
                if not asked.project:
                    raise LogServiceError("ProjectNotExist", "the Host header names no project: use project.endpoint")
                if handler is _put_logs and self._refuses_times():
                    _check_times(asked, self._clock())
                return handler(self._projects.project(asked.project), asked, *found.groups())
        raise LogServiceError("InvalidOperation", f"{asked.method} {asked.path} is not known here")


# -- projects -------------------------------------------------------------------------------------------------------------


def _list_projects(projects: EmbeddedProjects) -> Answered:
    found = [dict(projects.project(name).get_project()) for name in projects.names()]
    return Answered({"count": len(found), "total": len(found), "projects": found})


def _get_project(service: EmbeddedLogService, asked: Asked) -> Answered:
    return Answered(service.get_project())


def _create_project(service: EmbeddedLogService, asked: Asked) -> Answered:
    form = _form(asked)
    if form.get("projectName") != service.project:
        raise LogServiceError(
            "ParameterInvalid", f"projectName {form.get('projectName')!r} is not the one of the Host header"
        )
    try:
        check_project(service.project)
    except ValueError as error:
        raise LogServiceError("ParameterInvalid", str(error)) from None
    service.create_project(str(form.get("description") or ""))
    return Answered()


def _delete_project(service: EmbeddedLogService, asked: Asked) -> Answered:
    service.get_project()
    service.delete_project()
    return Answered()


# -- logstores ------------------------------------------------------------------------------------------------------------


def _list_logstores(service: EmbeddedLogService, asked: Asked) -> Answered:
    wanted = asked.params.get("logstoreName", "")
    names = [name for name in service.list_logstores() if wanted in name]
    page = _page(names, asked)
    return Answered({"count": len(page), "total": len(names), "logstores": page})


def _create_logstore(service: EmbeddedLogService, asked: Asked) -> Answered:
    service.create_logstore(_logstore_info(_form(asked)))
    return Answered()


def _update_logstore(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    service.update_logstore(_logstore_info({"logstoreName": name, **_form(asked)}))
    return Answered()


def _get_logstore(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    if (kind := asked.params.get("type")) == "log":
        return _get_logs(service, asked, name)
    if kind == "histogram":
        return _histogram(service, asked, name)
    info = service.get_logstore(name)
    moment = int(time.time())
    return Answered({
        "logstoreName": name, "ttl": info.retention_days, "shardCount": info.shards, "enable_tracking": False, "autoSplit": True,
        "maxSplitShard": 64, "appendMeta": False, "telemetryType": "None", "createTime": moment, "lastModifyTime": moment,
    })  # fmt: skip


def _delete_logstore(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    service.delete_logstore(name)
    return Answered()


def _shards(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    info = service.get_logstore(name)
    step = 2**128 // max(1, info.shards)
    bounds = [f"{step * n:032x}" for n in range(info.shards)] + ["f" * 32]
    return Answered([
        {"shardID": n, "status": "readwrite", "inclusiveBeginKey": bounds[n], "exclusiveEndKey": bounds[n + 1], "createTime": 0}
        for n in range(info.shards)
    ])  # fmt: skip


def _logstore_info(form: Mapping[str, Any]) -> LogstoreInfo:
    try:
        name = check_logstore(str(form.get("logstoreName") or ""))
        return LogstoreInfo(name, int(form.get("ttl", 30)), int(form.get("shardCount", 2)))
    except (ValueError, TypeError) as error:
        raise LogServiceError("LogStoreInfoInvalid", str(error)) from None


# -- indexes --------------------------------------------------------------------------------------------------------------


def _get_index(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    form = service.logstore(name).get_index().to_json()
    form.pop("any_key", None)
    return Answered({"index_mode": "v2", "ttl": service.get_logstore(name).retention_days, "lastModifyTime": 0, **form})


def _create_index(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    logstore = service.logstore(name)
    try:
        logstore.get_index()
    except LogServiceError as error:
        if error.code != "IndexConfigNotExist":
            raise
        logstore.set_index(_index(asked))
        return Answered()
    raise LogServiceError("IndexAlreadyExist", f"logstore {name} has an index")


def _update_index(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    logstore = service.logstore(name)
    logstore.get_index()
    logstore.set_index(_index(asked))
    return Answered()


def _delete_index(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    service.logstore(name).delete_index()
    return Answered()


def _index(asked: Asked) -> Index:
    form = _form(asked)
    if not form.get("keys") and not form.get("line"):
        raise LogServiceError("IndexInfoInvalid", "an index needs keys, or line, or both")
    try:
        index = Index.from_json({**form, "any_key": False})
    except (KeyError, TypeError, AttributeError, ValueError):
        raise LogServiceError(
            "IndexInfoInvalid", "keys must be {field: {type, token, …}} and line {token: […]}"
        ) from None
    for field, key in index.keys.items():
        if key.type not in ("text", "long", "double", "json"):
            raise LogServiceError(
                "IndexInfoInvalid", f"the type of {field} must be text, long, double or json, not {key.type!r}"
            )
    return index


# -- dashboards -----------------------------------------------------------------------------------------------------------


def _list_dashboards(service: EmbeddedLogService, asked: Asked) -> Answered:
    names = service.list_dashboards()
    page = _page(names, asked)
    items = [
        {"dashboardName": name, "displayName": service.get_dashboard(name).get("displayName", name)} for name in page
    ]
    return Answered({"count": len(page), "total": len(names), "dashboards": page, "dashboardItems": items})


def _create_dashboard(service: EmbeddedLogService, asked: Asked) -> Answered:
    service.create_dashboard(_form(asked))
    return Answered()


def _get_dashboard(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    return Answered(service.get_dashboard(name))


def _update_dashboard(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    service.update_dashboard({**_form(asked), "dashboardName": name})
    return Answered()


def _delete_dashboard(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    service.delete_dashboard(name)
    return Answered()


# -- logs -----------------------------------------------------------------------------------------------------------------


def _put_logs(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    service.logstore(name).put_logs(_read_group(asked))
    return Answered()


def _check_times(asked: Asked, now: float) -> None:
    """Refuse logs of before 7 days ago or after 15 minutes from now, as the real service does."""
    if any(not now - ACCEPTED_PAST <= log.time <= now + ACCEPTED_FUTURE for log in _read_group(asked).logs):
        raise LogServiceError("PostBodyInvalid", "post data time is out of range")


def _read_group(asked: Asked) -> LogGroup:
    kind = asked.headers.get("x-log-compresstype", "")
    text = asked.headers.get("x-log-bodyrawsize", "")
    if not text.isdecimal() or int(text) > MAX_RAW_SIZE:
        code = "PostBodyTooLarge" if text.isdecimal() else "ParameterInvalid"
        raise LogServiceError(code, f"x-log-bodyrawsize must be a number up to {MAX_RAW_SIZE}, not {text[:20]!r}")
    try:
        return decode_log_group(decompress(asked.body, kind, int(text)))
    except WireError as error:
        raise LogServiceError("PostBodyInvalid", str(error)) from None


def _get_logs(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    result, headers, _ = _find(service, name, asked.params)
    return Answered(result.logs, headers)


def _get_logs_v3(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    form = _form(asked)
    result, headers, elapsed = _find(service, name, form)
    keys = list(result.keys)
    meta = {
        "progress": "Complete", "count": len(result.logs), "hasSQL": result.has_sql, "processedRows": result.processed, "aggQuery": "",
        "whereQuery": split(str(form.get("query") or "*")).search.strip(), "elapsedMillisecond": elapsed, "cpuSec": 0.0, "cpuCores": 0.0,
        "limited": PAGE_LINES, "mode": 1 if result.has_sql else 0, "keys": keys, "terms": [], "columnTypes": ["varchar"] * len(keys),
        "isAccurate": True, "processedBytes": 0, "telementryType": "", "powerSql": False, "insertedSQL": "", "marker": "",
        "shard": 0, "scanBytes": 0, "highlights": [],
    }  # fmt: skip
    if result.has_sql:
        meta["aggQuery"] = (split(str(form.get("query"))).sql or "").strip()
    return Answered({"meta": meta, "data": result.logs}, headers)


def _find(service: EmbeddedLogService, name: str, form: Mapping[str, Any]) -> tuple[QueryResult, dict[str, str], int]:
    """Return what GetLogs finds, the headers that go with it, and the milliseconds that it took."""
    query = str(form.get("query") or "*")
    if topic := str(form.get("topic") or ""):
        query = _of_topic(query, topic)
    has_sql = split(query).sql is not None
    line = 0 if has_sql else min(PAGE_LINES, _number(form, "line", PAGE_LINES))
    begun = time.perf_counter()
    result = service.logstore(name).get_logs(
        query,
        _number(form, "from", 0),
        _number(form, "to", 0),
        line=PAGE_LINES if line < 0 else line,
        offset=_number(form, "offset", 0),
        reverse=str(form.get("reverse", "false")).lower() == "true",
    )
    elapsed = int((time.perf_counter() - begun) * 1000)
    headers = {
        "x-log-progress": "Complete", "x-log-count": str(len(result.logs)), "x-log-processed-rows": str(result.processed),
        "x-log-elapsed-millisecond": str(elapsed), "x-log-has-sql": str(result.has_sql).lower(), "x-log-cpu-sec": "0", "x-log-cpu-cores": "0",
    }  # fmt: skip
    return result, headers, elapsed


def _histogram(service: EmbeddedLogService, asked: Asked, name: str) -> Answered:
    query = str(asked.params.get("query") or "*")
    steps = service.logstore(name).histogram(query, _number(asked.params, "from", 0), _number(asked.params, "to", 0))
    body = [{"from": begin, "to": end, "count": count, "progress": "Complete"} for begin, end, count in steps]
    return Answered(body, {"x-log-progress": "Complete", "x-log-count": str(sum(count for _, _, count in steps))})


def _of_topic(query: str, topic: str) -> str:
    from sls_tracing.log_service.query.quoting import search_value

    parts = split(query)
    search = f"__topic__: {search_value(topic)} and ({parts.search.strip() or '*'})"
    return search if parts.sql is None else f"{search} | {parts.sql}"


# -- reading --------------------------------------------------------------------------------------------------------------


def _form(asked: Asked) -> dict[str, Any]:
    try:
        form = json.loads(asked.body)
    except (ValueError, RecursionError):
        form = None
    if not isinstance(form, dict):
        raise LogServiceError("PostBodyInvalid", "the body must be a JSON object")
    return form


def _number(form: Mapping[str, Any], name: str, default: int) -> int:
    value = form.get(name, default)
    try:
        number = int(default if value in (None, "") else value)
    except (ValueError, TypeError, OverflowError):
        raise LogServiceError("ParameterInvalid", f"{name} must be a whole number, not {str(value)[:40]!r}") from None
    if not -(2**53) < number < 2**53:
        raise LogServiceError("ParameterInvalid", f"{name} is out of range: {str(value)[:40]!r}")
    return number


def _page(names: Sequence[str], asked: Asked) -> list[str]:
    offset = max(0, _number(asked.params, "offset", 0))
    size = _number(asked.params, "size", 0) or _number(asked.params, "line", 500)
    return list(names[offset : offset + (500 if size < 0 else min(size, 500))])


_NAME = "([^/]+)"
_ROUTES: list[tuple[str, re.Pattern[str], Callable[..., Answered]]] = [
    (method, re.compile(pattern), handler)
    for method, pattern, handler in (
        ("GET", "/?", _get_project),
        ("POST", "/?", _create_project),
        ("DELETE", "/?", _delete_project),
        ("GET", "/logstores", _list_logstores),
        ("POST", "/logstores", _create_logstore),
        ("GET", f"/logstores/{_NAME}", _get_logstore),
        ("PUT", f"/logstores/{_NAME}", _update_logstore),
        ("DELETE", f"/logstores/{_NAME}", _delete_logstore),
        ("POST", f"/logstores/{_NAME}", _put_logs),
        ("POST", f"/logstores/{_NAME}/shards/(?:lb|route)", _put_logs),
        ("POST", f"/logstores/{_NAME}/logs", _get_logs_v3),
        ("GET", f"/logstores/{_NAME}/shards", _shards),
        ("GET", f"/logstores/{_NAME}/index", _get_index),
        ("POST", f"/logstores/{_NAME}/index", _create_index),
        ("PUT", f"/logstores/{_NAME}/index", _update_index),
        ("DELETE", f"/logstores/{_NAME}/index", _delete_index),
        ("GET", "/dashboards", _list_dashboards),
        ("POST", "/dashboards", _create_dashboard),
        ("GET", f"/dashboards/{_NAME}", _get_dashboard),
        ("PUT", f"/dashboards/{_NAME}", _update_dashboard),
        ("DELETE", f"/dashboards/{_NAME}", _delete_dashboard),
    )
]
