"""From an architecture to a ``torch.nn.Module``."""

from gcnas.network.blueprint import Blueprint, Step, draw_blueprint
from gcnas.network.builders import Constructor, builder
from gcnas.network.counting import count_multiply_adds, count_parameters
from gcnas.network.evaluating import evaluating
from gcnas.network.file_size import weights_bytes
from gcnas.network.network import Network, build

__all__ = [
    "Blueprint",
    "Constructor",
    "Network",
    "Step",
    "build",
    "builder",
    "count_multiply_adds",
    "count_parameters",
    "draw_blueprint",
    "evaluating",
    "weights_bytes",
]
