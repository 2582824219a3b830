"""Who asks: access keys of Alibaba Cloud, for good or for a while. None of them ever shows in a ``repr`` or a message.

    AccessKey("LTAI…", "secret")                 one that stays; of a RAM user, never of the account itself
    environment_key()                            ALIBABA_CLOUD_ACCESS_KEY_ID, …_SECRET, ALIBABA_CLOUD_SECURITY_TOKEN
    RAMRole()                                    that of the ECS instance or the Kubernetes node, asked for again before it ends

Whoever signs calls a :data:`Credentials` for each request, so that a key may change while a client lives.
"""

from __future__ import annotations

import json
import os
import threading
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sls_tracing.clock import wall_clock
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service.logstore import LogServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sls_tracing.clock import Clock

__all__ = ["METADATA_URL", "AccessKey", "Credentials", "RAMRole", "environment_key"]

METADATA_URL = "http://100.100.100.200/latest/meta-data/ram/security-credentials/"
"""Where an instance learns its role's keys; answers only from inside Alibaba Cloud."""

RENEW_BEFORE = 300.0
"""Seconds before its end that a temporary key is replaced: clocks differ, and a request may be under way."""

_ID, _SECRET, _TOKEN = "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"
_LARGEST_ANSWER = 1 << 16


class AccessKey(NamedTuple):
    """An access key; ``token`` is of a temporary one (STS)."""

    key_id: str
    secret: str
    token: str = ""

    def __repr__(self) -> str:
        return f"AccessKey({self.key_id[:4]}…)"


Credentials: TypeAlias = "Callable[[], AccessKey]"


def environment_key(environ: Mapping[str, str] | None = None) -> AccessKey | None:
    """Return the key of Alibaba Cloud's own variables, None if there is none. Half a key is a ConfigurationError."""
    environ = os.environ if environ is None else environ
    key = AccessKey(environ.get(_ID, ""), environ.get(_SECRET, ""), environ.get(_TOKEN, ""))
    if bool(key.key_id) != bool(key.secret):
        raise ConfigurationError(f"{_ID} and {_SECRET} belong together; one of them is not set")
    return key if key.key_id else None


class RAMRole:
    """The key of an instance's RAM role. ``role`` is asked for if it is empty; ``url`` is the metadata service's."""

    def __init__(
        self, role: str = "", *, url: str = METADATA_URL, timeout: float = 5.0, clock: Clock = wall_clock
    ) -> None:
        self._role = role
        self._url = url.rstrip("/") + "/"
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._key: AccessKey | None = None
        self._ends = 0.0

    def __call__(self) -> AccessKey:
        """Return the key in force; raises LogServiceError if there is none, and the last one is over."""
        with self._lock:
            now = self._clock()
            if self._key is None or now >= self._ends - RENEW_BEFORE:
                try:
                    self._renew()
                except LogServiceError:
                    if self._key is None or now >= self._ends:
                        raise
            assert self._key is not None
            return self._key

    def forget(self) -> None:
        """Have the next call fetch another key: this one was refused."""
        with self._lock:
            self._ends = 0.0

    def _renew(self) -> None:
        role = self._role or self._get("").split("\n", 1)[0].strip()
        try:
            found = json.loads(self._get(role))
            key = AccessKey(found["AccessKeyId"], found["AccessKeySecret"], found["SecurityToken"])
            ends = datetime.fromisoformat(found["Expiration"].replace("Z", "+00:00")).timestamp()
        except (ValueError, KeyError, TypeError, AttributeError):
            message = f"the metadata service gives no key for the RAM role {role!r}; attach a role to the instance"
            raise LogServiceError("Unauthorized", message) from None
        self._key, self._ends = key, ends

    def _get(self, path: str) -> str:
        import requests

        from sls_tracing.suppression import suppress

        try:
            with suppress(), requests.Session() as session:
                session.trust_env = False  # no proxy may see the answer
                response = session.get(self._url + path, timeout=self._timeout, headers={"b3": "0"}, stream=True)
                body = response.raw.read(_LARGEST_ANSWER, decode_content=True)
        except (requests.RequestException, OSError) as error:
            message = f"the metadata service does not answer ({type(error).__name__}); outside Alibaba Cloud set an access key"
            raise LogServiceError("Unauthorized", message) from None
        if response.status_code != 200:
            message = f"the metadata service answers {response.status_code}; attach a RAM role to the instance"
            raise LogServiceError("Unauthorized", message)
        return bytes(body).decode("utf-8", "replace")
