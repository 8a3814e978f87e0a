"""What earlier searches learnt, for a new one to start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gcnas.errors import SpaceError
from gcnas.records import Architecture, Trajectory
from gcnas.space import SearchSpace
from gcnas.strategy.edits import allowed, architecture_of, regrown
from gcnas.strategy.experience import Experience
from gcnas.strategy.learned_kernel import LearnedKernelProcess
from gcnas.strategy.tokens import Rows, Tokens

Floats = NDArray[np.float64]

FORGOTTEN = 500
"""Networks of the new run after which earlier ones have no say."""

FIT_STEPS = 60
"""Gradient steps of the process of an earlier run."""

ELITES = 32
"""Networks of all earlier runs that become candidates, and that the policy learns from."""

LEAST_KNOWN = 4
"""Networks of the new run before an earlier one is trusted at all."""


@dataclass(frozen=True)
class PastRun:
    """Networks that an earlier run evaluated, the best first.

    Attributes:
        name: What the run is called in messages.
        architectures: The networks, in the canonical form of that run's images.
        targets: Normal score of each among all networks of that run.
    """

    name: str
    architectures: tuple[Architecture, ...]
    targets: tuple[float, ...]

    def within(self, space: SearchSpace) -> "PastRun":
        """The networks whose layers a space has, whatever its images and limits."""
        kept = [pair for pair in zip(self.architectures, self.targets, strict=True) if _known(space, pair[0])]
        return PastRun(self.name, tuple(a for a, _ in kept), tuple(t for _, t in kept))


class Elite(NamedTuple):
    """A good network of an earlier run, brought into the space of the new one.

    Attributes:
        trajectory: Decisions that lead to it.
        target: What the earlier run says of it.
        run: Index of that run.
    """

    trajectory: Trajectory
    target: float
    run: int


def _known(space: SearchSpace, architecture: Architecture) -> bool:
    if not 1 <= architecture.depth <= space.max_depth:
        return False
    try:
        for index, layer in enumerate(architecture.layers, start=1):
            space.encode_layer(layer, index)
    except SpaceError:
        return False
    return True


class History:
    r"""Predicts the targets of a new run from earlier ones, as far as they agree with what the new one has seen.

    Each earlier run r has a Gaussian process of its own, :math:`h_r`, which never learns anything else. Its trust is

    .. math:: w_r = \max(0, \rho_r - 1 / \sqrt n) \max(0, 1 - n / 500)

    with :math:`\rho_r` the rank correlation of :math:`h_r` with the targets of the new run's n networks. An earlier run
    that says nothing about this one, or the contrary, is left out; its say shrinks where the search has gone on to
    networks among which it cannot tell the good ones, and in the end it is forgotten. The models of the new run learn
    what the prediction :math:`\sum_r w_r^2 h_r / \sum_r w_r` leaves over.

    Args:
        space: Fitted space of the new run.
        tokens: Its columns.
        runs: Earlier runs, all of whose networks have layers of the space.

    Attributes:
        trust: w, one for each run.
    """

    def __init__(self, space: SearchSpace, tokens: Tokens, runs: Sequence[PastRun]) -> None:
        self._space, self._tokens = space, tokens
        self._runs = runs
        self._processes = [self._process(run) for run in runs]
        self.trust = np.zeros(len(runs))
        self._centre = 0.0

    def _process(self, run: PastRun) -> LearnedKernelProcess:
        process = LearnedKernelProcess(self._tokens.sizes, self._space.max_depth, self._tokens.ranks)
        rows = np.array([self._tokens.canonical(a) for a in run.architectures])
        rows = rows.reshape(len(rows), self._space.max_depth, self._tokens.columns)
        process.fit(rows, np.array(run.targets), FIT_STEPS)
        return process

    def weigh(self, experience: Experience) -> None:
        """Measure how far each earlier run agrees with the new one."""
        self.trust = np.zeros(len(self._runs))
        self._centre = 0.0
        rows = experience.best(len(experience))
        if not LEAST_KNOWN <= len(rows) < FORGOTTEN:
            return
        targets, fresh = experience.targets[rows], 1 - len(rows) / FORGOTTEN
        for index, process in enumerate(self._processes):
            agreement = _correlation(process.predict(experience.tokens[rows]).mean, targets)
            self.trust[index] = max(0.0, agreement - len(rows) ** -0.5) * fresh
        self._centre = float(self._raw(experience.tokens[rows]).mean())

    @property
    def trusted(self) -> bool:
        """Whether any earlier run has a say."""
        return bool(self.trust.any())

    def predict(self, tokens: Rows) -> Floats:
        """What is expected of tokens (n, N, J), beside the mean of the new run's networks, (n)."""
        return self._raw(tokens) - self._centre

    def _raw(self, tokens: Rows) -> Floats:
        total = np.zeros(len(tokens))
        for weight, process in zip(self.trust, self._processes, strict=True):
            if weight > 0:
                total += weight**2 / self.trust.sum() * process.predict(tokens).mean
        return total

    @property
    def elites(self) -> list[Elite]:
        """The best networks of the earlier runs in turn, brought into the new space.

        There are at most :data:`ELITES`, and fewer where too few have a form within the limits.
        """
        return self._in_turn(range(len(self._runs)))

    @property
    def trusted_elites(self) -> list[Elite]:
        """Those of the runs that have a say."""
        return self._in_turn(np.flatnonzero(self.trust).tolist())

    def _in_turn(self, runs: Sequence[int]) -> list[Elite]:
        """The elites of some runs, first as they were, then changed by the limits; the first of equal ones."""
        found: dict[str, Elite] = {}
        for part in zip(*(self._brought[run] for run in runs), strict=True):
            for turn in zip_longest(*part):
                for fingerprint, elite in filter(None, turn):
                    found.setdefault(fingerprint, elite)
        return list(found.values())[:ELITES]

    @cached_property
    def _brought(self) -> list[tuple[list[tuple[str, Elite]], list[tuple[str, Elite]]]]:
        """Fingerprints and elites of each run: those that are as they were, and those that the limits have changed."""
        return [self._bring(index, run) for index, run in enumerate(self._runs)]

    def _bring(self, index: int, run: PastRun) -> tuple[list[tuple[str, Elite]], list[tuple[str, Elite]]]:
        # A generator of its own: a run that goes on must bring them into the space in the same way.
        random = np.random.Generator(np.random.PCG64([0, index]))
        found, cut = dict[str, Elite](), dict[str, Elite]()
        for architecture, target in zip(run.architectures, run.targets, strict=True):
            if len(found) == ELITES:
                break
            layers = enumerate(architecture.layers, start=1)
            actions = tuple(self._space.encode_layer(layer, place) for place, layer in layers)
            trajectory = regrown(self._space, actions, random)
            if trajectory is None or not allowed(trajectory):
                continue
            brought = architecture_of(self._space, trajectory)
            if brought.layers and self._space.violation(brought) is None:
                # What the limits have changed need not be good any more: only where there is too little else.
                as_it_was = target > 0 and trajectory.actions[:-1] == actions
                (found if as_it_was else cut).setdefault(brought.fingerprint, Elite(trajectory, target, index))
        return list(found.items()), list(cut.items())

    def joined(
        self, elites: Sequence[Trajectory], targets: Floats, most: int
    ) -> tuple[list[Trajectory], Floats]:
        """The elites of the new run and those of the earlier ones, each as far as its run is trusted.

        Args:
            elites: Of the new run.
            targets: Of each.
            most: Most of both together.
        """
        found = self.trusted_elites[: max(most - len(elites), 0)] if self.trusted else []
        says = [float(self.trust[elite.run]) * elite.target for elite in found]
        return [*elites, *(elite.trajectory for elite in found)], np.array([*targets.tolist(), *says])


def _correlation(left: Floats, right: Floats) -> float:
    """Spearman's; 0 where one of the two is constant."""
    if np.ptp(left) < 1e-9 or np.ptp(right) < 1e-9:
        return 0.0
    from scipy.stats import spearmanr  # slow to import, and most commands have no use for it

    return float(spearmanr(left, right).statistic)
