"""All or nothing."""

from __future__ import annotations

from sls_tracing.exceptions import ConfigurationError
from sls_tracing.samplers.sampler import Decision

__all__ = ["ConstSampler"]


class ConstSampler:
    """Samples every trace, or none."""

    def __init__(self, decision: bool = True) -> None:
        if decision not in (True, False):  # the text "false" would be taken for a yes
            raise ConfigurationError(f"the const sampler takes True (everything) or False (nothing), not {decision!r}")
        self.decision = bool(decision)
        self._decision = Decision(self.decision, {"sampler.type": "const", "sampler.param": self.decision})

    def is_sampled(self, trace_id: int, operation_name: str = "") -> Decision:
        """Return the same decision every time."""
        return self._decision

    def close(self) -> None:
        """Nothing to release."""

    def __repr__(self) -> str:
        return f"ConstSampler({self.decision})"
