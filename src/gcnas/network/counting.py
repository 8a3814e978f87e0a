"""What a module really costs, counted on the module itself."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gcnas.network.evaluating import evaluating


def count_parameters(module: nn.Module) -> int:
    """Number of parameters, trainable or not; buffers do not count."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_multiply_adds(module: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Multiplications with addition in convolutions and linear layers, for one image.

    Args:
        module: Takes (1, channels, height, width).
        image_shape: Channels, height and width.
    """
    parameter = next(module.parameters(), None)
    image = torch.zeros(1, *image_shape, device=None if parameter is None else parameter.device)
    with evaluating(module), FlopCounterMode(display=False) as counter:
        module(image)
    return int(counter.get_total_flops()) // 2
