"""Certificates: whom an HTTP sender trusts, and which one it shows."""

from __future__ import annotations

import os
import ssl
from typing import NamedTuple

from sls_tracing.exceptions import ConfigurationError

__all__ = ["TLS"]


class TLS(NamedTuple):
    """How the server's certificate is checked, and which one we show. All are paths of PEM files but ``verify``."""

    verify: bool = True
    ca: str | None = None
    cert: str | tuple[str, str] | None = None

    def check(self) -> None:
        """Load the files. Raises :class:`ConfigurationError`."""
        if not isinstance(self.verify, bool):
            raise ConfigurationError(f"verify must be True or False, not {self.verify!r}; name a bundle with ca=")
        if self.ca is not None and not self.verify:
            raise ConfigurationError("ca= names whom to trust and verify=False trusts anybody; remove one")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            cert, key = (self.cert, None) if isinstance(self.cert, (str, os.PathLike)) else self.cert or (None, None)
            if self.ca is not None:
                context.load_verify_locations(*((None, self.ca) if os.path.isdir(self.ca) else (self.ca,)))  # noqa: PTH112
            if cert is not None:
                context.load_cert_chain(cert, key, password=_no_password)
        except (OSError, TypeError, ValueError) as error:
            found = getattr(error, "strerror", None) or error  # ssl.SSLError is an OSError
            raise ConfigurationError(f"ca={self.ca!r} or cert={self.cert!r} cannot be read: {found}") from None


def _no_password() -> str:
    return ""  # without it OpenSSL would ask at the terminal for that of an encrypted key
