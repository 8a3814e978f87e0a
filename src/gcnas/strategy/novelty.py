"""What was proposed before with which score, and uniform draws of what was not."""

import math
from functools import cached_property

import numpy as np

from gcnas.records import Evaluation, Proposal, Trajectory
from gcnas.space import SearchSpace
from gcnas.strategy.base import StrategyState
from gcnas.strategy.edits import architecture_of, regrown
from gcnas.strategy.random import RandomStrategy
from gcnas.strategy.tokens import LISTED, Rows, Tokens, all_rows

NOTHING = -math.inf
"""Score of what has none: unknown, failed, infeasible or still under way."""

DRAWS = 100
"""So many uniform draws in a row that are all known count as a space with nothing left."""


class Novelty:
    """Remembers the architectures that a strategy proposed or was told about, and draws others uniformly.

    The draws are those of :class:`RandomStrategy` with the same seed, without its repeats: all strategies that
    begin with uniform points begin with the same ones.

    Args:
        space: Fitted space.
        seed: Seed of the draws.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._uniform = RandomStrategy(space, seed)
        self._scores: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._scores)

    def note(self, proposal: Proposal) -> bool:
        """Remember an architecture.

        Returns:
            Whether it is new.
        """
        key = int(proposal.fingerprint, 16)
        new = key not in self._scores
        if new:
            self._scores[key] = NOTHING
        return new

    def tell(self, evaluation: Evaluation) -> float | None:
        """Remember an architecture and its score.

        Returns:
            The score; None if there is none, or none that is finite.
        """
        self.note(evaluation.proposal)
        if evaluation.score is None or not math.isfinite(evaluation.score):
            return None
        self._scores[int(evaluation.proposal.fingerprint, 16)] = evaluation.score
        return evaluation.score

    def score(self, proposal: Proposal) -> float:
        """The score of an architecture; :data:`NOTHING` if it is not known, failed, or is under way."""
        return self._scores.get(int(proposal.fingerprint, 16), NOTHING)

    def propose(self, trajectory: Trajectory, source: str) -> Proposal:
        """A proposal of a legal trajectory; it is not remembered yet."""
        return Proposal(architecture_of(self._space, trajectory), trajectory, source)

    def draw(self) -> Proposal | None:
        """A new architecture, drawn uniformly; None if none seems to be left."""
        if self._everything is not None and len(self) >= len(self._everything):
            return None
        for _ in range(DRAWS):
            (proposal,) = self._uniform.ask(1)
            if self.note(proposal):
                return proposal
        return None if self._everything is None else self._first_left(self._everything)

    def _first_left(self, rows: Rows) -> Proposal | None:
        # A shuffle of its own: which is left must not depend on how often something was drawn.
        random = np.random.Generator(np.random.PCG64(len(self)))
        tokens = Tokens(self._space)
        for index in random.permutation(len(rows)):
            trajectory = regrown(self._space, tokens.decode(rows[index]), random)
            found = None if trajectory is None else self.propose(trajectory, "random")
            if found is not None and self.note(found):
                return found
        return None

    @cached_property
    def _everything(self) -> Rows | None:
        return all_rows(Tokens(self._space), LISTED)

    def state_dict(self) -> StrategyState:
        """State of the draws, and fingerprints (as whole numbers) and scores as arrays."""
        known = np.fromiter(self._scores, np.uint64, len(self._scores))
        scores = np.fromiter(self._scores.values(), np.float64, len(self._scores))
        return StrategyState({"uniform": self._uniform.state_dict().values}, {"known": known, "scores": scores})

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state."""
        self._uniform.load_state_dict(StrategyState(state.values["uniform"]))
        known, scores = state.tensors["known"], state.tensors["scores"]
        self._scores = dict(zip(known.tolist(), scores.tolist(), strict=True))
