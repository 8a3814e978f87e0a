"""The parameters of a study of Optuna as a space of sequences: one layer for each parameter."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from gcnas.records import Architecture, HyperparameterValue, LayerAction, Trajectory
from gcnas.space import Place, SequenceSpace, token

Floats = NDArray[np.float64]

Decisions = tuple[int, ...]
"""The option of each decision of a layer."""

BASE = 6
"""Options of a digit: so many bins a number is cut into, and each bin again."""

DIGITS = 3
"""Most digits of a number: 216 cells."""

MOST_CHOICES = 200
"""Choices of a categorical parameter that is a decision, and of all that share a column of tokens: the time of a
proposal grows with their cube."""

LISTED = 100_000
"""Values of a parameter up to which the cells without any are known."""

FEW = 16
"""Values of a parameter up to which others can be seen to depend on it."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a study as decisions of one layer.

    A categorical parameter is one decision. A number is written in up to :data:`DIGITS` digits of base :data:`BASE`,
    the first of which says in which sixth of the range it lies, on the scale of the distribution. Digits are reflected
    (Gray code): two neighbouring cells differ in one digit, so that the next cell is always one edit away. A cell
    without any value stands for the nearest one that has some.

    Attributes:
        name: Its name.
        distribution: What Optuna knows about it.
    """

    name: str
    distribution: BaseDistribution

    @cached_property
    def sizes(self) -> Decisions:
        """Options of each decision."""
        if isinstance(self.distribution, CategoricalDistribution):
            return (len(self.distribution.choices),)
        left, sizes = min(self.count or math.inf, BASE**DIGITS), []
        while left > 1:
            sizes.append(min(BASE, int(left)))
            left = math.ceil(left / sizes[-1])
        return tuple(sizes)

    @cached_property
    def count(self) -> int | None:
        """Number of values; None for real numbers."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return len(d.choices)
        if isinstance(d, IntDistribution):
            return (d.high - d.low) // d.step + 1
        if isinstance(d, FloatDistribution) and d.step is not None:
            return round((d.high - d.low) / d.step) + 1
        return None

    @property
    def separate(self) -> bool:
        """Whether there are few values, and the decisions tell each from the others."""
        if self.count is None or self.count > FEW:
            return False
        return self._filled is None or len(set(self._filled.tolist())) == self.count

    def contains(self, value: Any) -> bool:
        """Whether a value is in the range."""
        d = self.distribution
        try:
            inner = d.to_internal_repr(value)
        except ValueError:  # a choice that there is no more
            return False
        if isinstance(d, IntDistribution | FloatDistribution):
            return d.low <= inner <= d.high
        return 0 <= inner < self.sizes[0]

    def encode(self, value: Any) -> Decisions:
        """The decisions behind a value."""
        inner = self.distribution.to_internal_repr(value)
        if isinstance(self.distribution, CategoricalDistribution):
            return (int(inner),)
        return _digits(int(self._cells(np.array([inner]))[0]), self.sizes)

    def decode(self, decisions: Sequence[int], random: np.random.Generator) -> Any:
        """A value in the cell of the decisions."""
        d: Any = self.distribution
        if isinstance(d, CategoricalDistribution):
            return d.choices[decisions[0]]
        cell = _cell(self.canonical(tuple(decisions)), self.sizes)
        if self._filled is not None:
            index = int(random.integers(*np.searchsorted(self._filled, [cell, cell + 1])))
            return min(d.low + index * d.step, d.high)
        low, high = self._range
        value = low + (cell + random.random()) / math.prod(self.sizes) * (high - low)
        value = math.exp(value) if d.log else value
        if d.step is not None:
            value = d.low + round((value - d.low) / d.step) * d.step
        return type(d.low)(min(max(value, d.low), d.high))

    def canonical(self, decisions: Decisions) -> Decisions:
        """The same decisions for the same values."""
        return self._nearest.get(decisions, decisions)

    def _cells(self, values: Floats) -> NDArray[np.int64]:
        """The cell of each value, as Optuna represents them inside."""
        cells, (low, high) = math.prod(self.sizes), self._range
        scaled = np.log(values) if getattr(self.distribution, "log", False) else values
        return np.clip((scaled - low) / (high - low) * cells, 0, cells - 1).astype(np.int64)

    @cached_property
    def _range(self) -> tuple[float, float]:
        """Ends of the scale, half a step further out where there are steps, so that the ends are as likely."""
        d: Any = self.distribution
        low, high = d.low - (d.step or 0) / 2, d.high + (d.step or 0) / 2
        return (math.log(low), math.log(high)) if d.log else (low, high)

    @cached_property
    def _filled(self) -> NDArray[np.int64] | None:
        """The cell of every value, from the lowest to the highest; None for real numbers and categories."""
        d: Any = self.distribution
        if self.count is None or self.count > LISTED or isinstance(d, CategoricalDistribution):
            return None
        return self._cells(d.low + d.step * np.arange(self.count, dtype=np.float64))

    @cached_property
    def _nearest(self) -> dict[Decisions, Decisions]:
        """For each cell without values, the nearest one that has some."""
        if self._filled is None:
            return {}
        filled = np.unique(self._filled)
        empty = np.setdiff1d(np.arange(math.prod(self.sizes)), filled)
        nearest = filled[np.abs(empty[:, None] - filled[None]).argmin(1)]
        pairs = zip(empty.tolist(), nearest.tolist(), strict=True)
        return {_digits(cell, self.sizes): _digits(other, self.sizes) for cell, other in pairs}


