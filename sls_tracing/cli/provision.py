"""`sls-tracing provision`: project, logstore, index and dashboard, made where they are missing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sls_tracing.cli.storage_options import add_aliyun_options, aliyun_settings, hide_secrets
from sls_tracing.exceptions import ConfigurationError
from sls_tracing.log_service.logstore import LogServiceError

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "main"]

_WORDS = {
    False: {"created": "created", "changed": "changed", "there": "is there"},
    True: {"created": "would be created", "changed": "would be changed", "there": "is there"},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--retention-days", type=int, default=180, metavar="N", help="of a new logstore; 3650: for good; %(default)s"
    )
    parser.add_argument("--shards", type=int, default=2, metavar="N", help="of a new logstore; %(default)s")
    parser.add_argument("--no-dashboard", action="store_true", help="leave the dashboard out")
    parser.add_argument("--dry-run", action="store_true", help="say what is missing, make nothing")
    add_aliyun_options(parser)


def main(args: argparse.Namespace) -> int:
    """Provision and say what was done: 0, or 1 if the service refused."""
    from sls_tracing.log_service.aliyun import AliyunLogService
    from sls_tracing.log_service.provision import provision, provision_archive

    hide_secrets()
    if not 1 <= args.retention_days <= 3650 or not 1 <= args.shards <= 10:
        raise ConfigurationError("--retention-days must be from 1 to 3650, --shards from 1 to 10")
    settings = aliyun_settings(args)
    service = AliyunLogService(settings)
    try:
        steps = provision(
            service,
            settings.logstore,
            retention_days=args.retention_days,
            shards=args.shards,
            with_dashboard=not args.no_dashboard,
            dialect=settings.dialect,
            dry_run=args.dry_run,
        )
        steps += provision_archive(service, settings.archive_logstore, dry_run=args.dry_run)
    except LogServiceError as error:
        print(f"sls-tracing provision: {error}", file=sys.stderr)
        return 1
    finally:
        service.close()
    for step in steps:
        detail = f" ({step.detail})" if step.detail else ""
        print(f"{step.what:9} {step.name}: {_WORDS[args.dry_run][step.outcome]}{detail}")
    return 0
