"""Where Log Service is, which project and logstore, and with whose key: checked before anything is sent.

    LogServiceSettings("cn-hangzhou.log.aliyuncs.com", "my-project", "jaeger-span", credentials=lambda: AccessKey(…))
    LogServiceSettings.from_environment()

Names of variables and flags are those of Alibaba Cloud's guide: ``STORAGE_ALIYUN_SLS_ENDPOINT``, ``…_PROJECT``, ``…_LOGSTORE``,
``…_ACCESSKEY_ID``, ``…_ACCESSKEY_SECRET``. Without the last two, the cloud's own ``ALIBABA_CLOUD_*`` count, then the instance's RAM role
if ``STORAGE_ALIYUN_SLS_ALICLOUD_K8S_FLAG`` is true.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service.credentials import AccessKey, RAMRole, environment_key
from sls_tracing.log_service.signing import SignatureVersion
from sls_tracing.log_service.wire import Compression

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from sls_tracing.log_service.credentials import Credentials

__all__ = ["DEFAULT_LOGSTORE", "DIALECTS", "LogServiceSettings", "check_logstore", "check_project", "variable"]

DEFAULT_LOGSTORE = "jaeger-span"
"""The name that Jaeger on Log Service has always had for it."""

DIALECTS = ("jaeger", "trace-service", "jaeger-plugin")
"""How spans are written: as Jaeger on Log Service does, as Log Service's own trace application reads them, or as Jaeger's plugin for it does."""

_PREFIX = "STORAGE_ALIYUN_SLS_"
_PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_LOGSTORE = re.compile(r"[a-z0-9][a-z0-9_-]{0,61}[a-z0-9]")
_REGION = re.compile(r"(?P<region>[a-z]{2}-[a-z0-9-]+?)(-intranet|-internal|-share)?\.(log|sls)\.aliyuncs\.com")


def variable(name: str) -> str:
    """Return the environment variable of an option: ``accesskey.id`` → ``STORAGE_ALIYUN_SLS_ACCESSKEY_ID``."""
    return _PREFIX + name.replace(".", "_").replace("-", "_").upper()


def check_project(name: str) -> str:
    """Return ``name`` if a project may have it; otherwise raise ConfigurationError with the rule."""
    if not _PROJECT.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no name for a project: 3 to 63 characters, lower-case letters, digits and hyphens, "
            "the first and the last a letter or a digit"
        )
    return name


def check_logstore(name: str) -> str:
    """Return ``name`` if a logstore may have it; otherwise raise ConfigurationError with the rule."""
    if not _LOGSTORE.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no name for a logstore: 2 to 63 characters, lower-case letters, digits, hyphens and underscores, "
            "the first and the last a letter or a digit"
        )
    return name


@dataclass(frozen=True)
class LogServiceSettings:
    """One logstore of one project, and the way there.

    - ``endpoint``: the region's host, with ``http://`` or ``https://`` (the default) if need be. Not the project's: it is put in front.
    - ``credentials``: called for each request; see ``credentials.py``.
    - ``region``: for signature v4, read from the endpoint unless given.
    - ``signature``: ``v1``, which every region takes, or ``v4``.
    - ``connect``: ``http://127.0.0.1:8080``: connect there instead of to ``project.endpoint``, with the very same request. For the embedded
      Log Service, a tunnel or a gateway.
    - ``timeout``: seconds of one exchange. ``retry_for``: seconds during which what may succeed later is tried again.
    - ``compression``: of what is written: ``deflate``, ``lz4``, ``zstd`` or nothing (``""``).
    - ``dialect``: one of :data:`DIALECTS`.
    - ``archive_logstore``: where archived traces are kept, of the same project; without one none are.
    """

    endpoint: str
    project: str
    logstore: str = DEFAULT_LOGSTORE
    credentials: Credentials | None = None
    region: str = ""
    signature: SignatureVersion = "v1"
    connect: str = ""
    timeout: float = 10.0
    retry_for: float = 30.0
    compression: Compression = "deflate"
    dialect: str = DIALECTS[0]
    archive_logstore: str = ""

    def __post_init__(self) -> None:
        check_project(self.project)
        check_logstore(self.logstore)
        if self.archive_logstore and check_logstore(self.archive_logstore) == self.logstore:
            raise ConfigurationError(
                f"the archive must be a logstore of its own, not {self.logstore!r}: it outlives that one's retention"
            )
        host = _host(self.endpoint, "endpoint")
        if host.startswith(self.project + "."):
            raise ConfigurationError(
                f"endpoint {self.endpoint!r} names the project: leave {self.project!r} out, it is put in front"
            )
        if self.connect:
            _host(self.connect, "connect")
        _one_of("signature", self.signature, get_args(SignatureVersion))
        _one_of("compression", self.compression, get_args(Compression))
        _one_of("dialect", self.dialect, DIALECTS)
        for name in ("timeout", "retry_for"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 3600:
                raise ConfigurationError(f"{name} must be a number of seconds from 0 to 3600, not {value!r}")
        if self.credentials is None:
            raise ConfigurationError(
                f"no access key for Log Service; set {variable('accesskey.id')} and {variable('accesskey.secret')}, "
                "or ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET"
            )
        if not self.region:
            match = _REGION.fullmatch(host)
            object.__setattr__(self, "region", match["region"] if match else "")
        if self.signature == "v4" and not self.region:
            raise ConfigurationError(
                f"signature v4 needs the region, and {self.endpoint!r} does not tell it; set region"
            )

    @property
    def host(self) -> str:
        """``project.endpoint``, without a port: what the Host header says, and what signature v4 signs."""
        return f"{self.project}.{_host(self.endpoint, 'endpoint')}"

    @property
    def url(self) -> str:
        """Where to connect to, without a slash at the end."""
        if self.connect:
            return self.connect.rstrip("/")
        parts = _split(self.endpoint)
        return f"{parts.scheme}://{self.project}.{parts.netloc}"

    @classmethod
    def from_environment(
        cls,
        given: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        credentials: Credentials | None = None,
        timeout: float = 10.0,
        retry_for: float = 30.0,
    ) -> LogServiceSettings:
        """Read the variables; what is in ``given`` (by option: ``endpoint``, ``accesskey.id``, …) beats them, as ``credentials`` beat any key."""
        environ = os.environ if environ is None else environ
        given = {name: value for name, value in (given or {}).items() if value}

        def read(name: str, default: str = "") -> str:
            return given.get(name) or environ.get(variable(name), "").strip() or default

        for name in ("endpoint", "project"):
            if not read(name):
                raise ConfigurationError(
                    f"Log Service's {name} is not set; give --storage.aliyun_sls.{name} or set {variable(name)}"
                )
        return cls(
            endpoint=read("endpoint"),
            project=read("project"),
            logstore=read("logstore", DEFAULT_LOGSTORE),
            credentials=credentials
            or _credentials(read("accesskey.id"), read("accesskey.secret"), read("alicloud-k8s-flag"), environ),
            region=read("region"),
            signature=read("signature", "v1"),  # type: ignore[arg-type] # checked, with a message
            connect=read("connect"),
            timeout=timeout,
            retry_for=retry_for,
            dialect=read("dialect", DIALECTS[0]),
            archive_logstore=read("archive-logstore"),
        )


def _credentials(key_id: str, secret: str, role: str, environ: Mapping[str, str]) -> Credentials | None:
    if bool(key_id) != bool(secret):
        raise ConfigurationError(
            f"{variable('accesskey.id')} and {variable('accesskey.secret')} belong together; one of them is not set"
        )
    key = AccessKey(key_id, secret) if key_id else environment_key(environ)
    if key is not None:
        return lambda: key
    return RAMRole() if role.lower() in ("1", "true", "yes") else None


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{name} must be one of {', '.join(filter(None, allowed))}, not {value!r}")


def _split(url: str) -> SplitResult:
    return urlsplit(url if "://" in url else "https://" + url)


def _host(url: str, what: str) -> str:
    try:
        parts = _split(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/") and not parts.query
        good = good and parts.username is None and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(
            f"{what} {url!r} must be a host, such as cn-hangzhou.log.aliyuncs.com, with http:// or https:// before it if need be"
        )
    return str(parts.hostname)
