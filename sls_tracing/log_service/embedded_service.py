"""A project of Log Service on a laptop: several logstores and dashboards in one DuckDB database.

    service = EmbeddedLogService("traces.duckdb")
    service.create_logstore(LogstoreInfo("jaeger-span", retention_days=7))
    service.logstore("jaeger-span").put_logs(group)

A database may hold several projects. The logstores of :data:`HOME_PROJECT` bear their plain names in it: what `sls-tracing all-in-one` stored is there.
What is older than a logstore's retention is deleted while new logs come in, once an hour at most.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from sls_tracing.clock import wall_clock
from sls_tracing.log_service.embedded import EmbeddedLogstore
from sls_tracing.log_service.embedded_database import MEMORY, Database
from sls_tracing.log_service.index import Index
from sls_tracing.log_service.logstore import PAGE_LINES, LogGroup, LogServiceError, QueryResult
from sls_tracing.log_service.service import LogstoreInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sls_tracing.clock import Clock

__all__ = ["HOME_PROJECT", "EmbeddedLogService", "EmbeddedProjects"]

HOME_PROJECT = "sls-tracing"
"""The project of what was stored without naming one."""

FOREVER = 3650
"""Days of retention that mean: never delete."""

_EXPIRE_EVERY = 3600.0
_NO_INDEX = Index(keys={}, line=None)
_TABLES = (
    "CREATE TABLE IF NOT EXISTS projects (name VARCHAR PRIMARY KEY, description VARCHAR, created BIGINT)",
    "CREATE TABLE IF NOT EXISTS logstore_settings (name VARCHAR PRIMARY KEY, retention_days INTEGER, shards INTEGER)",
    "CREATE TABLE IF NOT EXISTS dashboards (project VARCHAR, name VARCHAR, form VARCHAR, PRIMARY KEY (project, name))",
    "CREATE TABLE IF NOT EXISTS logstores (name VARCHAR PRIMARY KEY, created BIGINT, index VARCHAR, columns VARCHAR)",
)


class EmbeddedProjects:
    """All projects of one database; ``path`` is a file or ``":memory:"``."""

    def __init__(self, path: str = MEMORY, *, clock: Clock = wall_clock) -> None:
        self.clock = clock
        self.database = Database(path)
        self._lock = threading.RLock()
        self._services: dict[str, EmbeddedLogService] = {}
        with self.database.transaction() as connection:
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute("INSERT OR IGNORE INTO projects VALUES (?, '', ?)", [HOME_PROJECT, int(clock())])

    def project(self, name: str = HOME_PROJECT) -> EmbeddedLogService:
        """Return a project; whether it exists is asked by its methods."""
        with self._lock:
            if name not in self._services:
                self._services[name] = EmbeddedLogService(self, project=name)
            return self._services[name]

    def names(self) -> list[str]:
        """Return the names of all projects, sorted."""
        with self.database.connection() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM projects ORDER BY name").fetchall()]

    def close(self) -> None:
        """Close the database."""
        self.database.close()


class EmbeddedLogService:
    """One project; see :class:`~sls_tracing.log_service.service.LogService`. Made with a path, it owns the database and closes it."""

    def __init__(self, projects: EmbeddedProjects | str = MEMORY, *, project: str = HOME_PROJECT) -> None:
        self._owned = isinstance(projects, str)
        self._projects = EmbeddedProjects(projects) if isinstance(projects, str) else projects
        self._database = self._projects.database
        self.project = project
        self._lock = threading.Lock()
        self._opened: dict[str, EmbeddedLogstore] = {}
        self._expired: dict[str, float] = {}

    # -- the project -----------------------------------------------------------------------------------------------------

    def get_project(self) -> Mapping[str, object]:
        """Describe the project."""
        found = self._one("SELECT description, created FROM projects WHERE name = ?", self.project)
        if found is None:
            raise LogServiceError("ProjectNotExist", f"The Project does not exist : {self.project}")
        description, created = found
        return {
            "projectName": self.project, "description": description, "owner": "", "region": "embedded", "status": "Normal",
            "createTime": str(created), "lastModifyTime": str(created),
        }  # fmt: skip

    def create_project(self, description: str = "") -> None:
        """Create the project."""
        with self._database.write_lock:
            if self._one("SELECT 1 FROM projects WHERE name = ?", self.project):
                raise LogServiceError("ProjectAlreadyExist", f"Project {self.project} already exist")
            self._write("INSERT INTO projects VALUES (?, ?, ?)", self.project, description, int(self._projects.clock()))

    def delete_project(self) -> None:
        """Delete the project with all that is in it."""
        for name in self.list_logstores():
            self.delete_logstore(name)
        self._write("DELETE FROM dashboards WHERE project = ?", self.project)
        self._write("DELETE FROM projects WHERE name = ?", self.project)

    # -- logstores -------------------------------------------------------------------------------------------------------

    def list_logstores(self) -> Sequence[str]:
        """Return the names of all logstores, sorted."""
        self.get_project()
        with self._database.connection() as connection:
            rows = connection.execute("SELECT name FROM logstores").fetchall()
        names = [name.rpartition("/") for (name,) in rows]
        return sorted(name for project, _, name in names if (project or HOME_PROJECT) == self.project)

    def get_logstore(self, name: str) -> LogstoreInfo:
        """Describe a logstore."""
        self._check(name)
        found = self._one("SELECT retention_days, shards FROM logstore_settings WHERE name = ?", self._stored(name))
        return LogstoreInfo(name, *found) if found else LogstoreInfo(name, FOREVER, 1)

    def create_logstore(self, info: LogstoreInfo) -> None:
        """Create a logstore without an index: until it has one, nothing can be searched."""
        self.get_project()
        with self._database.write_lock:
            if self._exists(info.name):
                raise LogServiceError("LogStoreAlreadyExist", f"logstore {info.name} already exists")
            self._opened[info.name] = EmbeddedLogstore(self._database, self._stored(info.name), index=_NO_INDEX)
            self.update_logstore(info)

    def update_logstore(self, info: LogstoreInfo) -> None:
        """Change how a logstore is kept."""
        self._check(info.name)
        if not 1 <= info.retention_days <= FOREVER:
            raise LogServiceError("LogStoreInfoInvalid", f"ttl {info.retention_days} must be from 1 to {FOREVER} days")
        statement = "INSERT OR REPLACE INTO logstore_settings VALUES (?, ?, ?)"
        self._write(statement, self._stored(info.name), info.retention_days, info.shards)
        self._expired.pop(info.name, None)

    def delete_logstore(self, name: str) -> None:
        """Delete a logstore with its logs."""
        with self._database.write_lock:
            self._open(name).drop()
            self._opened.pop(name, None)
            self._write("DELETE FROM logstore_settings WHERE name = ?", self._stored(name))

    def logstore(self, name: str) -> _Logstore:
        """Open a logstore."""
        return _Logstore(self, name)

    # -- dashboards ------------------------------------------------------------------------------------------------------

    def list_dashboards(self) -> Sequence[str]:
        """Return the names of all dashboards, sorted."""
        self.get_project()
        with self._database.connection() as connection:
            rows = connection.execute("SELECT name FROM dashboards WHERE project = ? ORDER BY name", [self.project])
            return [name for (name,) in rows.fetchall()]

    def get_dashboard(self, name: str) -> Mapping[str, object]:
        """Return a dashboard as it was stored."""
        found = self._one("SELECT form FROM dashboards WHERE project = ? AND name = ?", self.project, name)
        if found is None:
            raise LogServiceError("DashboardNotExist", f"dashboard {name} does not exist")
        form: Mapping[str, object] = json.loads(found[0])
        return form

    def create_dashboard(self, dashboard: Mapping[str, object]) -> None:
        """Store a dashboard under its ``dashboardName``."""
        name = self._dashboard_name(dashboard)
        with self._database.write_lock:
            if name in self.list_dashboards():
                raise LogServiceError("DashboardAlreadyExist", f"dashboard {name} already exists")
            self._write("INSERT INTO dashboards VALUES (?, ?, ?)", self.project, name, json.dumps(dashboard))

    def update_dashboard(self, dashboard: Mapping[str, object]) -> None:
        """Replace the dashboard of the same name."""
        name = self._dashboard_name(dashboard)
        self.get_dashboard(name)
        statement = "UPDATE dashboards SET form = ? WHERE project = ? AND name = ?"
        self._write(statement, json.dumps(dashboard), self.project, name)

    def delete_dashboard(self, name: str) -> None:
        """Delete a dashboard."""
        self.get_dashboard(name)
        self._write("DELETE FROM dashboards WHERE project = ? AND name = ?", self.project, name)

    def close(self) -> None:
        """Close the database if this object opened it."""
        if self._owned:
            self._projects.close()

    # -- within ----------------------------------------------------------------------------------------------------------

    def _dashboard_name(self, dashboard: Mapping[str, object]) -> str:
        self.get_project()
        name = dashboard.get("dashboardName")
        if not isinstance(name, str) or not name:
            raise LogServiceError("ParameterInvalid", "a dashboard needs a dashboardName")
        return name

    def _stored(self, name: str) -> str:
        return name if self.project == HOME_PROJECT else f"{self.project}/{name}"

    def _exists(self, name: str) -> bool:
        return "/" not in name and self._one("SELECT 1 FROM logstores WHERE name = ?", self._stored(name)) is not None

    def _check(self, name: str) -> None:
        self.get_project()
        if not self._exists(name):
            raise LogServiceError("LogStoreNotExist", f"logstore {name} does not exist")

    def _open(self, name: str) -> EmbeddedLogstore:
        with self._lock:
            opened = self._opened.get(name)
        if opened is not None:
            return opened
        self._check(name)
        with self._database.write_lock, self._lock:
            if name not in self._opened:
                self._opened[name] = EmbeddedLogstore(self._database, self._stored(name))
            return self._opened[name]

    def _expire(self, name: str) -> None:
        """Delete what is over, if nobody did within the hour."""
        now = self._projects.clock()
        if now - self._expired.get(name, 0.0) < _EXPIRE_EVERY:
            return
        self._expired[name] = now
        days = self.get_logstore(name).retention_days
        if days < FOREVER:
            self._open(name).delete_before(int(now) - days * 86400)

    def _one(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        with self._database.connection() as connection:
            return connection.execute(statement, list(values)).fetchone()

    def _write(self, statement: str, *values: object) -> None:
        with self._database.transaction() as connection:
            connection.execute(statement, list(values))


class _Logstore:
    """A logstore by name: each call finds it anew, so that it may be made or deleted meanwhile."""

    def __init__(self, service: EmbeddedLogService, name: str) -> None:
        self.name = name
        self._service = service

    def put_logs(self, group: LogGroup) -> None:
        self._service._open(self.name).put_logs(group)
        self._service._expire(self.name)

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
        self.get_index()
        logstore = self._service._open(self.name)
        return logstore.get_logs(query, from_time, to_time, line=line, offset=offset, reverse=reverse)

    def histogram(self, query: str, from_time: int, to_time: int) -> list[tuple[int, int, int]]:
        self.get_index()
        return self._service._open(self.name).histogram(query, from_time, to_time)

    def get_index(self) -> Index:
        index = self._service._open(self.name).get_index()
        if index == _NO_INDEX:
            raise LogServiceError("IndexConfigNotExist", f"logstore {self.name} has no index")
        return index

    def set_index(self, index: Index) -> None:
        self._service._open(self.name).set_index(index)

    def delete_index(self) -> None:
        self.get_index()
        self._service._open(self.name).set_index(_NO_INDEX)

    def close(self) -> None:
        """Do nothing: the database is the service's."""
