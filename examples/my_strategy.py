"""A search strategy of your own: one that edits the best network so far.

gcnas search digits --budget 2m --strategy my_strategy.py:Climber
gcnas bench run --space channel-mobilenet --data FOLDER --strategy gcnas --strategy my_strategy.py:Climber
"""

import math
from collections.abc import Sequence

import numpy as np

from gcnas.records import Evaluation, Proposal, Trajectory
from gcnas.space import SearchSpace
from gcnas.strategy import RandomStrategy, Strategy, StrategyState
from gcnas.strategy.edits import architecture_of, mutate

CHANCE = 0.2
"""Share of the proposals that are drawn at random."""


class Climber(Strategy):
    """Proposes networks one random edit away from the best one, and some at random.

    What breaks a limit, was seen before, or fails is dealt with around the strategy; `tell` hears of it all the same.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._random = np.random.default_rng([seed, 99])
        self._uniform = RandomStrategy(space, seed)
        self._best: Trajectory | None = None
        self._score = -math.inf

    def ask(self, n: int) -> list[Proposal]:
        """Propose n networks."""
        return [self._propose() for _ in range(n)]

    def _propose(self) -> Proposal:
        if self._best is None or self._random.random() < CHANCE:
            return self._uniform.ask(1)[0]
        edited = mutate(self._space, self._best, self._random)
        return Proposal(architecture_of(self._space, edited), edited, "edit")

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Move to what is better."""
        for evaluation in evaluations:
            score = evaluation.score
            if score is not None and math.isfinite(score) and score > self._score:
                self._best, self._score = evaluation.proposal.trajectory, score

    def state_dict(self) -> StrategyState:
        """All that a run needs to go on after a kill: JSON, and arrays if there are any."""
        best = None if self._best is None else [self._best.to_json(), self._score]
        return StrategyState(
            {
                "random": self._random.bit_generator.state,
                "uniform": self._uniform.state_dict().values,
                "best": best,
            }
        )

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from there."""
        self._random.bit_generator.state = state.values["random"]
        self._uniform.load_state_dict(StrategyState(state.values["uniform"]))
        best = state.values["best"]
        self._best = None if best is None else Trajectory.from_json(best[0])
        self._score = -math.inf if best is None else float(best[1])
