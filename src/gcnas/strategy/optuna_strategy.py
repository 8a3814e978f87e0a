"""Samplers of Optuna as strategies."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from gcnas.records import Evaluation, LayerAction, Proposal, Trajectory
from gcnas.space import SearchSpace, SequenceSpace
from gcnas.strategy.base import Strategy, StrategyState, up_to
from gcnas.strategy.edits import mutate
from gcnas.strategy.novelty import Novelty
from gcnas.strategy.tokens import ABSENT, Rows, Tokens


def tpe(seed: int, **settings: Any) -> BaseSampler:
    """Optuna's TPE with some settings, without a warning of those that it calls experimental."""
    return _experimental(TPESampler, seed=seed, **settings)


_QUIET = (
    {"warn_independent_sampling": False}
    if "warn_independent_sampling" in signature(GPSampler).parameters
    else {}
)
"""Older versions of Optuna do not warn."""

SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "tpe-multivariate": lambda seed: tpe(seed, multivariate=True, group=True),
    "gp": lambda seed: _experimental(GPSampler, seed=seed, **_QUIET),
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "nsga3": lambda seed: _experimental(NSGAIIISampler, seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}
"""Samplers by name, each from a seed."""

UNSUITABLE: Mapping[str, str] = {
    "cmaes": "CMA-ES is for numbers alone, and would draw types and options at random.",
    "qmc": "Quasi-Monte-Carlo is for numbers alone, and would draw types and options at random.",
    "grid": "A grid needs the same parameters in every network.",
    "brute_force": "An exhaustive search needs the same order of parameters in every network; 'optuna:random' "
    "repeats no network either.",
    "partial_fixed": "It is no search of its own, but fixes parameters for another.",
}
"""Samplers of Optuna that cannot decide on architectures, and why."""

TRIES = 10
"""Draws of a sampler that are all known before the last of them is edited."""

MOST_TRIALS = 500
"""A study with twice as many trials is cut down to the best and the newest of these."""

FEWER_TRIALS: Mapping[str, int] = {"gp": 200}
"""The same for samplers that take seconds for an ask otherwise."""

DEPTH = "depth"

GENERATION = ":generation"
"""What the names of attributes end with in which genetic samplers keep the generation of a trial."""


@dataclass
class Record:
    """One trial of the study.

    Attributes:
        depth: The depth drawn.
        row: Tokens drawn; where masks forbade them, others were built.
        state: Whether it is under way, has a value, or is of no use.
        value: The score, if it has one.
        attributes: What the sampler keeps with it.
    """

    depth: int
    row: Rows
    state: TrialState = TrialState.RUNNING
    value: float | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


def optuna_strategy(name: str, space: SearchSpace, seed: int) -> "OptunaStrategy":
    """The strategy of a sampler's name."""
    return OptunaStrategy(space, seed, SAMPLERS[name], FEWER_TRIALS.get(name, MOST_TRIALS))


