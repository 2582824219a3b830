"""What this library raises, and when.

    TracingError
    ├── ConfigurationError (ValueError)   a setting is wrong: raised at start, the message names the remedy
    ├── SenderError                       a sender could not deliver; the reporter counts and logs it
    └── LogServiceError                   Log Service refused or failed; in log_service/logstore.py, with the service's own code

At run time nothing of ours reaches the application: see ``guard.py``. ``Tracer.inject`` and ``Tracer.extract`` raise
OpenTracing's own exceptions and no others.
"""

from __future__ import annotations

__all__ = ["ConfigurationError", "SenderError", "TracingError", "require_methods"]


class TracingError(Exception):
    """Base of everything that this library raises on its own account."""


class ConfigurationError(TracingError, ValueError):
    """A setting is wrong. The message says which one, what was found and what would be right."""


class SenderError(TracingError):
    """Spans could not be delivered."""


def require_methods(what: str, found: object, methods: tuple[str, ...]) -> None:
    """Raise :class:`ConfigurationError` unless ``found`` has ``methods``: better at start than once a span."""
    missing = [name for name in methods if not callable(getattr(found, name, None))]
    if missing or isinstance(found, type):
        remedy = f"pass {found.__name__}(…)" if isinstance(found, type) else f"it must have {', '.join(methods)}"
        raise ConfigurationError(f"not a {what}: {found!r}; {remedy}")
