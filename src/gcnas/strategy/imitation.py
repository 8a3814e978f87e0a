"""The policy learns from the best networks by weighted likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gcnas.graph import encode
from gcnas.policy import Policy
from gcnas.records import Trajectory

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ImitationSettings:
    """How the policy learns.

    Attributes:
        steps: Gradient steps in the first round and in later ones.
        learning_rate: Of Adam.
        elites: Best networks that it learns from.
        temperature: Of their weights, in units of normal scores.
        entropy: Weight of the mean entropy of a decision.
        gradient_norm: Gradients longer than this are shortened to it.
    """

    steps: tuple[int, int] = (20, 2)
    learning_rate: float = 5e-3
    elites: int = 32
    temperature: float = 0.4
    entropy: float = 0.5
    gradient_norm: float = 10.0


@dataclass(frozen=True)
class ImitationFigures:
    """Figures of a round: mean log-probability of the elites, mean entropy of a decision, length of the gradient."""

    log_probability: float
    entropy: float
    gradient_norm: float


class Imitation:
    r"""Raises :math:`\sum_a w_a \log \pi(a)` over the elites, and the entropy; :math:`w = \mathrm{softmax}(z / T)`.

    There is no baseline and no importance weight: what matters is where the good networks are, not who proposed them.

    Args:
        policy: The policy.
        settings: How it learns.
    """

    def __init__(self, policy: Policy, settings: ImitationSettings) -> None:
        self.policy, self.settings = policy, settings
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)

    def learn(self, elites: Sequence[Trajectory], targets: Floats, steps: int) -> ImitationFigures:
        """Take some steps.

        Args:
            elites: Trajectories whose actions are all open under their masks.
            targets: Normal score of each.
            steps: Number of gradient steps.
        """
        s = self.settings
        batch = encode(self.policy.space, self.policy.vocabulary, elites)
        weights = torch.softmax(torch.from_numpy(targets) / s.temperature, 0).float()
        for _ in range(steps):
            likelihood = self.policy(batch)
            fit, entropy = (weights * likelihood.log_probability).sum(), likelihood.entropy.mean()
            self.optimizer.zero_grad(set_to_none=True)
            (-fit - s.entropy * entropy).backward()
            norm = nn.utils.clip_grad_norm_(self.policy.parameters(), s.gradient_norm)
            self.optimizer.step()
        mean = likelihood.log_probability.detach().mean()
        return ImitationFigures(float(mean), float(entropy.detach()), float(norm))
