"""Policy gradient on any policy: the learning rule of Zoph & Le, with an exponential moving average as baseline."""

import json
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gcnas.graph import encode
from gcnas.policy.base import Policy
from gcnas.records import Evaluation, EvaluationState, Proposal, Trajectory
from gcnas.space import SearchSpace
from gcnas.strategy.base import Strategy, StrategyState, under
from gcnas.strategy.edits import architecture_of
from gcnas.strategy.optimizer_state import load_moments, moments

Told = tuple[Trajectory, float | None]
"""A proposal of the strategy, and its score; None for what failed."""

SOURCE = "policy"

EQUAL = 1e-9
"""Rewards that differ by this share of themselves only are equal."""


@dataclass(frozen=True)
class ReinforceSettings:
    """How the policy learns.

    Attributes:
        batch: B, proposals drawn together and learnt from in one update.
        learning_rate: Of Adam.
        entropy: Weight of the mean entropy of the decisions, which is maximised too.
        baseline_decay: Of the moving average of rewards.
        normalise: Whether advantages are divided by their running deviation.
        gradient_norm: Gradients longer than this are shortened to it.
    """

    batch: int = 8
    learning_rate: float = 3e-3
    entropy: float = 1e-2
    baseline_decay: float = 0.9
    normalise: bool = True
    gradient_norm: float = 1.0


LITERAL = ReinforceSettings(
    learning_rate=6e-4, entropy=0.0, baseline_decay=0.95, normalise=False, gradient_norm=float("inf")
)
"""The settings of Zoph & Le, but for the batch; their reward was cubed, and their depth grew by a schedule."""

RNN_TUNED = ReinforceSettings(learning_rate=1e-2, entropy=0.1)
"""The settings of the tuned recurrent controllers: the best of twelve, by mean rank of the mean regret on two spaces.

``benchmarks/tune_rivals.py`` gave each policy the same twelve trials; with parallel heads the same one won. The best of
the GCN policy is :class:`ReinforceSettings` as it stands.
"""


@dataclass(frozen=True)
class Update:
    """Figures of one gradient step.

    Attributes:
        reward: Mean reward of the batch.
        baseline: Moving average before the batch.
        advantage: Mean size of the advantages.
        entropy: Mean entropy of a decision, in nats.
        gradient_norm: Length of the gradient before it was shortened.
    """

    reward: float
    baseline: float
    advantage: float
    entropy: float
    gradient_norm: float


class Baseline:
    """What a reward is held against: the moving mean of rewards, in units of their moving deviation.

    Args:
        settings: How fast it moves, and whether it is in such units.

    Attributes:
        mean: None before the first batch.
        deviation: Likewise.
    """

    def __init__(self, settings: ReinforceSettings) -> None:
        self._settings = settings
        self.mean: float | None = None
        self.deviation: float | None = None

    def advantages(self, rewards: Tensor) -> Tensor:
        """Of a batch of rewards of any shape, which move the baseline for the next one."""
        s, mean = self._settings, float(rewards.mean())
        before = mean if self.mean is None else self.mean
        self.mean = s.baseline_decay * before + (1 - s.baseline_decay) * mean
        advantages = rewards - before
        if not s.normalise:
            return advantages.float()
        size = float(advantages.square().mean().sqrt())
        if self.deviation:
            size = s.baseline_decay * self.deviation + (1 - s.baseline_decay) * size
        if size <= EQUAL * float(rewards.abs().max()):  # nothing but rounding tells the rewards apart
            return torch.zeros_like(advantages).float()
        self.deviation = size
        return (advantages / size).float()


