"""Options under the names that Jaeger's own commands have, so that a unit file or a manifest goes on working.

What Jaeger says with ``host:port`` is two options here, ``--host`` for all ports of a role and one option a port. (Names: jaegertracing/jaeger
v1.65.0, ``cmd/agent/app/flags.go``, ``cmd/collector/app/flags/flags.go``.)
"""

from __future__ import annotations

import argparse
import os
import re
from typing import TYPE_CHECKING, Any

from sls_tracing.cli.serving import port
from sls_tracing.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HostPort", "read_tags"]

_REFERENCE = re.compile(r"\$\{([^:}]*)(?::([^}]*))?\}")


class HostPort(argparse.Action):
    """Takes ``6831``, ``:6831`` or ``127.0.0.1:6831``; a host is that of the whole role, so all options must name the same."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """See :class:`argparse.Action`."""
        text = str(values)
        host, _, number = text.rpartition(":")
        try:
            setattr(namespace, self.dest, port(number))
        except argparse.ArgumentTypeError as error:
            parser.error(f"argument {option_string}: {error}")
        host = host.removeprefix("[").removesuffix("]")
        if not host:
            return
        named = getattr(namespace, "named_host", None)
        if named not in (None, host):
            parser.error(f"argument {option_string}: all ports of a role are on one host, and {named} is named already")
        namespace.named_host = namespace.host = host


def read_tags(text: str) -> dict[str, str]:
    """Return tags of ``key=value,key=${VARIABLE:default}``, as Jaeger's ``--agent.tags`` has them. Raises ConfigurationError."""
    tags = {}
    for pair in filter(None, text.split(",")):
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            raise ConfigurationError(
                f"{pair!r} is no tag: key=value, or key=${{VARIABLE:default}}, with commas between tags"
            )
        value = value.strip()
        reference = _REFERENCE.fullmatch(value)
        tags[key.strip()] = os.environ.get(reference[1], reference[2] or "") if reference else value
    return {key: value for key, value in tags.items() if value}