class StudySpace:
    """A space of sequences for the parameters of a study, and the way between trials and trajectories.

    Parameters that only some trials have are decisions like others. Where a parameter of few values decides whether
    another is there, as far as the trials show, the options of one that is not there make no difference.

    Args:
        distributions: The parameters, none of them a single value.
        trials: What was tried, to see which parameters depend on others.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], trials: Sequence[FrozenTrial]) -> None:
        self.parameters = tuple(Parameter(name, distributions[name]) for name in sorted(distributions))
        self._everywhere = {n for n in distributions if all(n in trial.params for trial in trials)}
        self._conditions = {
            name: self._condition(name, trials) for name in distributions if name not in self._everywhere
        }
        self.space = _sequence_space(self.parameters, self._canonical)

    def _condition(self, name: str, trials: Sequence[FrozenTrial]) -> "_Condition | None":
        """The first parameter whose values explain which trials have this one."""
        needed = sum(name in trial.params for trial in trials)
        for parent in self.parameters:
            there = [t for t in trials if parent.name in t.params and parent.contains(t.params[parent.name])]
            # More trials have the parent, so that no parameter can depend on itself.
            if not parent.separate or len(there) <= needed:
                continue
            pairs = {(parent.encode(trial.params[parent.name]), name in trial.params) for trial in there}
            explained = len({decisions for decisions, _ in pairs}) == len(pairs)
            if explained and sum(name in trial.params for trial in there) == needed:
                return _Condition(parent.name, dict(pairs))
        return None

    def external(self, noted: Mapping[str, float]) -> dict[str, Any]:
        """The values of parameters from the numbers that Optuna represents them by."""
        known = [parameter for parameter in self.parameters if parameter.name in noted]
        return {p.name: p.distribution.to_external_repr(noted[p.name]) for p in known}

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether a trial's parameters are a point of the space: all are in range, and none is missing."""
        there = [parameter for parameter in self.parameters if parameter.name in values]
        if not all(parameter.contains(values[parameter.name]) for parameter in there):
            return False
        decisions = {parameter.name: parameter.encode(values[parameter.name]) for parameter in there}
        missing = [parameter.name for parameter in self.parameters if parameter.name not in values]
        return not any(self._present(name, decisions, unknown=False) for name in missing)

    def encode(self, values: Mapping[str, Any], number: int) -> Trajectory:
        """The decisions behind a trial's parameters; for those that are missing any, which the number decides."""
        random = np.random.Generator(np.random.PCG64(number))
        growth = self.space.start()
        for code, parameter in enumerate(self.parameters):
            chosen = tuple(int(random.integers(size)) for size in parameter.sizes)
            if parameter.name in values:
                chosen = parameter.encode(values[parameter.name])
            growth = growth.add(LayerAction(code, chosen))
        return growth.stop()

    def decode(self, trajectory: Trajectory, random: np.random.Generator) -> dict[str, Any]:
        """A value for each parameter that is there."""
        chosen = self._chosen(trajectory.actions)
        return {
            parameter.name: parameter.decode(chosen[parameter.name], random)
            for parameter in self.parameters
            if self._present(parameter.name, chosen)
        }

    def _chosen(self, actions: Sequence[LayerAction]) -> dict[str, Decisions]:
        layers = zip(self.parameters, actions, strict=False)
        return {p.name: p.canonical(action.hyperparameters) for p, action in layers}

    def _canonical(self, actions: Sequence[LayerAction]) -> tuple[LayerAction, ...]:
        """The same actions for trials that are the same."""
        chosen = self._chosen(actions)
        layers = zip(self.parameters, actions, strict=False)
        return tuple(
            replace(
                action,
                hyperparameters=chosen[p.name] if self._present(p.name, chosen) else (0,) * len(p.sizes),
            )
            for p, action in layers
        )

    def _present(self, name: str, chosen: Mapping[str, Decisions], *, unknown: bool = True) -> bool:
        """Whether trials with these decisions have the parameter; what to answer where none of them tells."""
        if name in self._everywhere:
            return True
        condition = self._conditions[name]
        if condition is None:
            return unknown
        parent = condition.parent
        if parent not in chosen or not self._present(parent, chosen, unknown=unknown):
            return False
        return condition.present.get(chosen[parent], unknown)


