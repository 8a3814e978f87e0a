"""A table of trained networks: what each of them scored and what its training took."""

import hashlib
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gcnas.errors import DataError, SpaceError
from gcnas.records import Architecture, Fidelity
from gcnas.tabular.columns import check_sum, read_columns, read_file
from gcnas.tabular.description import CostColumn, Description
from gcnas.tabular.space import TableSpace, make_space

MAX_SIZE = 10**15
"""Most parameters or multiply-adds of a network."""


@dataclass(frozen=True)
class Entry:
    """What a table knows about one network at one fidelity.

    Attributes:
        reward: Higher is better.
        seconds: Simulated seconds of its training; 0 where the table does not say.
    """

    reward: float
    seconds: float


@dataclass(frozen=True)
class Level:
    """The columns of one fidelity, (rows) each.

    Attributes:
        rewards: NaN where there is none.
        seconds: Simulated seconds.
    """

    rewards: NDArray[np.float64]
    seconds: NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """A table and its space.

    Attributes:
        description: What it means.
        space: Its space.
        rows: Row of each key.
        levels: Columns by epochs; those of ``description.epochs`` are the full training.
        tests: Test scores (rows), for the harness alone; None if there are none.
        sha256: Checksum of the file.
        measured: Signals (rows) by name; NaN where there is none.
    """

    description: Description
    space: TableSpace
    rows: Mapping[str, int]
    levels: Mapping[int, Level]
    tests: NDArray[np.float64] | None
    sha256: str
    measured: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def fidelity(self) -> Fidelity:
        """The full training."""
        return Fidelity(self.description.epochs)

    @cached_property
    def best(self) -> float:
        """Highest reward that a search can find, at the full training.

        Where rows are the same network, only the first of them that has a reward can be found.
        """
        rewards = self.levels[self.description.epochs].rewards
        first = [row for key, row in self.rows.items() if key not in self.space.representatives]
        found = rewards[first]
        return float(found[~np.isnan(found)].max(initial=-math.inf))

    @property
    def networks(self) -> int:
        """Number of different networks."""
        return len(self.rows) - len(self.space.representatives)

    def entry(self, architecture: Architecture, epochs: int | None = None) -> Entry | None:
        """What is known about an architecture; None if it is infeasible: no row, or no number.

        Args:
            architecture: In canonical form.
            epochs: Fidelity; the full training if None.

        Raises:
            SpaceError: If the architecture is no point of the space, or the table has no such fidelity.
        """
        level = self.levels.get(self.description.epochs if epochs is None else epochs)
        if level is None:
            raise SpaceError(f"{self.space.name} has trainings of {sorted(self.levels)} epochs, not {epochs}.")
        row = self.rows.get(self.space.key(architecture))
        if row is None or math.isnan(level.rewards[row]):
            return None
        return Entry(float(level.rewards[row]), float(level.seconds[row]))

    def test(self, architecture: Architecture) -> float | None:
        """Test score of an architecture of the table; None where there is none."""
        if self.tests is None:
            return None
        value = float(self.tests[self.rows[self.space.key(architecture)]])
        return None if math.isnan(value) else value

    def signals(self, architecture: Architecture) -> dict[str, float]:
        """Signals of an architecture by name, NaN where the table does not say.

        Raises:
            SpaceError: If the architecture is no point of the space.
        """
        row = self.rows.get(self.space.key(architecture))
        return {name: math.nan if row is None else float(column[row]) for name, column in self.measured.items()}


def load_table(path: Path, description: Description, *, checksum: bool = True) -> Table:
    """Read a table.

    Args:
        path: CSV, gzip'ed CSV or npz.
        description: What it means.
        checksum: Whether the file must be the one whose SHA-256 the description has, if it has one.

    Raises:
        DataError: If the file cannot be read, is another than expected, lacks a column, or has a wrong key or
            number; the message names the row.
        ConfigurationError: If the description's layers, connections or lengths do not fit together.
    """
    space = make_space(description)
    content = read_file(path)
    if checksum and description.sha256 is not None:
        check_sum(content, description.sha256, path)
    columns = read_columns(content, _wanted(description), path)
    keys = _keys(columns[description.key], space, path)
    rows = {key: row for row, key in enumerate(keys)}
    levels = _levels(description, columns, path)
    representatives: dict[str, str] = {}
    if description.canonical is not None:
        known = ~np.isnan(levels[description.epochs].rewards)
        representatives = _representatives(keys, columns[description.canonical], known)
    space = make_space(description, representatives, _sizes(description, keys, columns, levels, path))
    tests = None if description.test is None else _numbers(columns[description.test], description.test, path)
    measured = {name: _numbers(columns[name], name, path) for name in description.signals}
    table = Table(description, space, rows, levels, tests, hashlib.sha256(content).hexdigest(), measured)
    if math.isinf(table.best):
        raise DataError(f"{path} has no number in the column {description.reward!r}.")
    return table


