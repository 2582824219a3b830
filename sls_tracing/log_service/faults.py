"""Faults on purpose: what the real Log Service does on a bad day, for the tests of whoever talks to it.

    Faults.read(["throttle=0.1", "error=0.05", "incomplete=0.2", "delay=0.05"], seed=7)

The same seed gives the same faults in the same order.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service.logstore import LogServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SHARES", "BadGatewayError", "Faults"]


SHARES = ("throttle", "error", "busy", "incomplete", "expired", "cut", "html", "strict")


class BadGatewayError(Exception):
    """Something between client and service answers for it."""


@dataclass
class Faults:
    """Shares of requests, from 0 to 1, that meet each fault; ``delay`` is in seconds, for every request.

    ``throttle``: 403 WriteQuotaExceed or ReadQuotaExceed. ``error``: 500 InternalServerError. ``busy``: 503 ServerBusy. ``expired``: 401, the
    security token is over. ``cut``: the connection ends in the middle of the answer, after the request took effect. ``html``: 502 with a page of some
    proxy. ``incomplete``: an answer of GetLogs that is not whole, and says so. ``strict``: of writes with a log of more than 7 days ago or 15 minutes
    ahead, that are refused as the real service does; the embedded one takes such logs.
    """

    throttle: float = 0.0
    error: float = 0.0
    busy: float = 0.0
    incomplete: float = 0.0
    expired: float = 0.0
    cut: float = 0.0
    html: float = 0.0
    strict: float = 0.0
    delay: float = 0.0
    seed: int = 0
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @classmethod
    def read(cls, words: Iterable[str], *, seed: int = 0) -> Faults:
        """Read ``name=number`` words; ConfigurationError for others."""
        found: dict[str, float] = {}
        for word in words:
            name, _, text = word.partition("=")
            try:
                value = float(text)
            except ValueError:
                value = -1.0
            if name not in (*SHARES, "delay") or not 0 <= value <= (60 if name == "delay" else 1):
                raise ConfigurationError(
                    f"{word!r} is no fault: {', '.join(SHARES)} with a share from 0 to 1, or delay with seconds; throttle=0.1"
                )
            found[name] = value
        return cls(**found, seed=seed)

    async def before(self, method: str, path: str) -> None:
        """Let a request wait, or fail."""
        if self.delay:
            await asyncio.sleep(self.delay)
        chance = self._random.random
        if self.throttle and chance() < self.throttle:
            writes = method in ("POST", "PUT") and not path.endswith("/logs")
            code = "WriteQuotaExceed" if writes else "ReadQuotaExceed"
            raise LogServiceError(code, "the quota is used up (a fault on purpose)")
        if self.error and chance() < self.error:
            raise LogServiceError("InternalServerError", "a fault on purpose")
        if self.busy and chance() < self.busy:
            raise LogServiceError("ServerBusy", "a fault on purpose")
        if self.expired and chance() < self.expired:
            raise LogServiceError("Unauthorized", "The security token you provided has expired.")
        if self.html and chance() < self.html:
            raise BadGatewayError

    def cuts(self) -> bool:
        """Whether this answer ends too early."""
        return bool(self.cut) and self._random.random() < self.cut

    def refuses_times(self) -> bool:
        """Whether this write must keep to the real service's times."""
        return bool(self.strict) and self._random.random() < self.strict

    def after(self, path: str, answered: Any) -> Any:
        """Return the answer, or a part of it that says it is one."""
        if not self.incomplete or "x-log-progress" not in answered.headers or self._random.random() >= self.incomplete:
            return answered
        headers = {**answered.headers, "x-log-progress": "Incomplete", "x-log-count": "0"}
        body = answered.body
        if isinstance(body, dict):
            return answered._replace(
                body={"meta": {**body["meta"], "progress": "Incomplete", "count": 0}, "data": []}, headers=headers
            )
        return answered._replace(body=[], headers=headers)
