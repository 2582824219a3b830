"""A share of all traces, decided on the trace id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.samplers.rates import check_probability
from sls_tracing.samplers.sampler import Decision

if TYPE_CHECKING:
    from sls_tracing.model import TagValue

__all__ = ["ProbabilisticSampler"]

_MAX_ID = (1 << 63) - 1


class ProbabilisticSampler:
    """Samples the share ``rate`` (0.0 to 1.0) of traces.

    The decision is taken on the low 63 bits of the trace id, with the boundary that Jaeger's Go client uses (sampler.go): two services
    that sample one trace id at one rate decide alike, and a higher rate samples all that a lower one does.
    """

    def __init__(self, rate: float) -> None:
        self.rate = check_probability(rate)
        # Go compares with <=, which would sample the id 0 at rate 0; -1 keeps "rate 0 samples nothing" exact.
        self._boundary = int(self.rate * _MAX_ID) if self.rate else -1
        tags: dict[str, TagValue] = {"sampler.type": "probabilistic", "sampler.param": self.rate}
        self._yes, self._no = Decision(True, tags), Decision(False, tags)

    def is_sampled(self, trace_id: int, operation_name: str = "") -> Decision:
        """Decide by comparing the id with the boundary: no state, no clock."""
        return self._yes if trace_id & _MAX_ID <= self._boundary else self._no

    def close(self) -> None:
        """Nothing to release."""

    def __repr__(self) -> str:
        return f"ProbabilisticSampler({self.rate})"
