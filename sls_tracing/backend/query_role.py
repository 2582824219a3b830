"""The query service on its own: Jaeger's API over a trace store. Any number of them may read one Log Service."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sls_tracing.backend.query_api import query_app
from sls_tracing.backend.role import Role, port_of
from sls_tracing.backend.sockets import bind_tcp

if TYPE_CHECKING:
    from collections.abc import Callable

    from sls_tracing.backend.query_settings import QuerySettings
    from sls_tracing.backend.serving import ServingSettings
    from sls_tracing.log_service import TraceStore

__all__ = ["QueryRole"]


class QueryRole(Role):
    """Serves the query API; see ``role.py``. ``open_store`` is called in a thread; what it opens is closed at the end."""

    def __init__(
        self,
        open_store: Callable[[], TraceStore],
        *,
        host: str = "127.0.0.1",
        serving: ServingSettings | None = None,
        query_port: int = 16686,
        admin_port: int = 16687,
        base_path: str = "",
        query_settings: QuerySettings | None = None,
    ) -> None:
        super().__init__(host=host, serving=serving)
        self._open_store = open_store
        self.query_port = query_port
        self.admin_port = admin_port
        self.base_path = base_path
        self.query_settings = query_settings

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        query = stack.enter_context(bind_tcp(self.host, self.query_port, "--query-port"))
        admin = stack.enter_context(bind_tcp(self.host, self.admin_port, "--admin-port"))
        store = stack.enter_context(contextlib.closing(await asyncio.to_thread(self._open_store)))
        await self._serve(stack, query_app(store, settings=self.query_settings), query, base_path=self.base_path)
        await self._serve_admin(stack, admin)
        self.query_port, self.admin_port = port_of(query), port_of(admin)
