"""What a logstore of traces needs, made where it is missing: project, logstore, index, dashboard.

Nothing that is there is changed, but for fields that the index lacks (``tags.error`` in one that Jaeger's collector made): they are added, every
other setting stays. Several may provision at the same time: what another one made meanwhile is what was wanted. Log Service makes new things
usable within a minute, so the end is waited for by asking, not by sleeping as long.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypeVar

from sls_tracing.clock import Clock, wall_clock
from sls_tracing.log_service.dashboards import dashboard
from sls_tracing.log_service.dialects import find_dialect
from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.service import LogstoreInfo
from sls_tracing.log_service.settings import check_logstore, check_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from sls_tracing.log_service.index import Index
    from sls_tracing.log_service.service import LogService

__all__ = ["Step", "provision", "provision_archive"]

T = TypeVar("T")

Outcome: TypeAlias = Literal["created", "changed", "there"]

DEFAULT = "jaeger"
"""The dialect that spans are written in unless somebody asks for another one."""

READY_WITHIN = 90.0
"""Seconds that the service may take until what was made can be used; its documentation says one minute."""

FOREVER = 3650
"""Days of retention that mean: never delete."""

DESCRIPTION = "Traces, stored by sls-tracing"

_PROBES = {
    DEFAULT: '* | select "process.serviceName" as service, traceID, duration from log limit 1',
    "trace-service": "* | select service, traceID, duration from log limit 1",
}

_NOT_YET = frozenset(("LogStoreNotExist", "IndexConfigNotExist", "ProjectNotExist", "ParameterInvalid"))


class Step(NamedTuple):
    """One thing that traces need, and what was done about it."""

    what: str
    name: str
    outcome: Outcome
    detail: str = ""


def provision(
    service: LogService,
    logstore: str,
    *,
    retention_days: int = 180,
    shards: int = 2,
    dialect: str = DEFAULT,
    index: Index | None = None,
    with_dashboard: bool = True,
    dry_run: bool = False,
    ready_within: float = READY_WITHIN,
    clock: Clock = wall_clock,
    pause: Callable[[float], object] = time.sleep,
) -> list[Step]:
    """Make what is missing and return what was done; with ``dry_run`` nothing is made, and the steps say what would be.

    ``dialect`` says how spans are written there: index (unless one is given) and dashboard follow it. An index that has another dialect's fields keeps
    them, and both can be asked for.

    :raises ConfigurationError: a name breaks the service's rules. :raises LogServiceError: the service refused, with the remedy; or what was made
        could not be used within ``ready_within`` seconds.
    """
    check_project(service.project)
    info = LogstoreInfo(check_logstore(logstore), retention_days, shards)
    work = _Provisioning(service, info, find_dialect(dialect).INDEX if index is None else index, dry_run, dialect)
    steps = [work.project(), work.logstore(), work.index()]
    if with_dashboard:
        steps.append(work.dashboard())
    if not dry_run and any(step.outcome != "there" for step in steps):
        probe = _PROBES.get(dialect, _PROBES["trace-service"])
        _wait_until_usable(service, logstore, probe, ready_within, clock, pause)
    return steps


def provision_archive(service: LogService, logstore: str, *, dry_run: bool = False) -> list[Step]:
    """Make the logstore of archived traces, which is kept for good; nothing if none is named. Raises as :func:`provision`."""
    if not logstore:
        return []
    steps = provision(service, logstore, retention_days=FOREVER, shards=1, with_dashboard=False, dry_run=dry_run)
    return [step for step in steps if step.what != "project"]


class _Provisioning:
    def __init__(self, service: LogService, info: LogstoreInfo, index: Index, dry_run: bool, dialect: str) -> None:
        self._dialect = dialect
        self._service = service
        self._info = info
        self._index = index
        self._dry_run = dry_run
        self._missing: set[str] = set()

    def project(self) -> Step:
        return self._make(
            "project",
            self._service.project,
            self._service.get_project,
            lambda: self._service.create_project(DESCRIPTION),
        )

    def logstore(self) -> Step:
        info = self._info
        step = self._make(
            "logstore",
            info.name,
            lambda: self._service.get_logstore(info.name),
            lambda: _until_known(lambda: self._service.create_logstore(info)),
        )
        return (
            step._replace(detail=f"kept for {info.retention_days} days, {info.shards} shards")
            if step.outcome == "created"
            else step
        )

    def index(self) -> Step:
        logstore = self._service.logstore(self._info.name)
        name = self._info.name
        if "logstore" in self._missing:
            return Step("index", name, "created", f"{len(self._index.keys)} fields")
        try:
            found = _until_known(logstore.get_index)
        except LogServiceError as error:
            if error.code != "IndexConfigNotExist":
                raise
            if not self._dry_run:
                logstore.set_index(self._index)
            return Step("index", name, "created", f"{len(self._index.keys)} fields")
        merged = found.merged(self._index)
        added = [field for field in merged.keys if field not in found.keys]
        if not added:
            return Step("index", name, "there")
        if not self._dry_run:
            logstore.set_index(merged)
        return Step("index", name, "changed", "added " + ", ".join(added))

    def dashboard(self) -> Step:
        form = dashboard(self._service.project, self._info.name, self._dialect)
        name = str(form["dashboardName"])
        return self._make(
            "dashboard",
            name,
            lambda: self._service.get_dashboard(name),
            lambda: self._service.create_dashboard(form),
        )

    def _make(self, what: str, name: str, look: Callable[[], object], create: Callable[[], object]) -> Step:
        if "project" not in self._missing:
            try:
                look()
            except LogServiceError as error:
                if not error.code.endswith(("NotExist", "NotExists")):
                    raise
            else:
                return Step(what, name, "there")
        self._missing.add(what)
        if not self._dry_run:
            self._missing.discard("project")
            try:
                create()
            except LogServiceError as error:
                if not error.code.endswith(("AlreadyExist", "AlreadyExists")):
                    raise
            self._missing.clear()
        return Step(what, name, "created")


def _until_known(ask: Callable[[], T], tries: int = 40, pause: float = 0.5) -> T:
    """Ask again while the service does not know yet what was made a moment ago."""
    for left in range(tries, 0, -1):
        try:
            return ask()
        except LogServiceError as error:
            if error.code not in ("ProjectNotExist", "LogStoreNotExist") or left == 1:
                raise
            time.sleep(pause)
    raise AssertionError


def _wait_until_usable(
    service: LogService, logstore: str, probe: str, ready_within: float, clock: Clock, pause: Callable[[float], object]
) -> None:
    give_up_at = clock() + ready_within
    wait = 0.1
    while True:
        now = int(clock())
        try:
            service.logstore(logstore).get_logs(probe, now - 60, now)
        except LogServiceError as error:
            if error.code not in _NOT_YET:
                raise
            if clock() >= give_up_at:
                message = f"{error.message}; not usable within {ready_within:g} seconds, try again later"
                raise LogServiceError(error.code, message) from None
        else:
            return
        pause(wait)
        wait = min(wait * 2, 5.0)
