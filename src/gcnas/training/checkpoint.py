"""Weights of a candidate under training, kept so that a longer training can go on from them."""

from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from gcnas.export.safetensors_reader import read_safetensors
from gcnas.files import check_regular, write_atomically

EPOCHS = "trained_epochs"
"""Name of the number in the file that says how many passes are behind the weights; no weight has it."""

HEADER_BYTES = 10_000_000
"""Most bytes that a file may have beyond the tensors expected in it."""


def save_checkpoint(network: nn.Module, epochs: float, path: Path) -> bool:
    """Store the state of a network and the passes behind it as a safetensors file.

    A disk that refuses costs the next training its head start, and no more.

    Returns:
        Whether it was stored.
    """
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save(state | {EPOCHS: torch.tensor(epochs, dtype=torch.float64)}))
    except OSError:
        return False
    return True


def load_checkpoint(network: nn.Module, path: Path, before: float) -> float:
    """Put stored weights into a network; nothing in the file is executed.

    Args:
        network: Gets the weights.
        path: A file that may be missing.
        before: Only weights with fewer passes behind them are taken.

    Returns:
        Passes behind the weights; 0 if the file is missing, damaged, too large or of another network, which then is as
        it was.
    """
    expected = network.state_dict()
    try:
        check_regular(path, sum(tensor.nbytes for tensor in expected.values()) + HEADER_BYTES)
        tensors = read_safetensors(path)
    except (OSError, ValueError):
        return 0.0
    passes = tensors.pop(EPOCHS, None)
    if passes is None or passes.numel() != 1 or not 0 < (epochs := float(passes)) < before:
        return 0.0
    if {name: _form(t) for name, t in tensors.items()} != {name: _form(t) for name, t in expected.items()}:
        return 0.0
    network.load_state_dict(tensors)
    return epochs


def _form(tensor: Tensor) -> tuple[torch.dtype, tuple[int, ...]]:
    return tensor.dtype, tuple(tensor.shape)
