"""A network together with what turns pixels into its input, and its outputs into probabilities."""

import numpy as np
import torch
from torch import Tensor, nn


class PixelClassifier(nn.Module):
    """What an exported file computes.

    Shapes:
        - images: (batch, height, width, channels), uint8 as Pillow and NumPy have them
        - output: (batch, classes), probabilities

    Args:
        network: Takes (batch, channels, height, width) in [0, 1] and gives logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities of a batch of images."""
        logits: Tensor = self.network(images.permute(0, 3, 1, 2).float() / 255)
        return logits.softmax(1)


def made_images(shape: tuple[int, int, int], count: int) -> np.ndarray:
    """Images ``count x H x W x C`` uint8 of all brightnesses and contrasts, always the same.

    Args:
        shape: Channels, height and width.
        count: How many.
    """
    channels, height, width = shape
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(count, height, width, channels, generator=generator)
    level, contrast = torch.rand(2, count, 1, 1, 1, generator=generator)
    images: np.ndarray = ((level + contrast * (noise - 0.5)).clamp(0, 1) * 255).round().byte().numpy()
    return images
