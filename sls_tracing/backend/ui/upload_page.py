"""The page that opens a trace from a file. It is kept in memory for a while and never stored: somebody else's trace is no traffic of this system's."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import RedirectResponse

from sls_tracing.backend.query_params import ParameterError
from sls_tracing.backend.request_body import BodyReader, RefusedError
from sls_tracing.backend.ui import words
from sls_tracing.backend.ui.pages import JSON, base_path, packed, page
from sls_tracing.backend.ui.trace_file import read_trace_file

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from sls_tracing.backend.ui.traces import Traces

__all__ = ["UploadPage"]

MIB = 1 << 20


class UploadPage:
    """Answers ``/upload``: GET with the form, POST with the trace's address."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self._bodies = BodyReader(max_bytes=64 * MIB, max_unpacked=64 * MIB, max_in_progress=128 * MIB)

    async def __call__(self, request: Request) -> Response:
        """Take JSON as the whole body (the script sends a file so), or the form's field ``json``."""
        if request.method != "POST":
            return page(request, "upload.html", problem="")
        is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        try:
            opened = await self._bodies.decode(request, lambda body: self._open(_field(body) if is_form else body))
        except RefusedError as refused:
            return self._refuse(request, refused.reason, refused.status, is_form=is_form)
        except ParameterError as error:
            return self._refuse(request, str(error), 400, is_form=is_form)
        paths = [(f"{base_path(request)}/trace/{name}", words.plural(spans, "span")) for name, spans in opened]
        if is_form:
            return RedirectResponse(paths[0][0], 303)
        found = {"traces": [{"path": path, "spans": spans} for path, spans in paths]}
        return packed(request, json.dumps(found).encode(), JSON)

    def _open(self, body: bytes) -> list[tuple[str, int]]:
        """Return each trace's id and number of spans; the last ones that are added are kept longest, so the first comes last."""
        found = read_trace_file(body, time.time())
        if not found:
            raise ParameterError("The file holds no span.")
        return [(self._traces.add(spans), len(spans)) for spans in reversed(found)][::-1]

    def _refuse(self, request: Request, problem: str, status: int, *, is_form: bool) -> Response:
        if is_form:
            return page(request, "upload.html", status, problem=problem)
        return packed(request, json.dumps({"problem": problem}).encode(), JSON, status)


def _field(body: bytes) -> bytes:
    return "".join(parse_qs(body.decode("utf-8", "replace")).get("json", [])).encode()
