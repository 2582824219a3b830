"""How many traces each operation began, and with which probability: what adaptive sampling counts by.

Jaeger's clients leave two tags on a trace's first span: ``sampler.type``, of which ``probabilistic`` and ``lowerbound`` matter here, and
``sampler.param``, the probability that was in force (for both).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["STATEMENT", "SampledRoots", "read_sampled_roots"]

MAX_ROWS = 100_000
"""Operations times probabilities that were in force in one window, mostly one or two."""

STATEMENT = (
    'parentSpanID: 0 | select "process.serviceName" as service, operationName as operation, "tags.sampler.type" as sampler, '
    '"tags.sampler.param" as param, count(distinct traceID) as traces, max(startTime) as latest from log '
    "where \"tags.sampler.type\" = 'probabilistic' or \"tags.sampler.type\" = 'lowerbound' "
    f"group by 1, 2, 3, 4 order by latest limit {MAX_ROWS}"
)
"""Traces are counted by their ids: a write that was repeated must not count twice."""


class SampledRoots(NamedTuple):
    """``traces`` that began with an operation under one probability; ``latest`` is the start of the last, in seconds."""

    service: str
    operation: str
    probabilistic: bool
    """Not: the sampler's lower bound let them through, whatever the probability said."""
    probability: float
    traces: int
    latest: float


def read_sampled_roots(rows: Iterable[Mapping[str, str]]) -> Iterator[SampledRoots]:
    """Read the answer to :data:`STATEMENT`; a row whose tags no sampler of Jaeger's writes is left out: tags are anyone's."""
    for row in rows:
        try:
            probability, traces, latest = float(row["param"]), int(row["traces"]), float(row["latest"]) / 1e6
        except ValueError:
            continue
        if 0 < probability <= 1:
            probabilistic = row["sampler"] == "probabilistic"
            yield SampledRoots(row["service"], row["operation"], probabilistic, probability, traces, latest)
