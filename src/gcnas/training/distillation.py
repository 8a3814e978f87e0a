"""Knowledge distillation: a network learns from the outputs of a teacher besides the labels."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from gcnas.training.platform import Platform, depthwise_in_single

Teacher: TypeAlias = Callable[[Tensor], Tensor]
"""Maps images ``B x C x H x W`` in [0, 1] to logits ``B x classes``."""


@dataclass(frozen=True)
class Distillation:
    """The loss ``(1 - a) CE(labels) + a T^2 KL(teacher at T || network at T)``.

    Both soften their logits by dividing them by T; T^2 keeps the gradients of the second term at their size whatever
    T is (Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2).

    Attributes:
        teacher: Sees the same augmented batch as the network, without gradients. A module must be in evaluation mode.
        temperature: T, above 0.
        weight: a, from 0 (labels alone) to 1 (teacher alone).
    """

    teacher: Teacher
    temperature: float
    weight: float

    def loss(self, logits: Tensor, images: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
        """The mean loss of a batch.

        Args:
            logits: Of the network that learns, ``B x classes``.
            images: The batch, ``B x C x H x W`` in [0, 1].
            labels: ``B``, or probabilities ``B x classes``.
            label_smoothing: Of the labels' term alone; a teacher's outputs are soft already.
        """
        with torch.no_grad():
            known = self.teacher(images).float()
        t = self.temperature
        soft = functional.kl_div(
            functional.log_softmax(logits / t, 1),
            functional.log_softmax(known / t, 1),
            reduction="batchmean",
            log_target=True,
        )
        hard = functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        return (1 - self.weight) * hard + self.weight * t * t * soft


class AsTrained(nn.Module):
    """A network of ours as a teacher: it computes as training does, in bfloat16 where that is faster.

    Shapes:
        - images: (batch, channels, height, width)
        - output: (batch, classes), in single precision

    Args:
        network: Gives logits.
        platform: The device and its settings.
    """

    def __init__(self, network: nn.Module, platform: Platform) -> None:
        super().__init__()
        self.network, self._platform = network, platform

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        with self._platform.computing(), depthwise_in_single(self.network, self._platform):
            logits: Tensor = self.network(images)
        return logits.float()


class Ensemble(nn.Module):
    """Several classifiers as one: the logarithm of the mean of their probabilities.

    Shapes:
        - images: (batch, channels, height, width)
        - output: (batch, classes)

    Args:
        members: Classifiers that give logits.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities, which serve as logits."""
        each = torch.stack([functional.log_softmax(member(images).float(), 1) for member in self.members])
        return torch.logsumexp(each, 0) - math.log(len(self.members))