class OptunaStrategy(Strategy):
    """Lets a sampler of Optuna decide on depth, types, hyper-parameters and connections, one parameter each.

    Parameters are categorical, except for the depth, which is drawn first, and are named by their place, as in
    ``3.type`` or ``3.filters``. A layer that is not there has none, and one with a single option is none. Where
    masks depend on the place alone, the options are those open at the place. Elsewhere they are all of the space's,
    since Optuna wants the same ones in each trial, and one that a mask closes stands for the nearest open one.

    The sampler is made anew for every trial from the seed and the number of the trial, so that it has no state
    but the trials. Failures and broken limits are failed trials. An architecture that is known is not proposed
    again: the trial fails, another is asked for, and after :data:`TRIES` the last is edited until it is new.

    Args:
        space: Fitted space.
        seed: Seed of all samplers.
        sampler: Makes a sampler from a seed.
        most_trials: A study with twice as many is cut down to the best and the newest of these.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        sampler: Callable[[int], BaseSampler],
        most_trials: int = MOST_TRIALS,
    ) -> None:
        self._space, self._seed, self._sampler = space, seed, sampler
        self._most_trials = most_trials
        self._tokens = Tokens(space)
        self._parameters = Parameters(space, self._tokens)
        self._random = np.random.Generator(np.random.PCG64([seed, 4]))
        self._novelty = Novelty(space, seed)
        self._trials: list[Record] = []
        self._pending: dict[str, int] = {}
        self._asked = 0
        self._study_attributes: dict[str, Any] = {}
        self._live: _Study | None = None

    def ask(self, n: int) -> list[Proposal]:
        """Up to ``n`` trials of the sampler."""
        return up_to(n, self._propose)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Finish the trials; what the sampler did not ask for becomes a trial too if it has a score."""
        for evaluation in evaluations:
            score = self._novelty.tell(evaluation)
            if evaluation.repeats_unfinished:
                continue
            index = self._pending.pop(evaluation.proposal.fingerprint, None)
            if index is not None:
                self._finish(index, score)
            elif score is not None:
                row = self._tokens.canonical(evaluation.proposal.architecture)
                depth = len(evaluation.proposal.architecture.layers)
                self._trials.append(Record(depth, row, TrialState.COMPLETE, score))
        if len(self._trials) >= 2 * self._most_trials:
            self._cut()

    def _propose(self) -> Proposal | None:
        for _ in range(TRIES):
            drawn, index = self._draw()
            proposal = self._novelty.propose(drawn, "optuna")
            if self._novelty.note(proposal):
                self._pending[proposal.fingerprint] = index
                return proposal
            self._finish(index, None)
        for attempt in range(3 * TRIES):
            edited = mutate(self._space, drawn, self._random, edits=1 + attempt // TRIES)
            proposal = self._novelty.propose(edited, "edit")
            if self._novelty.note(proposal):
                return proposal
        return self._novelty.draw()

    def _draw(self) -> tuple[Trajectory, int]:
        """Decisions of a new trial, and its number."""
        study = self._synchronised()
        seeds = np.random.SeedSequence([self._seed, self._asked]).generate_state(1)
        self._asked += 1
        trial = study.ask(self._sampler(int(seeds[0])))
        record = Record(self._parameters.depth(trial), np.zeros(self._tokens.width, np.int16))
        trajectory = self._parameters.decide(trial, record)
        record.attributes = study.attributes_of(trial)
        self._trials.append(record)
        return trajectory, trial.number

    def _finish(self, index: int, score: float | None) -> None:
        record = self._trials[index]
        record.state = TrialState.FAIL if score is None else TrialState.COMPLETE
        record.value = score
        if self._live is not None and index < self._live.size:
            self._live.finish(index, record)

    def _synchronised(self) -> "_Study":
        """The study with all trials in it."""
        if self._live is None:
            self._live = _Study(self._study_attributes)
        for record in self._trials[self._live.size :]:
            self._live.add(self._parameters.frozen(record))
        return self._live

    def _cut(self) -> None:
        """Keep what is under way, and of the rest the best and the newest."""
        scored = [index for index, record in enumerate(self._trials) if record.state is TrialState.COMPLETE]
        half = self._most_trials // 2
        older, newest = scored[:-half], scored[-half:]
        best = sorted(older, key=lambda index: -_value(self._trials[index]))[:half]
        kept = sorted({*best, *newest, *self._pending.values()})
        _renumber(
            [self._trials[i] for i in best], [self._trials[i] for i in {*newest, *self._pending.values()}]
        )
        self._trials = [self._trials[index] for index in kept]
        self._pending = {name: kept.index(index) for name, index in self._pending.items()}
        # Numbers of trials have changed, so what a sampler noted about them is void.
        self._study_attributes, self._live = {}, None

    def state_dict(self) -> StrategyState:
        """The trials, what is known, and the generator."""
        novelty = self._novelty.state_dict()
        values = {
            "seed": self._seed,
            "asked": self._asked,
            "generator": self._random.bit_generator.state,
            "novelty": novelty.values,
            "pending": dict(self._pending),
            "study": dict(self._study_attributes if self._live is None else self._live.attributes),
            "trials": [[t.depth, t.state.name, t.value, dict(t.attributes)] for t in self._trials],
        }
        rows = np.array([record.row for record in self._trials], np.int16)
        return StrategyState(values, novelty.tensors | {"rows": rows.reshape(-1, self._tokens.width)})

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state; the study is built anew from its trials."""
        values = state.values
        self._seed, self._asked = int(values["seed"]), int(values["asked"])
        self._random.bit_generator.state = values["generator"]
        self._novelty.load_state_dict(StrategyState(values["novelty"], state.tensors))
        self._pending = dict(values["pending"])
        self._trials = [
            Record(int(depth), row.astype(np.int16), TrialState[name], value, dict(attributes))
            for (depth, name, value, attributes), row in zip(
                values["trials"], state.tensors["rows"], strict=True
            )
        ]
        self._study_attributes, self._live = dict(values["study"]), None


class Parameters:
    """The decisions of a space as parameters of a study.

    Args:
        space: Fitted space.
        tokens: Its columns.
    """

    def __init__(self, space: SearchSpace, tokens: Tokens) -> None:
        self._space, self._tokens = space, tokens
        self._depth = IntDistribution(space.min_depth, space.max_depth)
        self._options = [
            tuple(sorted(found))
            for place in range(space.max_depth)
            for found in (
                _open_at(space, tokens, place) if isinstance(space, SequenceSpace) else _all_at(tokens, place)
            )
        ]
        connections = [f"connection{distance}" for distance in range(2, space.window + 1)]
        taken = {"type", *connections}
        names = (
            "type",
            *(f"{name} of the layer" if name in taken else name for name in tokens.names),
            *connections,
        )
        self._names = [f"{place}.{name}" for place in range(1, space.max_depth + 1) for name in names]

    def depth(self, trial: Trial) -> int:
        """The depth that a trial draws."""
        low, high = self._depth.low, self._depth.high
        return low if low == high else trial.suggest_int(DEPTH, low, high)

    def decide(self, trial: Trial, record: Record) -> Trajectory:
        """Let a trial decide layer by layer; what it draws is written into the record's row."""
        growth = self._space.start()
        while growth.depth < record.depth:
            types = growth.type_mask()[:-1]
            if not any(types):
                break
            first = growth.depth * self._tokens.columns
            code = _nearest(self._draw(trial, record, first), np.flatnonzero(types))
            mask = growth.layer_mask(code)
            options = tuple(
                _option(self._draw(trial, record, first + column), values, flags, self._tokens.ranks[column])
                for (column, values), flags in zip(self._tokens.slots[code], mask.hyperparameters, strict=True)
            )
            connected = first + 1 + len(self._tokens.names)
            connections = tuple(
                self._draw(trial, record, connected + slot) if flag else 0
                for slot, flag in enumerate(mask.connections)
            )
            longer = growth.add(LayerAction(code, options, connections), mask)
            if not longer.affordable and growth.type_mask()[-1]:
                break  # as other strategies do: the masks look at one decision at a time
            growth = longer
        return growth.stop()

    def _draw(self, trial: Trial, record: Record, column: int) -> int:
        options = self._options[column]
        if len(options) == 1:
            return options[0]
        value = int(trial.suggest_categorical(self._names[column], options))
        record.row[column] = 1 + value
        return value

    def frozen(self, record: Record) -> FrozenTrial:
        """A trial of the study from its record."""
        values: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}
        if self._depth.low < self._depth.high:
            values[DEPTH] = min(max(record.depth, self._depth.low), self._depth.high)
            distributions[DEPTH] = self._depth
        for column in np.flatnonzero(record.row != ABSENT):
            value, options = int(record.row[column]) - 1, self._options[column]
            if len(options) > 1 and value in options:
                values[self._names[column]] = value
                distributions[self._names[column]] = CategoricalDistribution(options)
        return create_trial(
            state=record.state,
            value=record.value,
            params=values,
            distributions=distributions,
            system_attrs=dict(record.attributes),
        )