@dataclass(frozen=True)
class _Condition:
    """For the decisions of another parameter, whether a parameter is there."""

    parent: str
    present: Mapping[Decisions, bool]


@dataclass(frozen=True)
class _Sequences(SequenceSpace):
    """Sequences that are equal where trials are.

    Attributes:
        canonical: Brings decisions to the form in which equal trials are equal.
    """

    canonical: Callable[[Sequence[LayerAction]], tuple[LayerAction, ...]] = tuple

    def decode(self, actions: Sequence[LayerAction]) -> Architecture:
        """The sequence of raw decisions."""
        return super().decode(self.canonical(actions))


def joined(old: BaseDistribution, new: BaseDistribution) -> BaseDistribution:
    """A range that holds those of two trials; the newer one where they are not of one kind."""
    if type(old) is not type(new) or not isinstance(new, IntDistribution | FloatDistribution):
        return new
    before: Any = old
    step = new.step or 0
    aligned = not step or math.isclose(
        (new.low - before.low) / step, round((new.low - before.low) / step), abs_tol=1e-9
    )
    if before.log != new.log or before.step != new.step or not aligned:
        return new
    kind: Any = type(new)
    whole: BaseDistribution = kind(
        min(before.low, new.low), max(before.high, new.high), log=new.log, step=new.step
    )
    return whole


def is_decision(distribution: BaseDistribution) -> bool:
    """Whether there is something to decide, and not too much for a list of options."""
    return not distribution.single() and _choices(distribution) <= MOST_CHOICES


def _choices(distribution: BaseDistribution) -> int:
    return len(distribution.choices) if isinstance(distribution, CategoricalDistribution) else 0


def _sequence_space(
    parameters: Sequence[Parameter], canonical: Callable[[Sequence[LayerAction]], tuple[LayerAction, ...]]
) -> SequenceSpace:
    columns = _columns([_choices(parameter.distribution) for parameter in parameters])
    kinds = tuple(
        token(f"parameter{code}", _options(code, parameter, column))
        for code, (parameter, column) in enumerate(zip(parameters, columns, strict=True))
    )
    depth = len(parameters)
    places = tuple(Place(tuple(code == place for code in range(depth)), {}, (1,)) for place in range(depth))
    return _Sequences("study", kinds, depth, depth, window=1, places=places, canonical=canonical)


def _columns(counts: Sequence[int]) -> list[str]:
    """A column for the categories of each parameter, which takes those of the next ones too while there is room."""
    columns, taken, number = [], 0, 1
    for count in counts:
        if taken + count > MOST_CHOICES:
            taken, number = 0, number + 1
        taken += count
        columns.append("category" if number == 1 else f"category{number}")
    return columns


def _options(code: int, parameter: Parameter, column: str) -> dict[str, Sequence[HyperparameterValue]]:
    """Digits mean the same for all numbers; a category is like no other's."""
    if isinstance(parameter.distribution, CategoricalDistribution):
        return {column: [f"{code}.{index}" for index in range(parameter.sizes[0])]}
    return {f"digit{place}": range(size) for place, size in enumerate(parameter.sizes)}


def _digits(cell: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Reflected digits of a cell: with sizes (3, 2), cells 0 to 5 are 00, 01, 11, 10, 20, 21."""
    digits, rest = [], math.prod(sizes)
    for size in sizes:
        rest //= size
        digit, cell = divmod(cell, rest)
        digits.append(digit)
        if digit % 2:
            cell = rest - 1 - cell
    return tuple(digits)


def _cell(digits: Sequence[int], sizes: Sequence[int]) -> int:
    """The cell of reflected digits."""
    cell, rest = 0, 1
    for digit, size in zip(reversed(digits), reversed(sizes), strict=True):
        cell = digit * rest + (rest - 1 - cell if digit % 2 else cell)
        rest *= size
    return cell
