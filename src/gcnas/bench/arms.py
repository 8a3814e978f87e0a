"""The arms of the experiments by name: a learner with a controller, or the strategy gcnas with a part changed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

from gcnas.errors import ConfigurationError
from gcnas.space import SearchSpace
from gcnas.strategy import STRATEGIES, SignalSource, Strategy, create_strategy, is_own

if TYPE_CHECKING:
    from gcnas.policy import Policy
    from gcnas.strategy.gcnas import GCNASSettings

Arm: TypeAlias = Callable[[SearchSpace, int], Strategy]

WITH_SIGNALS = "gcnas:signals"
"""The strategy gcnas whose critics and first design see the signals of a table."""

RIVALS = ("lstm", "lstm-parallel", "lstm-matched", "gcn", "skeleton", "table")
"""The controllers of the crossed comparison."""

TRIED = (1e-3, 3e-3, 1e-2, 3e-2)
"""Learning rates that each controller of the crossed comparison was tried with; ten times as much for the table, whose
logits are its weights. Experiment ``tuning``."""

RATES = {
    "reinforce": {
        "lstm": 3e-3, "lstm-parallel": 1e-2, "lstm-matched": 1e-2, "gcn": 1e-2, "skeleton": 3e-2, "table": 3e-1,
    },
    "imitation": {
        "lstm": 3e-3, "lstm-parallel": 1e-2, "lstm-matched": 1e-2, "gcn": 3e-3, "skeleton": 3e-3, "table": 1e-1,
    },
}  # fmt: skip
"""The one of least mean rank by area under the regret curve on the tuning problems, the lower one of equals."""


CEIM_TRIED = tuple(product((10, 20, 50), (0.03, 0.1, 0.3, 1.0)))
"""Populations and dampings that the cross-entropy method was tried with: arms such as ``ceim:20@0.1``."""


TUNED: dict[str, dict[str, Any]] = {
    "evolution": {"population": 15, "tournament": 10},
    "gp": {"initial": 10, "refit": 2},
    "optuna:tpe": {"n_startup_trials": 5, "n_ei_candidates": 100, "multivariate": True},
}
"""Settings of rivals with the least mean rank of mean regret on the two tables that ``gcnas`` was tuned on, of twelve
each (``benchmarks/tune_rivals.py``): arms ``evolution:tuned``, ``gp:tuned`` and ``tpe:tuned``."""


DEEPEST = "deepest"


def rates_tried(controller: str) -> tuple[float, ...]:
    """The learning rates that a controller was tried with."""
    return tuple(10 * rate for rate in TRIED) if controller == "table" else TRIED


def create_arm(name: str, space: SearchSpace, seed: int, signals: SignalSource | None = None) -> Strategy:
    """The arm of a name, or the strategy.

    An arm is called ``learner:controller``, ``ceim:population`` or ``gcnas:change``; behind an ``@`` there may be
    another learning rate, or damping.

    Args:
        name: Its name.
        space: Fitted space.
        seed: Its seed.
        signals: What is known without training, for the arm ``gcnas:signals`` alone.

    Raises:
        ConfigurationError: If there is none of this name, or no signals where it needs them.
    """
    if name == WITH_SIGNALS:
        return _with_signals(space, seed, signals)
    if name in STRATEGIES or ":" not in name or is_own(name):
        return create_strategy(name, space, seed)
    if name in ARMS:
        return ARMS[name](space, seed)
    known, _, rate = name.partition("@")
    learner, _, controller = known.partition(":")
    # The rate of what is always deepest is that of the GCN policy.
    if learner not in _LEARNERS or known not in ARMS or controller == DEEPEST or not _is_number(rate):
        raise ConfigurationError(
            f"An arm is one of {sorted([*ARMS, WITH_SIGNALS])}, a strategy, or FILE.py:NAME, but got {name!r}."
        )
    return _LEARNERS[learner](controller, space, seed, float(rate))


def _with_signals(space: SearchSpace, seed: int, signals: SignalSource | None) -> Strategy:
    if signals is None:
        raise ConfigurationError(
            f"The arm {WITH_SIGNALS} reads what a table knows without training, but {space.name} has none of it: its "
            "description needs 'signals: [COLUMN, …]' (docs/bench.md)."
        )
    from gcnas.strategy.gcnas import GCNASStrategy

    return GCNASStrategy(space, seed, signals=signals)


def _is_number(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def _policy(controller: str) -> "Callable[[SearchSpace], Policy]":
    # Imported here: torch takes a second.
    from gcnas.bench.controllers import CONTROLLERS

    return CONTROLLERS[controller]


def _rate(learner: str, controller: str) -> float:
    """That of the controller, or of the GCN policy where it is a variant of it."""
    rates = RATES[learner]
    return rates.get(controller, rates["gcn"])


def _reinforce(controller: str, space: SearchSpace, seed: int, rate: float | None = None) -> Strategy:
    from gcnas.strategy.reinforce import ReinforceSettings, ReinforceStrategy

    settings = ReinforceSettings(learning_rate=rate or _rate("reinforce", controller))
    return ReinforceStrategy(space, seed, _policy(controller), settings)


def _imitation(controller: str, space: SearchSpace, seed: int, rate: float | None = None) -> Strategy:
    from gcnas.bench.variants.priority_queue import PriorityQueueStrategy
    from gcnas.strategy.imitation import ImitationSettings

    settings = ImitationSettings(
        steps=(8, 4),
        learning_rate=rate or _rate("imitation", controller),
        elites=32,
        temperature=0.4,
        entropy=0.5,
    )
    return PriorityQueueStrategy(space, seed, _policy(controller), settings)


def _ceim(population: str, space: SearchSpace, seed: int, damping: float | None = None) -> Strategy:
    from gcnas.strategy.ceim import CEIMSettings, CEIMStrategy

    settings = CEIMSettings(population=int(population))
    return CEIMStrategy(space, seed, settings if damping is None else replace(settings, damping=damping))


def _screening(controller: str, space: SearchSpace, seed: int) -> Strategy:
    """The strategy gcnas in rounds of three whose candidates are drawn from this policy alone."""
    from gcnas.strategy.gcnas import GCNASSettings, GCNASStrategy

    settings = _changed(GCNASSettings(), **CHANGES["policy-alone"])
    return GCNASStrategy(space, seed, settings, _policy(controller))


def _deepest(learner: str, space: SearchSpace, seed: int) -> Strategy:
    """The GCN policy where STOP is closed before the last layer."""
    return _LEARNERS[learner]("gcn", replace(space, min_depth=space.max_depth), seed)


def _default(changes: dict[str, Any], space: SearchSpace, seed: int) -> Strategy:
    """The strategy gcnas with some of the space's usual settings changed."""
    from gcnas.strategy.gcnas import GCNASStrategy, usual_settings

    return GCNASStrategy(space, seed, _changed(usual_settings(space), **changes))


