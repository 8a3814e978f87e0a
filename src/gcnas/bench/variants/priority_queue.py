"""Learning from the best alone, without critics: the middle rule between policy gradient and the strategy gcnas."""

import json
from collections.abc import Callable, Sequence

import numpy as np

from gcnas.policy import Policy
from gcnas.records import LayerAction
from gcnas.space import SearchSpace
from gcnas.strategy.base import StrategyState
from gcnas.strategy.imitation import Imitation, ImitationSettings
from gcnas.strategy.reinforce import ReinforceSettings, ReinforceStrategy, Told, Update, told_of
from gcnas.strategy.targets import normal_scores


class PriorityQueueStrategy(ReinforceStrategy):
    """Draws a batch from the policy, and raises the likelihood of the best networks so far, weighted by rank.

    Everything but the learning rule is that of :class:`~gcnas.strategy.reinforce.ReinforceStrategy`. A batch of nothing
    but repeats is not learnt from, so that a policy that has settled is not driven on.

    Args:
        space: Fitted space.
        seed: Seed of initial weights and of sampling.
        policy: Makes the policy.
        imitation: How it learns; the steps are those after the first and after later batches.
        batch: Proposals drawn together.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        policy: Callable[[SearchSpace], Policy],
        imitation: ImitationSettings,
        batch: int = 8,
    ) -> None:
        super().__init__(space, seed, policy, ReinforceSettings(batch=batch))
        self._imitation = Imitation(self.policy, imitation)
        self._optimizer = self._imitation.optimizer
        self._known: dict[tuple[LayerAction, ...], Told] = {}

    def _learn(self, told: Sequence[Told]) -> Update:
        before = len(self._known)
        for trajectory, score in told:
            self._known.setdefault(trajectory.actions, (trajectory, score))
        reward = float(np.mean([self._reward(score) for _, score in told]))
        if len(self._known) == before:
            return Update(reward, 0.0, 0.0, 0.0, 0.0)
        rewarded = [(trajectory, self._reward(score)) for trajectory, score in self._known.values()]
        known = sorted(rewarded, key=lambda pair: -pair[1])
        targets = normal_scores(np.array([reward for _, reward in known]))
        s = self._imitation.settings
        elites = [trajectory for trajectory, _ in known[: s.elites]]
        figures = self._imitation.learn(elites, targets[: s.elites], s.steps[1 if before else 0])
        return Update(reward, 0.0, 0.0, figures.entropy, figures.gradient_norm)

    def state_dict(self) -> StrategyState:
        """The state of the base class and all that was told."""
        state = super().state_dict()
        known = [[trajectory.to_json(), score] for trajectory, score in self._known.values()]
        return StrategyState({**state.values, "known": json.loads(json.dumps(known))}, state.tensors)

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state."""
        super().load_state_dict(state)
        pairs = [told_of(data) for data in state.values["known"]]
        self._known = {pair[0].actions: pair for pair in pairs}
