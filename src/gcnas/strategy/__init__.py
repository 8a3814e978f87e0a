"""Who proposes the next architectures."""

from collections.abc import Callable

from gcnas.errors import ConfigurationError
from gcnas.space import SearchSpace
from gcnas.strategy.base import Strategy, StrategyState
from gcnas.strategy.random import RandomStrategy

STRATEGIES: dict[str, Callable[[SearchSpace, int], Strategy]] = {"random": RandomStrategy}
"""Constructors by name; each takes a fitted space and a seed."""


def create_strategy(name: str, space: SearchSpace, seed: int) -> Strategy:
    """The strategy of a name.

    Raises:
        ConfigurationError: If there is none of this name.
    """
    if name not in STRATEGIES:
        raise ConfigurationError(f"The strategy must be one of {sorted(STRATEGIES)}, but got {name!r}.")
    return STRATEGIES[name](space, seed)


__all__ = ["STRATEGIES", "RandomStrategy", "Strategy", "StrategyState", "create_strategy"]