class ReinforceStrategy(Strategy):
    """Draws a batch from the policy, and takes one gradient step with its scores.

    With one worker all of a batch is told before the next is drawn. With several the next is drawn while the last of
    one is under way, and a step takes as many scores as came first, whichever weights drew their networks. The reward
    is the score; what failed or broke a limit has reward 0 (the worst score so far where scores are negative), and a
    repeated network the score it got. A repeat of one that is under way is left out. Designs by people are not learnt
    from, since the policy did not draw them.

    Args:
        space: Fitted space.
        seed: Seed of initial weights and of sampling.
        policy: Makes the policy.
        settings: How it learns.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        policy: Callable[[SearchSpace], Policy],
        settings: ReinforceSettings | None = None,
    ) -> None:
        self._space = space
        self.settings = settings or ReinforceSettings()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed those of GPUs too
            self.policy = policy(space)
        self._generator = torch.Generator().manual_seed(seed)
        self._optimizer = torch.optim.Adam(self.policy.parameters(), lr=self.settings.learning_rate)
        self._queue: deque[Trajectory] = deque()
        self._told: list[Told] = []
        self._baseline = Baseline(self.settings)
        self._worst = 0.0
        self._updates: list[Update] = []

    def ask(self, n: int) -> list[Proposal]:
        """The next ``n`` of the batches drawn; a new batch is drawn where they run out."""
        while len(self._queue) < n:
            self._queue.extend(self.policy.sample(self.settings.batch, self._generator))
        trajectories = [self._queue.popleft() for _ in range(n)]
        return [Proposal(architecture_of(self._space, t), t, SOURCE) for t in trajectories]

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Collect rewards; each full batch gives a gradient step."""
        for evaluation in evaluations:
            if evaluation.proposal.source == SOURCE and not evaluation.repeats_unfinished:
                self._told.append((evaluation.proposal.trajectory, self._score(evaluation)))
        while len(self._told) >= self.settings.batch:
            batch, self._told = self._told[: self.settings.batch], self._told[self.settings.batch :]
            self._updates.append(self._learn(batch))

    def _learn(self, told: Sequence[Told]) -> Update:
        rewards = torch.tensor([self._reward(score) for _, score in told], dtype=torch.float64)
        baseline = float(rewards.mean()) if self._baseline.mean is None else self._baseline.mean
        advantages = self._baseline.advantages(rewards)
        batch = encode(self._space, self.policy.vocabulary, [trajectory for trajectory, _ in told])
        likelihood = self.policy(batch)
        loss = -(advantages * likelihood.log_probability).mean()
        loss = loss - self.settings.entropy * likelihood.entropy.mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.policy.parameters(), self.settings.gradient_norm)
        self._optimizer.step()
        return Update(
            reward=float(rewards.mean()),
            baseline=baseline,
            advantage=float(advantages.abs().mean()),
            entropy=float(likelihood.entropy.detach().mean()),
            gradient_norm=float(norm),
        )

    def figures(self) -> list[dict[str, float]]:
        """Reward, baseline, advantage, entropy and gradient norm of each update since the last call."""
        figures, self._updates = [asdict(update) for update in self._updates], []
        return figures

    def state_dict(self) -> StrategyState:
        """Weights, moments, generator, what is drawn and not asked for, and what is told and not learnt from."""
        values = {
            "queue": [trajectory.to_json() for trajectory in self._queue],
            "told": [[trajectory.to_json(), score] for trajectory, score in self._told],
            "worst": self._worst,
            "baseline": self._baseline.mean,
            "deviation": self._baseline.deviation,
        }
        tensors = {f"policy.{name}": _array(tensor) for name, tensor in self.policy.state_dict().items()}
        tensors["generator"] = self._generator.get_state().numpy().copy()
        tensors |= {f"adam.{name}": _array(tensor) for name, tensor in moments(self._optimizer).items()}
        return StrategyState(json.loads(json.dumps(values)), tensors)

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on from a state."""
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.tensors.items()}
        self.policy.load_state_dict(under("policy.", tensors))
        self._generator.set_state(tensors["generator"])
        load_moments(self._optimizer, under("adam.", tensors))
        values: dict[str, Any] = state.values
        self._queue = deque(Trajectory.from_json(data) for data in values["queue"])
        self._told = [told_of(pair) for pair in values["told"]]
        self._baseline.mean, self._baseline.deviation = values["baseline"], values["deviation"]
        self._worst = values.get("worst", 0.0)  # older states have none

    def _score(self, evaluation: Evaluation) -> float | None:
        """The score; None for what failed."""
        usable = evaluation.state in (EvaluationState.COMPLETE, EvaluationState.DUPLICATE)
        if not usable or evaluation.score is None or not math.isfinite(evaluation.score):
            return None
        self._worst = min(self._worst, evaluation.score)
        return evaluation.score

    def _reward(self, score: float | None) -> float:
        """The score; for what failed 0, or the worst score seen by now where scores are negative."""
        return self._worst if score is None else score


def told_of(data: Any) -> Told:
    """What was told, of its JSON form."""
    trajectory, score = data
    return Trajectory.from_json(trajectory), None if score is None else float(score)


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    return np.array(tensor.detach().cpu().numpy())
