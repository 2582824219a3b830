"""A project of Log Service: where logstores and dashboards are made. The real service and the embedded one both have it.

A :class:`~sls_tracing.log_service.logstore.Logstore` is one store; this is what stands around it, and what provisioning works on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sls_tracing.log_service.logstore import Logstore

__all__ = ["LogService", "LogstoreInfo"]


class LogstoreInfo(NamedTuple):
    """How a logstore is kept: ``retention_days`` until logs are deleted (3650: never), and ``shards`` that share its writes."""

    name: str
    retention_days: int = 180
    shards: int = 2


class LogService(Protocol):
    """One project. Any thread may call any method; what fails raises :class:`~sls_tracing.log_service.logstore.LogServiceError`."""

    project: str

    def get_project(self) -> Mapping[str, object]:
        """Describe the project; ``ProjectNotExist`` if there is none."""

    def create_project(self, description: str = "") -> None:
        """Create the project; ``ProjectAlreadyExist`` if somebody has one of this name."""

    def list_logstores(self) -> Sequence[str]:
        """Return the names of all logstores, sorted."""

    def get_logstore(self, name: str) -> LogstoreInfo:
        """Describe a logstore; ``LogStoreNotExist`` if there is none."""

    def create_logstore(self, info: LogstoreInfo) -> None:
        """Create a logstore; ``LogStoreAlreadyExist`` if there is one of this name."""

    def logstore(self, name: str) -> Logstore:
        """Open a logstore. Nothing is asked: if it does not exist, its methods say so (``LogStoreNotExist``, ``IndexConfigNotExist``)."""

    def list_dashboards(self) -> Sequence[str]:
        """Return the names of all dashboards, sorted."""

    def get_dashboard(self, name: str) -> Mapping[str, object]:
        """Return a dashboard in the service's JSON form; ``DashboardNotExist`` if there is none."""

    def create_dashboard(self, dashboard: Mapping[str, object]) -> None:
        """Store a dashboard under its ``dashboardName``; ``DashboardAlreadyExist`` if there is one."""

    def close(self) -> None:
        """Release what is held. Closing twice is fine."""