class _Study:
    """A study in memory that says nothing."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._storage = optuna.storages.InMemoryStorage()
        with _quiet():
            self._study = optuna.create_study(storage=self._storage, study_name=_NAME, direction="maximize")
        self._id = self._storage.get_study_id_from_name(_NAME)
        for key, value in attributes.items():
            self._storage.set_study_system_attr(self._id, key, value)
        self.size = 0

    @property
    def attributes(self) -> dict[str, Any]:
        """What the sampler keeps with the study."""
        return dict(self._storage.get_study_system_attrs(self._id))

    def attributes_of(self, trial: Trial) -> dict[str, Any]:
        """What the sampler keeps with a trial."""
        return dict(self._study.get_trials(deepcopy=False)[trial.number].system_attrs)

    def add(self, trial: FrozenTrial) -> None:
        self._study.add_trial(trial)
        self.size += 1

    def ask(self, sampler: BaseSampler) -> Trial:
        self._study.sampler = sampler
        self.size += 1
        return self._study.ask()

    def finish(self, index: int, record: Record) -> None:
        self._study.tell(index, record.value, record.state)


_NAME = "gcnas strategy"


def _experimental(sampler: Callable[..., BaseSampler], **options: Any) -> BaseSampler:
    """A sampler that Optuna calls experimental, made without a warning each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return sampler(**options)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing our own study; what it says about others is shown."""
    logger = logging.getLogger("optuna.storages._in_memory")

    def other(message: logging.LogRecord) -> bool:
        return not message.getMessage().endswith(f"name: {_NAME}")

    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def _renumber(older: Sequence[Record], newer: Sequence[Record]) -> None:
    """Generations from 0 on, the older trials being the first: a genetic sampler recurs through all of them."""
    for key in {key for record in (*older, *newer) for key in record.attributes if key.endswith(GENERATION)}:
        first = int(any(key in record.attributes for record in older))
        generations = sorted({record.attributes[key] for record in newer if key in record.attributes})
        places = {generation: first + place for place, generation in enumerate(generations)}
        for record in (*older, *newer):
            if key in record.attributes:
                record.attributes[key] = places.get(record.attributes[key], 0)


def _value(record: Record) -> float:
    return -math.inf if record.value is None else record.value


def _nearest(value: int, allowed: Sequence[int] | np.ndarray[Any, Any]) -> int:
    return int(min(allowed, key=lambda other: (abs(other - value), other)))


def _option(value: int, tokens: Sequence[int], flags: Sequence[bool], ranks: Sequence[int] | None) -> int:
    """The option of a type that is, among the open ones, nearest to a value of the column: by size, where it has one.

    Types that share a name list its options in orders of their own.
    """

    def place(value: int) -> int:
        return value if ranks is None else ranks[value]

    places = {
        place(token - 1): index for index, (token, flag) in enumerate(zip(tokens, flags, strict=True)) if flag
    }
    return places[_nearest(place(value), list(places))]


def _all_at(tokens: Tokens, place: int) -> list[set[int]]:
    """The values of each column at a place."""
    sizes = tokens.sizes[: 1 + len(tokens.names)]
    connections = [{0, 1} if distance <= place + 1 else {0} for distance in range(2, tokens.space.window + 1)]
    return [*(set(range(size - 1)) for size in sizes), *connections]


def _open_at(space: SequenceSpace, tokens: Tokens, place: int) -> list[set[int]]:
    """The values of each column at a place that the masks of some type leave open."""
    found: list[set[int]] = [set() for _ in range(tokens.columns)]
    for code, flag in enumerate(space.type_masks[place][:-1]):
        mask = space.layer_masks[place][code]
        if not flag:
            continue
        found[0].add(code)
        for (column, values), flags in zip(tokens.slots[code], mask.hyperparameters, strict=True):
            found[column] |= {value - 1 for value, allowed in zip(values, flags, strict=True) if allowed}
        for slot, allowed in enumerate(mask.connections, start=1 + len(tokens.names)):
            found[slot] |= {0, 1} if allowed else {0}
    return found
