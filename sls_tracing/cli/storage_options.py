"""Options that say where traces are kept, under the names of Alibaba Cloud's guide, for every command that stores or reads.

--storage memory: | FILE | log-service:
--storage.aliyun_sls.endpoint, …project, …logstore, …accesskey.id, …accesskey.secret      or STORAGE_ALIYUN_SLS_ENDPOINT, …
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service.logstore import LogServiceError
from sls_tracing.log_service.settings import LogServiceSettings, variable

if TYPE_CHECKING:
    import argparse

    from sls_tracing.log_service.trace_store import TraceStore

__all__ = [
    "LOG_SERVICE",
    "add_aliyun_options",
    "add_storage_options",
    "aliyun_settings",
    "hide_secrets",
    "open_storage",
]

LOG_SERVICE = "log-service:"

logger = logging.getLogger("sls_tracing")

_FLAG = "--storage.aliyun_sls."
_OPTIONS = {
    "endpoint": ("HOST", "of the region: cn-hangzhou.log.aliyuncs.com; -intranet inside Alibaba Cloud"),
    "project": ("NAME", "the project"),
    "logstore": ("NAME", "the logstore; jaeger-span unless set"),
    "archive-logstore": ("NAME", "where archived traces are kept; without one none are"),
    "accesskey.id": ("ID", "the access key of a RAM user"),
    "accesskey.secret": ("SECRET", "its secret; better as a variable"),
    "region": ("REGION", "for signature v4, where the endpoint does not tell it"),
    "signature": ("v1|v4", "how requests are signed"),
    "connect": ("URL", "connect there instead, with the same requests: a gateway, or the embedded Log Service"),
    "init-resource-flag": ("true|false", "whether a collector makes what is missing when it starts; true"),
    "dialect": ("jaeger|trace-service|jaeger-plugin", "how spans are written, in a file too; all are read"),
}
_SECRET = _FLAG + "accesskey.secret"


def add_storage_options(parser: argparse.ArgumentParser) -> None:
    """Declare ``--storage`` and all that Log Service needs."""
    parser.add_argument(
        "--storage",
        default=os.environ.get("SLS_TRACING_STORAGE", "memory:"),
        metavar="memory:|FILE|log-service:",
        help="where spans are kept; %(default)s unless set here or by SLS_TRACING_STORAGE",
    )
    add_aliyun_options(parser)


def add_aliyun_options(parser: argparse.ArgumentParser) -> None:
    """Declare where Log Service is, and whose key."""
    group = parser.add_argument_group("Log Service", "each also as a variable: STORAGE_ALIYUN_SLS_ENDPOINT, …")
    for name, (metavar, what) in _OPTIONS.items():
        group.add_argument(_FLAG + name, dest="aliyun_" + name, default="", metavar=metavar, help=what)


def aliyun_settings(args: argparse.Namespace) -> LogServiceSettings:
    """Return what options and environment say. Raises ConfigurationError."""
    return LogServiceSettings.from_environment({name: getattr(args, "aliyun_" + name) for name in _OPTIONS})


def open_storage(args: argparse.Namespace) -> TraceStore:
    """Open what ``--storage`` names. Raises ConfigurationError."""
    from sls_tracing.log_service import open_trace_store

    if args.storage == LOG_SERVICE:
        return open_trace_store(args.storage, settings=aliyun_settings(args))
    dialect = args.aliyun_dialect or os.environ.get(variable("dialect"), "").strip()
    return open_trace_store(args.storage, dialect=dialect)


def open_and_provision(args: argparse.Namespace) -> TraceStore:
    """As :func:`open_storage`; what is missing in Log Service is made first. Raises ConfigurationError if it refuses."""
    if args.storage == LOG_SERVICE:
        from sls_tracing.log_service.aliyun import AliyunLogService
        from sls_tracing.log_service.provision import provision, provision_archive

        settings = aliyun_settings(args)
        with contextlib.closing(AliyunLogService(settings)) as service:
            try:
                if _may_provision(args):
                    steps = provision(service, settings.logstore, dialect=settings.dialect)
                    steps += provision_archive(service, settings.archive_logstore)
                else:
                    service.get_project()
                    service.get_logstore(settings.logstore)
                    service.logstore(settings.logstore).get_index()
                    steps = []
            except LogServiceError as error:
                raise ConfigurationError(f"Log Service cannot be used: {error}") from error
        for step in steps:
            if step.outcome != "there":
                logger.info("Log Service: %s %s %s %s", step.what, step.name, step.outcome, step.detail)
    return open_storage(args)


def _may_provision(args: argparse.Namespace) -> bool:
    name = "init-resource-flag"
    word = (getattr(args, "aliyun_" + name) or os.environ.get(variable(name), "").strip() or "true").lower()
    if word not in ("true", "false", "1", "0"):
        raise ConfigurationError(f"{_FLAG}{name} ({variable(name)}) must be true or false, not {word!r}")
    return word in ("true", "1")


def hide_secrets() -> None:
    """Start this process anew if its command line holds the secret: whoever lists processes reads it there. Does not return then."""
    words = list(sys.orig_argv)
    for position, word in enumerate(words):
        if word == _SECRET and position + 1 < len(words):
            secret, rest = words[position + 1], words[:position] + words[position + 2 :]
        elif word.startswith(_SECRET + "="):
            secret, rest = word.partition("=")[2], words[:position] + words[position + 1 :]
        else:
            continue
        environment = {**os.environ, variable("accesskey.secret"): secret}
        os.execve(sys.executable, [sys.executable, *rest[1:]], environment)  # noqa: S606 - this very program
