"""Regularised evolution: tournaments in a population that forgets its oldest."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gcnas.records import Evaluation, Proposal, Trajectory
from gcnas.space import SearchSpace
from gcnas.strategy.base import Strategy, StrategyState, up_to
from gcnas.strategy.edits import mutate
from gcnas.strategy.novelty import NOTHING, Novelty

TRIES = 100
"""Children that are all known before parents are edited once more, or a point is drawn uniformly."""


@dataclass(frozen=True)
class EvolutionSettings:
    """How the population evolves.

    Attributes:
        population: Evaluations that parents are chosen from: the newest.
        tournament: How many of them are drawn; the best of these is edited once.
    """

    population: int = 30
    tournament: int = 10


class EvolutionStrategy(Strategy):
    """Edits the best of a few, drawn among the newest evaluations (Real et al., 2019).

    The first ``population`` proposals are uniform draws. What failed or broke a limit does not join the
    population. A child that is known is not proposed again: it joins the population at once with the score it got,
    which costs nothing, and another is made; after :data:`TRIES` in vain, children get one edit more, up to three.

    Args:
        space: Fitted space.
        seed: Seed of draws and edits.
        settings: Sizes of population and tournament.
    """

    def __init__(self, space: SearchSpace, seed: int, settings: EvolutionSettings | None = None) -> None:
        self._space = space
        self.settings = settings or EvolutionSettings()
        self._random = np.random.Generator(np.random.PCG64([seed, 1]))
        self._novelty = Novelty(space, seed)
        self._population: deque[tuple[Trajectory, float]] = deque(maxlen=self.settings.population)

    def ask(self, n: int) -> list[Proposal]:
        """Up to ``n`` children of the population, or uniform draws while it is small."""
        return up_to(n, self._propose)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Let what has a score join the population; the oldest make room."""
        for evaluation in evaluations:
            score = self._novelty.tell(evaluation)
            if score is not None:
                self._population.append((evaluation.proposal.trajectory, score))

    def _propose(self) -> Proposal | None:
        if len(self._population) < self.settings.population:
            return self._novelty.draw()
        for attempt in range(3 * TRIES):
            child = mutate(self._space, self._parent(), self._random, edits=1 + attempt // TRIES)
            proposal = self._novelty.propose(child, "edit")
            if self._novelty.note(proposal):
                return proposal
            if (score := self._novelty.score(proposal)) > NOTHING:
                self._population.append((child, score))
        return self._novelty.draw()

    def _parent(self) -> Trajectory:
        size = min(self.settings.tournament, len(self._population))
        drawn = self._random.choice(len(self._population), size, replace=False)
        trajectory, _ = max((self._population[index] for index in drawn), key=lambda member: member[1])
        return trajectory

    def state_dict(self) -> StrategyState:
        """Generators, the population, and what is known."""
        known = self._novelty.state_dict()
        values = {
            "generator": self._random.bit_generator.state,
            "population": [[trajectory.to_json(), score] for trajectory, score in self._population],
            "novelty": known.values,
        }
        return StrategyState(values, known.tensors)

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state."""
        values = state.values
        self._random.bit_generator.state = values["generator"]
        self._novelty.load_state_dict(StrategyState(values["novelty"], state.tensors))
        population = [(Trajectory.from_json(data), float(score)) for data, score in values["population"]]
        self._population = deque(population, maxlen=self.settings.population)
