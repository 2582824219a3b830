"""The embedded Log Service on a port of its own: several collectors and query services share it as they would the real one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sls_tracing.backend.role import Role, port_of
from sls_tracing.backend.sockets import bind_tcp, bind_usual_tcp
from sls_tracing.log_service.embedded_service import EmbeddedProjects
from sls_tracing.log_service.http_api import log_service_app

if TYPE_CHECKING:
    from sls_tracing.backend.serving import ServingSettings
    from sls_tracing.log_service.credentials import AccessKey
    from sls_tracing.log_service.faults import Faults

__all__ = ["LogServiceRole"]

ADMIN_PORT = 8081
"""Of health and metrics: Log Service's API has every path of its own port."""


class LogServiceRole(Role):
    """Serves ``http_api.py`` over the database at ``path``; see ``role.py``. Without ``admin_port`` the usual one is taken, or any free one."""

    def __init__(
        self,
        path: str,
        key: AccessKey,
        *,
        faults: Faults | None = None,
        host: str = "127.0.0.1",
        serving: ServingSettings | None = None,
        port: int = 8080,
        admin_port: int | None = None,
    ) -> None:
        super().__init__(host=host, serving=serving)
        self._path = path
        self._key = key
        self._faults = faults
        self.port = port
        self.admin_port = admin_port

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        sock = stack.enter_context(bind_tcp(self.host, self.port, "--port"))
        admin = stack.enter_context(bind_usual_tcp(self.host, self.admin_port, ADMIN_PORT, "--admin-port"))
        projects = stack.enter_context(contextlib.closing(EmbeddedProjects(self._path)))
        await self._serve(stack, log_service_app(projects, self._key, faults=self._faults), sock)
        await self._serve_admin(stack, admin)
        self.port, self.admin_port = port_of(sock), port_of(admin)
