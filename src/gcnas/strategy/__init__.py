"""Who proposes the next architectures."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gcnas.config import SIGNALS_READER
from gcnas.errors import ConfigurationError, SpaceError
from gcnas.space import SearchSpace
from gcnas.space.load import execute, in_file
from gcnas.strategy.base import Strategy, StrategyState
from gcnas.strategy.random import RandomStrategy
from gcnas.strategy.signals import SignalSource

if TYPE_CHECKING:
    from gcnas.strategy.history import PastRun

OPTUNA = ("tpe", "tpe-multivariate", "gp", "nsga2", "nsga3", "random")
"""Samplers of Optuna that can decide on architectures."""


def _reinforce(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.policy import GCNPolicy
    from gcnas.strategy.reinforce import ReinforceStrategy

    return ReinforceStrategy(space, seed, GCNPolicy)


def _reinforce_skeleton_first(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.policy import SkeletonFirstPolicy
    from gcnas.strategy.reinforce import ReinforceStrategy

    return ReinforceStrategy(space, seed, SkeletonFirstPolicy)


def _reinforce_redraw(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.policy import RedrawPolicy
    from gcnas.strategy.reinforce import ReinforceStrategy

    return ReinforceStrategy(space, seed, RedrawPolicy)


def _reinforce_rnn(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.policy import RNNPolicy
    from gcnas.strategy.reinforce import LITERAL, ReinforceStrategy

    return ReinforceStrategy(space, seed, RNNPolicy, LITERAL)


def _reinforce_rnn_tuned(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.policy import RNNPolicy
    from gcnas.strategy.reinforce import RNN_TUNED, ReinforceStrategy

    return ReinforceStrategy(space, seed, RNNPolicy, RNN_TUNED)


def _reinforce_rnn_parallel(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.policy import RNNPolicy, RNNSettings
    from gcnas.strategy.reinforce import RNN_TUNED, ReinforceStrategy

    return ReinforceStrategy(
        space, seed, lambda fitted: RNNPolicy(fitted, RNNSettings(parallel=True)), RNN_TUNED
    )


def _gcnas(space: SearchSpace, seed: int, history: Sequence["PastRun"] = ()) -> Strategy:
    from gcnas.strategy.gcnas import GCNASStrategy

    return GCNASStrategy(space, seed, history=history)


def _evolution(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.strategy.evolution import EvolutionStrategy

    return EvolutionStrategy(space, seed)


def _ceim(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.strategy.ceim import CEIMStrategy

    return CEIMStrategy(space, seed)


def _local_search(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.strategy.local_search import LocalSearchStrategy

    return LocalSearchStrategy(space, seed)


def _gp(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.strategy.gp import GPStrategy

    return GPStrategy(space, seed)


def _optuna(sampler: str) -> Callable[[SearchSpace, int], Strategy]:
    def create(space: SearchSpace, seed: int) -> Strategy:
        from gcnas.strategy.optuna_strategy import optuna_strategy

        return optuna_strategy(sampler, space, seed)

    return create


STRATEGIES: dict[str, Callable[[SearchSpace, int], Strategy]] = {
    "gcnas": _gcnas,
    "random": RandomStrategy,
    "reinforce": _reinforce,
    "reinforce-skeleton-first": _reinforce_skeleton_first,
    "reinforce-redraw": _reinforce_redraw,
    "reinforce-rnn": _reinforce_rnn,
    "reinforce-rnn-tuned": _reinforce_rnn_tuned,
    "reinforce-rnn-parallel": _reinforce_rnn_parallel,
    "evolution": _evolution,
    "ceim": _ceim,
    "local_search": _local_search,
    "gp": _gp,
    **{f"optuna:{sampler}": _optuna(sampler) for sampler in OPTUNA},
}
"""Constructors by name; each takes a fitted space and a seed. Those of policies import torch when they are called."""


JUDGED = frozenset({"gcnas"})
"""Names of those whose critics choose among what a policy draws."""

WARM: dict[str, Callable[[SearchSpace, int, Sequence["PastRun"]], Strategy]] = {"gcnas": _gcnas}
"""Constructors of those that can start from earlier runs."""


def _unsuitable(sampler: str) -> str:
    from gcnas.strategy.optuna_strategy import UNSUITABLE

    return f" {UNSUITABLE[sampler]}" if sampler in UNSUITABLE else ""


def create_strategy(
    name: str,
    space: SearchSpace,
    seed: int,
    history: Sequence["PastRun"] = (),
    *,
    facts: Sequence[str] | None = None,
    signals: SignalSource | None = None,
) -> Strategy:
    """The strategy of a name.

    Args:
        name: One of :data:`STRATEGIES`, or ``FILE.py:NAME`` for a strategy of your own; the file is executed.
        space: Fitted space.
        seed: Seed of everything.
        history: Earlier runs that it starts from.
        facts: What ``gcnas`` sees of a network besides its decisions; None for the usual.
        signals: What ``gcnas`` has measured of a network before its training; None for nothing.

    Raises:
        ConfigurationError: If there is none of this name, or it cannot start from earlier runs or read signals.
    """
    if facts is not None or signals is not None:
        if name != SIGNALS_READER:
            raise ConfigurationError(
                f"Signals are read by the strategy {SIGNALS_READER} alone, but the strategy is {name!r}."
            )
        from gcnas.strategy.gcnas import GCNASStrategy, usual_settings

        settings = usual_settings(space)
        settings = settings if facts is None else replace(settings, facts=tuple(facts))
        return GCNASStrategy(space, seed, settings, history=history, signals=signals)
    constructor = find_constructor(name)
    if not history:
        return constructor(space, seed)
    check_warm(name)
    return WARM[name](space, seed, history)


def find_constructor(name: str) -> Callable[[SearchSpace, int], Strategy]:
    """What makes the strategy of a name, of a fitted space and a seed.

    Args:
        name: One of :data:`STRATEGIES`, or ``FILE.py:NAME``; the file is executed.

    Raises:
        ConfigurationError: If there is none of this name.
    """
    if name in STRATEGIES:
        return STRATEGIES[name]
    if (place := in_file(name)) is None:
        why = _unsuitable(name.removeprefix("optuna:")) if name.startswith("optuna:") else ""
        raise ConfigurationError(
            f"The strategy must be one of {sorted(STRATEGIES)}, or FILE.py:NAME, but got {name!r}.{why}"
        )
    try:
        own: Any = getattr(execute(place[0]), place[1], None)
    except SpaceError as error:
        raise ConfigurationError(f"{name} is no strategy. {error}") from error
    if not callable(own):
        raise ConfigurationError(
            f"{place[0]} must define {place[1]} as a class of strategies, or a function of a space and a seed, but it "
            f"is {type(own).__name__}."
        )

    def create(space: SearchSpace, seed: int) -> Strategy:
        try:
            made = own(space, seed)
        except Exception as error:
            raise ConfigurationError(f"{name} cannot be made ({type(error).__name__}: {error}).") from error
        if not isinstance(made, Strategy):
            raise ConfigurationError(
                f"{name} must give a gcnas.strategy.Strategy, but gave {type(made).__name__}."
            )
        return made

    return create


def is_own(name: str) -> bool:
    """Whether a strategy is named by a file of Python code."""
    return name not in STRATEGIES and in_file(name) is not None


def check_warm(name: str) -> None:
    """Raise a ConfigurationError if a strategy cannot start from earlier runs."""
    if name not in WARM:
        raise ConfigurationError(
            f"The strategy {name!r} cannot start from earlier runs: leave out --warm-start, or search with "
            f"--strategy {' or '.join(WARM)}."
        )


__all__ = [
    "JUDGED",
    "STRATEGIES",
    "RandomStrategy",
    "SignalSource",
    "Strategy",
    "StrategyState",
    "check_warm",
    "create_strategy",
    "find_constructor",
    "is_own",
]
