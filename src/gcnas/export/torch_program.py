"""A network as a ``torch.export`` program: one ``.pt2`` file that runs without this package."""

import copy
import io
from pathlib import Path

import torch
from torch import nn

from gcnas.errors import ExportError
from gcnas.export.refusal import refused
from gcnas.export.source_check import TOLERANCE, relative_difference
from gcnas.files import write_atomically


def export_program(network: nn.Module, image_shape: tuple[int, int, int], path: Path) -> None:
    """Write a network, in evaluation mode, for batches of any size.

    Load it with ``torch.export.load(path).module()``. The file was read back and its outputs compared with the
    network's before it took its place.

    Args:
        network: Takes (batch, channels, height, width).
        image_shape: Channels, height and width.
        path: The ``.pt2`` file.

    Raises:
        ExportError: If the network cannot be traced, or the program's outputs are others.
        OSError: If the file cannot be written.
    """
    with refused("The network cannot be written as a torch.export program"):
        content = _checked_program(network, image_shape)
    write_atomically(path, content)


def _checked_program(network: nn.Module, image_shape: tuple[int, int, int]) -> bytes:
    still = copy.deepcopy(network).cpu().eval()
    images = torch.rand(3, *image_shape, generator=torch.Generator().manual_seed(0))
    batch = {0: torch.export.Dim("batch", min=1)}
    program = torch.export.export(still, (images[:2],), dynamic_shapes=(batch,))
    for node in program.graph.nodes:
        # Names of source files on this machine are nobody's business, and would make equal networks differ.
        node.meta.pop("stack_trace", None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    loaded = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    with torch.no_grad():
        for count in (1, 3):
            difference = relative_difference(loaded(images[:count]), still(images[:count]))
            if not difference <= TOLERANCE:
                raise ExportError(
                    f"The exported program's outputs differ from the network's by {difference:g}."
                )
    return buffer.getvalue()
