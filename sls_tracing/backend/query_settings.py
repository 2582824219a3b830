"""What an operator may set of the query service: the bounds of its answers, and which interface it shows."""

from __future__ import annotations

from dataclasses import dataclass

from sls_tracing.exceptions import ConfigurationError

__all__ = ["QuerySettings"]


@dataclass(frozen=True)
class QuerySettings:
    """Raises :class:`ConfigurationError` for what cannot work.

    ``max_limit`` is the most traces that a search answers with, whatever its ``limit`` says; ``max_trace_spans`` the most spans of one
    trace that are shown; ``max_answer_bytes`` where an answer of several traces ends. ``max_clock_skew`` in seconds is how far spans are moved
    to make up for clocks that differ: 0, as in Jaeger, moves none. ``ui_dir`` holds a build of Jaeger's UI, which then takes the place of the pages
    that come with this server, and ``ui_config`` is its configuration, a ``.json`` or ``.js`` file.
    """

    max_limit: int = 1500
    max_trace_spans: int = 100_000
    max_answer_bytes: int = 256 << 20
    max_clock_skew: float = 0.0
    ui_dir: str = ""
    ui_config: str = ""

    def __post_init__(self) -> None:
        for name in ("max_limit", "max_trace_spans", "max_answer_bytes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name.replace('_', ' ')} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.max_clock_skew < 86400:
            raise ConfigurationError(
                f"a clock skew of {self.max_clock_skew:g} s cannot be made up for; give 0 to a day"
            )
        if self.ui_config and not self.ui_dir:
            raise ConfigurationError("--ui-config configures a build of Jaeger's UI; name its folder with --ui-dir")
