"""Where the other services are, from the variables that Bookinfo's Kubernetes manifests use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["base_url"]


def base_url(service: str, environment: Mapping[str, str]) -> str:
    """The address of ``service``: ``<SERVICE>_HOSTNAME`` (its own name), ``SERVICES_DOMAIN`` (none), ``<SERVICE>_SERVICE_PORT`` (9080).

    The port must be a number: Kubernetes sets variables of the same form, such as ``RATINGS_PORT=tcp://10.0.0.1:9080``, hence the name.
    """
    host = environment.get(f"{service.upper()}_HOSTNAME", service)
    domain = environment.get("SERVICES_DOMAIN", "")
    port = environment.get(f"{service.upper()}_SERVICE_PORT", "9080")
    return f"http://{host}{'.' + domain if domain else ''}:{port}"
