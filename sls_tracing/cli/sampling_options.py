"""Options that say what remote samplers are told: a file, or probabilities computed from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sls_tracing.exceptions import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from sls_tracing.backend.adaptive_sampling import AdaptiveSettings
    from sls_tracing.backend.sampling_strategies import StrategyProvider

__all__ = ["add_sampling_options", "sampling_strategies"]


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    group = parser.add_argument_group("sampling", "what Jaeger's remote samplers are told, by file or by target")
    group.add_argument(
        "--sampling-strategies",
        "--sampling.strategies-file",
        metavar="FILE",
        help="Jaeger's strategies file (JSON); read again when it changes",
    )
    group.add_argument(
        "--sampling-target",
        type=float,
        metavar="N",
        help="adaptive: so many traces a second of each operation, by probabilities computed from what is stored",
    )
    group.add_argument(
        "--sampling-initial",
        type=float,
        metavar="P",
        help="adaptive: probability of an operation that is new; 0.001",
    )


def sampling_strategies(
    args: argparse.Namespace, default_probability: float | None = None
) -> StrategyProvider | AdaptiveSettings:
    """Return what the options say; without any, ``default_probability`` for all, or else Jaeger's. Raises ConfigurationError."""
    from sls_tracing.backend.adaptive_sampling import AdaptiveSettings
    from sls_tracing.backend.sampling_strategies import StrategiesFile, read_strategies

    if args.sampling_target is not None:
        if args.sampling_strategies:
            raise ConfigurationError("--sampling-strategies and --sampling-target exclude each other; remove one")
        settings = AdaptiveSettings(target=args.sampling_target)
        if args.sampling_initial is not None:
            settings = settings._replace(initial=args.sampling_initial)
        return settings.checked()
    if args.sampling_initial is not None:
        raise ConfigurationError("--sampling-initial needs --sampling-target, the traces a second to aim at")
    if args.sampling_strategies or default_probability is None:
        return StrategiesFile(args.sampling_strategies)
    return read_strategies({"default_strategy": {"type": "probabilistic", "param": default_probability}})
