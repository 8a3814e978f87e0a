"""Weights as a safetensors file: no code in it, nothing executed when it is read."""

from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from gcnas.errors import ExportError
from gcnas.export.safetensors_reader import read_safetensors
from gcnas.files import check_regular, write_atomically

HEADER_BYTES = 10_000_000
"""Most bytes that a file may have beyond the tensors expected in it."""


def save_weights(module: nn.Module, path: Path) -> None:
    """Write the whole state of a module; equal states give equal bytes.

    Raises:
        OSError: If the file cannot be written; an old one is then as it was.
    """
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    write_atomically(path, save(state))


def load_weights(module: nn.Module, path: Path) -> None:
    """Read the whole state of a module; it changes only if all of the file fits.

    Raises:
        ExportError: If the file is missing, damaged, too large, or of another network.
    """
    expected = module.state_dict()
    tensors = _read(path, sum(tensor.nbytes for tensor in expected.values()) + HEADER_BYTES)
    problems = [f"{name} is missing" for name in expected.keys() - tensors.keys()]
    problems += [f"{name} is unknown" for name in tensors.keys() - expected.keys()]
    problems += [
        f"{name} is {_form(tensors[name])} instead of {_form(expected[name])}"
        for name in expected.keys() & tensors.keys()
        if _form(tensors[name]) != _form(expected[name])
    ]
    if problems:
        raise ExportError(
            f"The weights in {path} must be those of the network, but {len(problems)} tensors differ: "
            f"{'; '.join(sorted(problems)[:5])}. Load the file that was written with this architecture."
        )
    module.load_state_dict(tensors)


def check_size(path: Path, parameters: int) -> None:
    """Refuse a file that is far too small for so many parameters, before a network of that size is made.

    Types of layers of a user count their parameters themselves, so a little too many are no reason.

    Raises:
        ExportError: If it is too small, or missing.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ExportError(f"The weights in {path} cannot be read: {error}") from error
    if 2 * size + HEADER_BYTES < 4 * parameters:
        raise ExportError(
            f"The weights in {path} have {size:,} bytes, and the network has {parameters:,} parameters of 4 bytes: "
            "load the file that was written with this architecture."
        )


def _read(path: Path, most: int) -> dict[str, Tensor]:
    try:
        if (size := path.stat().st_size) > most:
            raise ExportError(f"The weights in {path} have {size:,} bytes; the network needs at most {most:,}.")
        check_regular(path, most)
        return read_safetensors(path)
    except (OSError, ValueError) as error:
        raise ExportError(f"The weights in {path} cannot be read: {error}") from error


def _form(tensor: Tensor) -> tuple[torch.dtype, tuple[int, ...]]:
    return tensor.dtype, tuple(tensor.shape)
