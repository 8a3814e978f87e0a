"""What the strategy ``gcnas`` believes about networks that it has not tried."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gcnas.strategy.base import under
from gcnas.strategy.critic import Critic, CriticTrainer
from gcnas.strategy.experience import Experience
from gcnas.strategy.learned_kernel import Belief, LearnedKernelProcess
from gcnas.strategy.optimizer_state import load_moments, moments
from gcnas.strategy.tokens import Rows, Tokens

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SurrogateSettings:
    """How the models are fitted.

    Attributes:
        critic_steps: Gradient steps of the critics in the first round and in later ones.
        process_steps: Those of the Gaussian process.
        subset: Most evaluations that the Gaussian process is conditioned on: half of them the best, half the newest.
        parts: Which of ``critic`` and ``process`` there are.
    """

    critic_steps: tuple[int, int] = (60, 6)
    process_steps: tuple[int, int] = (60, 3)
    subset: int = 500
    parts: tuple[str, ...] = ("critic", "process")


FIRST = 200
"""Evaluations with which the Gaussian process takes the many steps of its first fit."""


class Surrogate:
    """An ensemble of critics and a Gaussian process, fitted to the same targets.

    Args:
        tokens: The columns of the space.
        facts: Number of facts about a network as a whole.
        generator: Draws the steps of the critics.
        settings: How they are fitted.
    """

    def __init__(
        self, tokens: Tokens, facts: int, generator: torch.Generator, settings: SurrogateSettings
    ) -> None:
        self.settings = settings
        self.trainer = CriticTrainer(Critic(tokens, facts), generator)
        self.process = LearnedKernelProcess(tokens.sizes, tokens.space.max_depth, tokens.ranks)
        self._fitted = False

    def fit(self, experience: Experience, expected: Floats | float = 0.0) -> None:
        """Go on from the last fit.

        Args:
            experience: n evaluations.
            expected: What is known about their targets beforehand, (n) or one number; the rest is learnt.
        """
        targets, s, later = experience.targets - expected, self.settings, int(self._fitted)
        if "critic" in s.parts:
            tokens = torch.from_numpy(experience.tokens.astype(np.int64))
            facts, wanted = torch.from_numpy(experience.facts).float(), torch.from_numpy(targets).float()
            if signals := 2 * experience.signals.count:
                # Each evaluation also as if its signals were unknown, as they are of most candidates.
                unknown = facts.clone()
                unknown[:, -signals:] = 0
                tokens, facts = torch.cat([tokens, tokens]), torch.cat([facts, unknown])
                wanted = torch.cat([wanted, wanted])
            self.trainer.fit(tokens, facts, wanted, s.critic_steps[later])
        if "process" in s.parts:
            rows = self._rows(experience, targets)
            if not self._fitted and len(rows) > FIRST:
                # Much was told before anything was asked: many steps with few evaluations, few steps with all.
                few, later = rows[:: -(-len(rows) // FIRST)], 1
                self.process.fit(experience.tokens[few], targets[few], s.process_steps[0])
            self.process.fit(experience.tokens[rows], targets[rows], s.process_steps[later])
        self._fitted = True

    def _rows(self, experience: Experience, targets: Floats) -> NDArray[np.int64]:
        """Evaluations that the process is conditioned on: those at the highest fidelity, or all where these are few."""
        rows = np.flatnonzero(experience.epochs == experience.epochs.max())
        if len(rows) < len(targets) // 4:
            rows = np.arange(len(targets))
        if len(rows) <= self.settings.subset:
            return rows
        half = self.settings.subset // 2
        newest = rows[-half:]
        best = rows[np.argsort(-targets[rows], kind="stable")[:half]]
        return np.union1d(newest, best)

    def believe(self, tokens: Rows, facts: Floats) -> tuple[Floats, Belief | None]:
        """Predictions of the critics (E, n) and belief of the process for tokens (n, N, J) and facts (n, F)."""
        members = np.zeros((0, len(tokens)))
        if "critic" in self.settings.parts:
            codes = torch.from_numpy(tokens.astype(np.int64))
            members = self.trainer.predict(codes, torch.from_numpy(facts).float())
        process = self.process.predict(tokens) if "process" in self.settings.parts else None
        return members, process

    def tensors(self) -> dict[str, Tensor]:
        """All weights and moments by name."""
        critic, process = self.trainer.critic, self.process
        named = {f"critic.{name}": tensor for name, tensor in critic.state_dict().items()}
        named |= {f"process.{name}": tensor for name, tensor in process.parameters.items()}
        named |= {f"critic_adam.{name}": tensor for name, tensor in moments(self.trainer.optimizer).items()}
        named |= {f"process_adam.{name}": tensor for name, tensor in moments(process.optimizer).items()}
        return named | {"fitted": torch.tensor(self._fitted)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Set all weights and moments."""
        self.trainer.critic.load_state_dict(under("critic.", tensors))
        with torch.no_grad():
            for name, tensor in under("process.", tensors).items():
                self.process.parameters[name].copy_(tensor)
        load_moments(self.trainer.optimizer, under("critic_adam.", tensors))
        load_moments(self.process.optimizer, under("process_adam.", tensors))
        self._fitted = bool(tensors["fitted"])
