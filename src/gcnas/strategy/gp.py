"""Bayesian optimisation: a Gaussian process over decisions, and the point of greatest expected improvement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from gcnas.records import Evaluation, EvaluationState, Proposal, Trajectory
from gcnas.space import SearchSpace, SequenceSpace
from gcnas.strategy.acquisition import expected_improvement
from gcnas.strategy.base import Strategy, StrategyState, under
from gcnas.strategy.edits import neighbours, regrown
from gcnas.strategy.gaussian_process import Floats, GaussianProcess, Singles
from gcnas.strategy.learned_kernel import Belief
from gcnas.strategy.novelty import Novelty
from gcnas.strategy.observations import Observations
from gcnas.strategy.random import RandomStrategy
from gcnas.strategy.targets import normal_scores
from gcnas.strategy.tokens import LISTED, Rows, Tokens, all_rows, distances

LENGTHS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Length scales that are tried, in units of the mean distance of the observations."""

NOISES = (1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
"""Noise variances that are tried, relative to the variance of the process."""


@dataclass(frozen=True)
class GPSettings:
    """How the process is fitted and what it chooses from.

    Attributes:
        initial: Uniform draws before the process is asked.
        refit: Length scale and noise are chosen anew after so many observations.
        observations: The process sees about so many: the best and the newest.
        parents: Where points cannot be listed: best observations within the limits whose neighbours are candidates.
        neighbours: At most so many of each.
        uniform: Uniform draws among the candidates.
    """

    initial: int = 10
    refit: int = 5
    observations: int = 500
    parents: int = 4
    neighbours: int = 32
    uniform: int = 16


@dataclass
class Candidates:
    """Points to choose from.

    Attributes:
        rows: ``(M, width)``.
        keys: ``(M,)``.
        trajectories: Of each; None where they are made from the row of the one that is chosen.
    """

    rows: Rows
    keys: NDArray[np.uint64]
    trajectories: Sequence[Trajectory] | None = None


class GPStrategy(Strategy):
    r"""Expected improvement under a Gaussian process with an exponential Hamming kernel.

    The kernel is :math:`\exp(-d(x, y) / l)` where d counts the tokens in which two rows differ; the targets are
    normal scores. Length scale l and noise have the greatest marginal likelihood on a grid. Spaces of up to
    20,000 points whose masks depend on the place alone are searched whole; elsewhere the candidates are the
    neighbours of the best and uniform draws, within the limits. Proposals under way lessen the uncertainty around
    them and leave the means alone. What failed counts as the worst; what broke a limit does not count.

    Args:
        space: Fitted space.
        seed: Seed of draws and edits.
        settings: Amounts.
    """

    def __init__(self, space: SearchSpace, seed: int, settings: GPSettings | None = None) -> None:
        self._space = space
        self.settings = settings or GPSettings()
        self._random = np.random.Generator(np.random.PCG64([seed, 3]))
        self._uniform = RandomStrategy(space, int(self._random.integers(2**62)))
        self._tokens = Tokens(space)
        self._novelty = Novelty(space, seed)
        self._observed = Observations(self._tokens.width, self.settings.observations)
        self._closed: set[int] = set()
        self._pending: dict[int, Rows] = {}
        self._fitted_at, self._length, self._noise = 0, 1.0, 0.1

    def ask(self, n: int) -> list[Proposal]:
        """Up to ``n`` points of greatest expected improvement, or uniform draws at first."""
        candidates = None if self._observed.total < self.settings.initial else self._candidates()
        proposals: list[Proposal] = []
        while len(proposals) < n:
            found = None if candidates is None else self._best_of(candidates)
            found = self._novelty.draw() if found is None else found
            if found is None:
                break
            row = self._row(found)
            self._pending[self._close(row)] = row
            proposals.append(found)
        return proposals

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Observe the scores."""
        for evaluation in evaluations:
            score = self._novelty.tell(evaluation)
            row = self._row(evaluation.proposal)
            self._pending.pop(self._close(row), None)
            if score is not None or evaluation.state is EvaluationState.FAILED:
                self._observed.add(row, score)

    def set_aside(self, proposals: Sequence[Proposal]) -> None:
        """They are under way no longer."""
        for proposal in proposals:
            self._pending.pop(self._close(self._row(proposal)), None)

    def _row(self, proposal: Proposal) -> Rows:
        if isinstance(self._space, SequenceSpace):
            return self._tokens.encode(proposal.trajectory.actions)
        return self._tokens.canonical(proposal.architecture)

    def _close(self, row: Rows) -> int:
        key = int(self._tokens.keys(row)[0])
        self._closed.add(key)
        return key

    def _best_of(self, candidates: Candidates) -> Proposal | None:
        """The candidate of greatest expected improvement among those that are new; equals are drawn by lot."""
        closed = np.fromiter(self._closed, np.uint64, len(self._closed))
        left = np.flatnonzero(~np.isin(candidates.keys, closed))
        if not len(left):
            return None
        improvement = self._improvement(candidates.rows[left])
        for index in left[np.lexsort((self._random.random(len(left)), -improvement))]:
            proposal = self._proposal(candidates, int(index))
            if proposal is not None and self._novelty.note(proposal):
                return proposal
            self._closed.add(int(candidates.keys[index]))
        return None

    def _proposal(self, candidates: Candidates, index: int) -> Proposal | None:
        if candidates.trajectories is not None:
            trajectory: Trajectory | None = candidates.trajectories[index]
        else:
            trajectory = regrown(self._space, self._tokens.decode(candidates.rows[index]), self._random)
        return None if trajectory is None else self._novelty.propose(trajectory, "gp")

    def _improvement(self, rows: Rows) -> Floats:
        """Expected improvement over the best observation, ``(M,)``."""
        seen, targets = self._observed.rows, normal_scores(self._observed.scores)
        within = distances(seen, seen)
        self._choose_kernel(within, targets)
        cross = self._kernel(distances(rows, seen))
        process = GaussianProcess(self._kernel(within).astype(np.float64), targets, self._noise)
        belief = Belief(process.mean(cross), self._deviation(process, rows, cross))
        return expected_improvement(belief, float(targets.max()))

    def _deviation(self, process: GaussianProcess, rows: Rows, cross: Singles) -> Floats:
        """Deviations, with the points under way as if their means had been observed."""
        if not self._pending:
            return process.deviation(cross)
        seen, pending = self._observed.rows, np.array(list(self._pending.values()), np.int16)
        means = process.mean(self._kernel(distances(pending, seen)))
        both = np.concatenate([seen, pending])
        covariance = self._kernel(distances(both, both)).astype(np.float64)
        targets = np.concatenate([normal_scores(self._observed.scores), means])
        believed = GaussianProcess(covariance, targets, self._noise)
        deviation = believed.deviation(np.hstack([cross, self._kernel(distances(rows, pending))]))
        scaled: Floats = deviation * np.sqrt(process.scale / believed.scale)
        return scaled

    def _choose_kernel(self, within: Singles, targets: Floats) -> None:
        """Choose length scale and noise if there are enough new observations."""
        if self._fitted_at and self._observed.total < self._fitted_at + self.settings.refit:
            return
        n = len(targets)
        unit = float(within.sum()) / max(n * (n - 1), 1) or 1.0
        best = -np.inf
        for length in LENGTHS:
            covariance = np.exp(-within.astype(np.float64) / (length * unit))
            for noise in NOISES:
                likelihood = GaussianProcess(covariance, targets, noise).log_likelihood
                if likelihood > best:
                    best, self._length, self._noise = likelihood, length * unit, noise
        self._fitted_at = self._observed.total

    def _kernel(self, distance: Singles) -> Singles:
        kernel: Singles = np.exp(distance / np.float32(-self._length))
        return kernel

    def _candidates(self) -> Candidates:
        if self._everything is not None:
            return self._everything
        parents = list(islice(self._parents(), self.settings.parents))
        trajectories = [proposal.trajectory for proposal in self._uniform.ask(self.settings.uniform)]
        for parent in parents:
            trajectories += islice(neighbours(self._space, parent, self._random), self.settings.neighbours)
        return self._pool(trajectories)

    def _parents(self) -> Iterator[Trajectory]:
        """The best observations first; not those beyond limits that are tighter than they were."""
        for row in self._observed.best(len(self._observed)):
            actions = self._tokens.decode(row)
            if self._space.violation(self._space.decode(actions)) is not None:
                continue
            if (parent := regrown(self._space, actions, self._random)) is not None:
                yield parent

    def _pool(self, trajectories: Sequence[Trajectory]) -> Candidates:
        proposals = [self._novelty.propose(trajectory, "gp") for trajectory in trajectories]
        within = [
            proposal
            for proposal in {proposal.fingerprint: proposal for proposal in proposals}.values()
            if self._space.violation(proposal.architecture) is None
        ]
        rows = np.array([self._row(proposal) for proposal in within], np.int16).reshape(-1, self._tokens.width)
        return Candidates(rows, self._tokens.keys(rows), [proposal.trajectory for proposal in within])

    @cached_property
    def _everything(self) -> Candidates | None:
        rows = all_rows(self._tokens, LISTED)
        return None if rows is None else Candidates(rows, self._tokens.keys(rows))

    def state_dict(self) -> StrategyState:
        """Observations, what is under way and what is known, the kernel, and the generators."""
        novelty, observed = self._novelty.state_dict(), self._observed.state_dict()
        values = {
            "generator": self._random.bit_generator.state,
            "uniform": self._uniform.state_dict().values,
            "novelty": novelty.values,
            "observed": observed.values,
            "kernel": [self._fitted_at, self._length, self._noise],
        }
        tensors = {f"novelty.{name}": array for name, array in novelty.tensors.items()}
        tensors |= {f"observed.{name}": array for name, array in observed.tensors.items()}
        tensors["closed"] = np.fromiter(self._closed, np.uint64, len(self._closed))
        pending = np.array(list(self._pending.values()), np.int16)
        tensors["pending"] = pending.reshape(len(self._pending), self._tokens.width)
        return StrategyState(values, tensors)

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state."""
        values, tensors = state.values, state.tensors
        self._random.bit_generator.state = values["generator"]
        self._uniform.load_state_dict(StrategyState(values["uniform"]))
        self._novelty.load_state_dict(StrategyState(values["novelty"], under("novelty.", tensors)))
        self._observed.load_state_dict(StrategyState(values["observed"], under("observed.", tensors)))
        self._closed = {int(key) for key in tensors["closed"]}
        pending = tensors["pending"].astype(np.int16)
        keys = self._tokens.keys(pending).tolist() if len(pending) else []
        self._pending = dict(zip(keys, pending, strict=True))
        fitted_at, length, noise = values["kernel"]
        self._fitted_at, self._length, self._noise = int(fitted_at), float(length), float(noise)
