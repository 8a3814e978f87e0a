"""The cross-entropy method with importance mixing: how GCN-NAS searches, brought to discrete decisions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gcnas.records import Evaluation, LayerAction, Proposal, Trajectory
from gcnas.space import Growth, SearchSpace
from gcnas.strategy.base import Strategy, StrategyState, under, up_to
from gcnas.strategy.novelty import NOTHING, Novelty

Floats = NDArray[np.float64]

SOURCE = "distribution"

TRIES = 100
"""Draws that are all known before a point is drawn uniformly."""

REFUSALS = 20
"""Draws that importance mixing refuses in a row before one is taken all the same."""


@dataclass(frozen=True)
class CEIMSettings:
    """How the distribution moves.

    Attributes:
        population: Scored points behind each move; the better half of them counts.
        damping: Variance added in the first move, in units of the first variance.
        least_damping: What it falls to.
        decay: Of the damping from move to move.
    """

    population: int = 10
    damping: float = 0.3
    least_damping: float = 0.01
    decay: float = 0.95


class CEIMStrategy(Strategy):
    """Draws from a normal distribution that moves to the better half of its draws (Peng et al., 2020).

    GCN-NAS searches real numbers, the weights of the functions that it mixes. Here a point holds one number for each
    option of each decision at each place; STOP is one of the types, and a connection is there if its number is
    positive. Of the options that the masks leave open, the one with the highest number is taken. All numbers are
    independent, at first with mean 0 and variance 1. Once ``population`` points have scores, the mean becomes that of
    the better half, weighted by rank, the variance theirs about the mean before, and it is damped. Importance mixing
    (Pourchot et al., 2018) keeps earlier points that are about as likely under the new distribution, and draws fewer
    new ones there.

    Unlike the published method, this has no factor of 1/25 on the variance, and scores are those of trained networks,
    not of shared weights. A network that is known is not proposed again, and its new point does not count: the
    distribution would settle on it. After :data:`TRIES` in vain a network is drawn uniformly. Failures have the lowest
    rank. Networks that others proposed have no point and are not learnt from.
    With several workers, a point that was drawn before the last move and scored after it counts as a draw of it.

    Args:
        space: Fitted space.
        seed: Seed of the draws.
        settings: Size of the population and damping.
    """

    def __init__(self, space: SearchSpace, seed: int, settings: CEIMSettings | None = None) -> None:
        self._space, self.settings = space, settings or CEIMSettings()
        self._random = np.random.Generator(np.random.PCG64([seed, 2]))
        self._novelty = Novelty(space, seed)
        self._layout = _Layout(space)
        width = self._layout.width
        self._mean, self._variance = np.zeros(width), np.ones(width)
        self._old_mean, self._old_variance = self._mean, self._variance
        self._moves = 0
        self._points: list[Floats] = []
        self._scores: list[float] = []
        self._pending: dict[str, Floats] = {}

    def ask(self, n: int) -> list[Proposal]:
        """Up to ``n`` networks that the distribution gives, or uniform draws where it gives nothing new."""
        return up_to(n, self._propose)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Let the points of the networks join the population with their scores."""
        for evaluation in evaluations:
            score = self._novelty.tell(evaluation)
            if evaluation.repeats_unfinished:
                continue
            point = self._pending.pop(evaluation.proposal.fingerprint, None)
            if point is not None:
                self._join(point, NOTHING if score is None else score)

    def _propose(self) -> Proposal | None:
        for _ in range(TRIES):
            point = self._draw()
            proposal = self._novelty.propose(self._layout.decode(point), SOURCE)
            if self._novelty.note(proposal):
                self._pending[proposal.fingerprint] = point
                return proposal
        return self._novelty.draw()

    def _draw(self) -> Floats:
        """A point of the new distribution, rarely where the old one had many."""
        for _ in range(REFUSALS):
            point = self._mean + np.sqrt(self._variance) * self._random.standard_normal(len(self._mean))
            if not self._moves or np.log1p(-self._random.random()) >= -self._log_ratio(point):
                break
        return point

    def _log_ratio(self, point: Floats) -> float:
        """Logarithm of the new density over the old one."""
        new = np.square(point - self._mean) / self._variance + np.log(self._variance)
        old = np.square(point - self._old_mean) / self._old_variance + np.log(self._old_variance)
        return float((old - new).sum() / 2)

    def _join(self, point: Floats, score: float) -> None:
        self._points.append(point)
        self._scores.append(score)
        if len(self._points) >= self.settings.population:
            self._move()

    def _move(self) -> None:
        """Take on mean and variance of the better half, and keep what importance mixing keeps."""
        s, scores = self.settings, np.array(self._scores)
        order = np.argsort(-scores, kind="stable")[: max(1, len(scores) // 2)]
        parents = np.array(self._points)[order[np.isfinite(scores[order])]]
        points, known, self._points, self._scores = self._points, self._scores, [], []
        if not len(parents):
            return
        weights = np.log((len(parents) + 1) / np.arange(1, len(parents) + 1))
        weights /= weights.sum()
        damping = max(s.least_damping, s.damping * s.decay**self._moves)
        self._old_mean, self._old_variance = self._mean, self._variance
        self._mean = weights @ parents
        self._variance = weights @ np.square(parents - self._old_mean) + damping
        self._moves += 1
        for point, score in zip(points, known, strict=True):
            room = len(self._points) < s.population - 1
            if room and np.log(self._random.random()) < self._log_ratio(point):
                self._points.append(point)
                self._scores.append(score)

    def state_dict(self) -> StrategyState:
        """The distribution, the points with and without scores, the generator, and what is known."""
        known = self._novelty.state_dict()
        values = {
            "generator": self._random.bit_generator.state,
            "moves": self._moves,
            "pending": list(self._pending),
            "novelty": known.values,
        }
        tensors = {f"novelty.{name}": array for name, array in known.tensors.items()}
        tensors |= {name: getattr(self, f"_{name}").copy() for name in _MOMENTS}
        tensors["points"] = self._array(self._points)
        tensors["scores"] = np.nan_to_num(np.array(self._scores, np.float64), neginf=_LOWEST)
        tensors["pending"] = self._array(list(self._pending.values()))
        return StrategyState(values, tensors)

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state."""
        values, tensors = state.values, state.tensors
        self._random.bit_generator.state = values["generator"]
        self._moves = int(values["moves"])
        self._novelty.load_state_dict(StrategyState(values["novelty"], under("novelty.", tensors)))
        for name in _MOMENTS:
            setattr(self, f"_{name}", tensors[name].copy())
        self._points = list(tensors["points"].copy())
        self._scores = [score if score > _LOWEST else NOTHING for score in tensors["scores"].tolist()]
        self._pending = dict(zip(values["pending"], tensors["pending"].copy(), strict=True))

    def _array(self, points: list[Floats]) -> Floats:
        return np.array(points, np.float64).reshape(len(points), len(self._mean))


_MOMENTS = ("mean", "variance", "old_mean", "old_variance")

_LOWEST = float(np.finfo(np.float64).min)
"""Stands for a failure in a state."""


class _Layout:
    """Where in a point the numbers of each decision lie.

    Attributes:
        width: Numbers of a point: at each place those of the types and STOP, of each type's options, of connections.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._types = len(space.layer_types) + 1
        self._options: list[list[slice]] = []
        offset = self._types
        for layer_type in space.layer_types:
            slices = []
            for choice in layer_type.choices:
                slices.append(slice(offset, offset + len(choice)))
                offset += len(choice)
            self._options.append(slices)
        self._connections = slice(offset, offset + space.window - 1)
        self._columns = self._connections.stop
        self.width = self._columns * space.max_depth

    def decode(self, point: Floats) -> Trajectory:
        """The network of the highest numbers among what the masks leave open."""
        space, growth = self._space, self._space.start()
        for numbers in point.reshape(space.max_depth, self._columns):
            types = growth.type_mask()
            code = _highest(numbers[: self._types], types)
            if code == self._types - 1:
                break
            longer = self._longer(growth, numbers, code)
            # Options that fit alone may not fit together.
            if not longer.affordable and types[-1]:
                break
            growth = longer
        return growth.stop()

    def _longer(self, growth: Growth, numbers: Floats, code: int) -> Growth:
        mask = growth.layer_mask(code)
        options = tuple(
            _highest(numbers[where], flags)
            for where, flags in zip(self._options[code], mask.hyperparameters, strict=True)
        )
        chosen = numbers[self._connections]
        flags = tuple(int(flag and number > 0) for flag, number in zip(mask.connections, chosen, strict=True))
        return growth.add(LayerAction(code, options, flags), mask)


def _highest(numbers: Floats, flags: Sequence[bool]) -> int:
    return int(np.argmax(np.where(flags, numbers, -np.inf)))
