"""Local search: climb by single edits, and start anew at each top."""

from collections.abc import Sequence

import numpy as np

from gcnas.records import Evaluation, Proposal, Trajectory
from gcnas.space import SearchSpace
from gcnas.strategy.base import Strategy, StrategyState
from gcnas.strategy.edits import architecture_of, neighbours
from gcnas.strategy.novelty import NOTHING, Novelty


class LocalSearchStrategy(Strategy):
    """First-improvement search by one edit, with restarts.

    A climb starts at a uniform draw. It proposes the neighbours of where it stands in random order and moves as
    soon as one is better; where none is left that is not known, and none of them is under way, the next climb starts. A
    neighbour whose better score is known from before is moved to at no cost. While a climb waits for its start, or for
    its last neighbours, uniform draws are proposed, which it may move to as well. A climb ends that stands beyond
    limits which are tighter now.

    Args:
        space: Fitted space.
        seed: Seed of draws and edits.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._random = np.random.Generator(np.random.PCG64([seed, 2]))
        self._novelty = Novelty(space, seed)
        self._climb = 1
        self._pending: dict[str, int] = {}
        self._place: tuple[Trajectory, float] | None = None

    def ask(self, n: int) -> list[Proposal]:
        """Up to ``n`` neighbours of where the climb stands, or uniform draws to start from."""
        proposals: list[Proposal] = []
        while len(proposals) < n:
            found, climb = self._step(), self._climb
            if found is None:
                found, climb = self._novelty.draw(), self._after_all()
            if found is None:
                break
            self._pending[found.fingerprint] = climb
            proposals.append(found)
        return proposals

    def _after_all(self) -> int:
        """The climb of a uniform draw, where no neighbour is left: the next one if nothing of this is under way.

        Minus that of this one where it is, but for a start: nobody waits for such a draw.
        """
        if self._climb not in self._pending.values():
            self._climb, self._place = self._climb + 1, None
        return self._climb if self._place is None else -self._climb

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Move where that is better; results of earlier climbs are only remembered."""
        for evaluation in evaluations:
            score = self._novelty.tell(evaluation)
            climb = abs(self._pending.pop(evaluation.proposal.fingerprint, self._climb))
            if score is not None and climb == self._climb and score > self._height:
                self._place = (evaluation.proposal.trajectory, score)

    def set_aside(self, proposals: Sequence[Proposal]) -> None:
        """Wait for them no longer; what comes of them all the same belongs to their climb."""
        for proposal in proposals:
            if (climb := self._pending.get(proposal.fingerprint)) is not None:
                self._pending[proposal.fingerprint] = -abs(climb)

    @property
    def _height(self) -> float:
        return NOTHING if self._place is None else self._place[1]

    def _step(self) -> Proposal | None:
        """A new neighbour of where the climb stands after all moves that cost nothing; None if there is none."""
        while self._place is not None:
            for trajectory in neighbours(self._space, self._place[0], self._random):
                proposal = self._novelty.propose(trajectory, "edit")
                if self._novelty.note(proposal):
                    return proposal
                better = (score := self._novelty.score(proposal)) > self._height
                if better and self._space.violation(proposal.architecture) is None:
                    self._place = (trajectory, score)
                    break
            else:
                return None
        return None

    def state_dict(self) -> StrategyState:
        """Generators, the climb, what is under way, and what is known."""
        known = self._novelty.state_dict()
        values = {
            "generator": self._random.bit_generator.state,
            "novelty": known.values,
            "climb": self._climb,
            "pending": dict(self._pending),
            "place": None if self._place is None else [self._place[0].to_json(), self._place[1]],
        }
        return StrategyState(values, known.tensors)

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state."""
        values = state.values
        self._random.bit_generator.state = values["generator"]
        self._novelty.load_state_dict(StrategyState(values["novelty"], state.tensors))
        self._climb, self._pending = max(1, int(values["climb"])), dict(values["pending"])
        place = values["place"]
        self._place = None if place is None else (Trajectory.from_json(place[0]), float(place[1]))
        if self._place is not None:
            architecture = architecture_of(self._space, self._place[0])
            self._place = None if self._space.violation(architecture) else self._place