def _wanted(description: Description) -> list[str]:
    costs = [description.cost, *(columns.cost for columns in description.fidelities.values())]
    names = [description.key, description.reward, description.test, description.canonical]
    names += [columns.reward for columns in description.fidelities.values()]
    costs += [description.parameters, description.multiply_adds]
    names += [cost.column for cost in costs if cost is not None] + list(description.signals)
    return list(dict.fromkeys(name for name in names if name is not None))


def _keys(texts: Sequence[str], space: TableSpace, path: Path) -> list[str]:
    keys: dict[str, int] = {}
    for number, text in enumerate(texts, start=1):
        try:
            key = space.code.checked(text)
        except SpaceError as error:
            raise DataError(f"Row {number} of {path}: {error}.") from None
        if key in keys:
            raise DataError(f"Rows {keys[key]} and {number} of {path} have the same key {key!r}.")
        keys[key] = number
    if not keys:
        raise DataError(f"{path} has no rows.")
    return list(keys)


def _representatives(keys: Sequence[str], canonical: Sequence[str], known: NDArray[np.bool_]) -> dict[str, str]:
    """For each other key of a network the first one that has a reward, or the first; empty cells are no name."""
    # NaN is what a column of numbers has where a cell is missing.
    canonical = ["" if name.strip().lower() == "nan" else name.strip() for name in canonical]
    first: dict[str, str] = {}
    for known_only in (True, False):
        for key, name, has_reward in zip(keys, canonical, known, strict=True):
            if name and (has_reward or not known_only):
                first.setdefault(name, key)
    return {key: first[name] for key, name in zip(keys, canonical, strict=True) if name and first[name] != key}


def _levels(description: Description, columns: Mapping[str, Sequence[str]], path: Path) -> dict[int, Level]:
    wanted = {epochs: (c.reward, c.cost) for epochs, c in description.fidelities.items()}
    wanted[description.epochs] = (description.reward, description.cost)
    levels = {}
    for epochs, (name, cost) in wanted.items():
        rewards = _numbers(columns[name], name, path)
        levels[epochs] = Level(rewards, _seconds(cost, rewards, columns, path))
    return levels


def _sizes(
    description: Description,
    keys: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    levels: Mapping[int, Level],
    path: Path,
) -> dict[str, tuple[int, int]]:
    """Parameters and multiply-adds by key, of networks with a reward; nothing where the description names none."""
    if description.parameters is None or description.multiply_adds is None:
        return {}
    sizes = []
    known = ~np.all([np.isnan(level.rewards) for level in levels.values()], axis=0)
    for cost in (description.parameters, description.multiply_adds):
        numbers = _numbers(columns[cost.column], cost.column, path) * cost.factor
        wrong = np.flatnonzero(known & (~(numbers >= 0) | (numbers > MAX_SIZE)))
        if len(wrong):
            raise DataError(
                f"Row {wrong[0] + 1} of {path}: the column {cost.column!r} must hold numbers from 0 to {MAX_SIZE:,}, "
                f"but holds {reprlib.repr(columns[cost.column][wrong[0]])}."
            )
        sizes.append(np.where(known, numbers, 0).round().astype(np.int64).tolist())
    rows = zip(keys, zip(*sizes, strict=True), known.tolist(), strict=True)
    return {key: size for key, size, is_known in rows if is_known}


def _seconds(
    cost: CostColumn | None, rewards: NDArray[np.float64], columns: Mapping[str, Sequence[str]], path: Path
) -> NDArray[np.float64]:
    if cost is None:
        return np.zeros(len(rewards))
    seconds = _numbers(columns[cost.column], cost.column, path) * cost.factor
    wrong = np.flatnonzero(~np.isnan(rewards) & ~(seconds >= 0))
    if len(wrong):
        raise DataError(
            f"Row {wrong[0] + 1} of {path}: seconds in the column {cost.column!r} must be numbers from 0, but are "
            f"{reprlib.repr(columns[cost.column][wrong[0]])}."
        )
    return seconds


def _numbers(texts: Sequence[str], name: str, path: Path) -> NDArray[np.float64]:
    """Numbers; NaN where a cell is empty or not finite."""
    try:
        values = np.array([float(text) if text.strip() else math.nan for text in texts], dtype=np.float64)
    except ValueError:
        row = next(row for row, text in enumerate(texts) if text.strip() and not _is_number(text))
        raise DataError(
            f"Row {row + 1} of {path}: {name!r} must be a number or empty, but is {reprlib.repr(texts[row])}."
        ) from None
    return np.where(np.isfinite(values), values, math.nan)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