def _three(space: SearchSpace, seed: int) -> Strategy:
    """The strategy gcnas with rounds of three in every space."""
    from gcnas.strategy.gcnas import GCNASSettings, GCNASStrategy

    return GCNASStrategy(space, seed, GCNASSettings())


def _changed(
    settings: "GCNASSettings", *, parts: tuple[str, ...] | None = None, pick: str | None = None, **changes: Any
) -> "GCNASSettings":
    """Settings with changes: the models that there are, the one rule of picking, or fields."""
    settings = replace(settings, **changes)
    if pick is not None:
        settings = replace(settings, picks=(pick,) * len(settings.picks))
    return settings if parts is None else replace(settings, surrogate=replace(settings.surrogate, parts=parts))


def _evolution(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.strategy.evolution import EvolutionSettings, EvolutionStrategy

    return EvolutionStrategy(space, seed, EvolutionSettings(**TUNED["evolution"]))


def _gp(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.strategy.gp import GPSettings, GPStrategy

    return GPStrategy(space, seed, GPSettings(**TUNED["gp"]))


def _tpe(space: SearchSpace, seed: int) -> Strategy:
    from gcnas.strategy.optuna_strategy import OptunaStrategy, tpe

    return OptunaStrategy(space, seed, lambda each: tpe(each, **TUNED["optuna:tpe"]))


_LEARNERS: dict[str, Callable[..., Strategy]] = {
    "reinforce": _reinforce,
    "imitation": _imitation,
    "ceim": _ceim,
}

VARIANTS = (
    "growing-depth", "mixture-heads", "sequential-heads", "no-depth", "position-only", "summary-only", "redraw",
    "recurrent", "shared-trunk", "fused", "m1", "m2", "m3", "m4", "m8", "m1-plain", "m2-plain", "m4-plain", "m8-plain",
)  # fmt: skip
"""Policies that differ from the GCN policy in one respect."""

_NO_EDITS = {"parents": 0, "mutants": 0, "climbs": 0}

CHANGES: dict[str, dict[str, Any]] = {
    "no-policy": {"samples": 0},
    "no-edits": _NO_EDITS,
    "no-climbs": {"climbs": 0},
    "no-random": {"random": 0},
    "policy-alone": {**_NO_EDITS, "random": 0},
    "improvement-alone": {"pick": "improvement"},
    "thompson-alone": {"pick": "thompson"},
    "mean-alone": {"pick": "mean"},
    "critic-alone": {"parts": ("critic",)},
    "process-alone": {"parts": ("process",)},
    # That knows nothing of parameters and multiply-adds, also where a table tells them.
    "no-sizes": {"facts": (), "large": False},
    "no-large": {"large": False},
}
"""What is changed in the strategy gcnas's usual settings, see :func:`_changed`."""

ARMS: dict[str, Arm] = {
    **{
        f"{name}:{controller}": partial(_LEARNERS[name], controller)
        for name in RATES
        for controller in (*RIVALS, *VARIANTS)
    },
    **{f"{name}:{DEEPEST}": partial(_deepest, name) for name in RATES},
    **{f"ceim:{population}": partial(_ceim, str(population)) for population, _ in CEIM_TRIED},
    **{f"screening:{controller}": partial(_screening, controller) for controller in RIVALS},
    "evolution:tuned": _evolution,
    "gp:tuned": _gp,
    "tpe:tuned": _tpe,
    "gcnas:three": _three,
    **{f"gcnas:{name}": partial(_default, changes) for name, changes in CHANGES.items()},
}
"""Constructors by name; each takes a fitted space and a seed."""
