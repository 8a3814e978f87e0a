"""Any ONNX classifier as a function from batches to logits, to learn from."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gcnas.errors import ExportError
from gcnas.export.onnx_extra import quiet, require_onnx
from gcnas.export.onnx_session import OUTPUT

MAX_BYTES = 2**30
"""Largest ONNX file that is read."""

_SILENT = 4
_FLOATS = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(double)": torch.float64}


class OnnxTeacher:
    """An ONNX file with one input and logits or probabilities as its first output.

    A float input gets images ``B x C x H x W`` in [0, 1]; an input of bytes gets ``B x H x W x C`` from 0 to 255, as
    the files do that are written here. An output called ``probabilities`` holds probabilities; any other one logits.
    A file with a fixed batch is run as often as need be.

    Args:
        path: The file.
        threads: CPU threads.

    Raises:
        ExportError: If the extra ``onnx`` is missing, or the file cannot be used.
    """

    def __init__(self, path: Path, threads: int) -> None:
        require_onnx("A teacher from an ONNX file")
        with quiet():
            import onnxruntime
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _SILENT
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._path = path
        try:
            if _size(path) > MAX_BYTES:
                raise ExportError(f"{path} has more than {MAX_BYTES:,} bytes, the most of a teacher.")
            # By its name, since its weights may lie in a file beside it.
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except OSError as error:
            raise ExportError(f"The teacher {path} cannot be read: {error}.") from error
        except ExportError:
            raise
        except Exception as error:
            raise ExportError(f"The teacher {path} is no ONNX file that can be run: {error}") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or (inputs[0].type != "tensor(uint8)" and inputs[0].type not in _FLOATS):
            kinds = [(item.name, item.type) for item in inputs]
            raise ExportError(f"The teacher {path} must have one input of floats or bytes, but has {kinds}.")
        self._input, self._output = inputs[0], self._session.get_outputs()[0].name

    @property
    def image_shape(self) -> tuple[int | None, ...]:
        """Channels, height and width that the file takes; None for any."""
        _, *sides = self._fixed()
        if not sides:
            return None, None, None
        return (sides[2], *sides[:2]) if self._input.type == "tensor(uint8)" else tuple(sides)

    def _fixed(self) -> tuple[int | None, ...]:
        """The four sides of the input; none if there are others, which the first images will show."""
        shape = self._input.shape
        if len(shape) != 4:
            return (None,)
        return tuple(side if isinstance(side, int) and side > 0 else None for side in shape)

    @property
    def wanted(self) -> str:
        """Type and shape of the input in the words of the file."""
        return f"{self._input.type} of the shape {self._input.shape}"

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits ``B x classes`` of images ``B x C x H x W`` in [0, 1].

        Raises:
            ExportError: If the file does not take such images.
        """
        if self._input.type == "tensor(uint8)":
            fed = (images * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
        else:
            fed = images.to(_FLOATS[self._input.type])
        try:
            parts = torch.split(fed.cpu(), self._fixed()[0] or len(fed))
            found = np.concatenate([self._run(part) for part in parts])
        except Exception as error:
            shape, reason = tuple(fed.shape), str(error).partition("\n")[0][:400]
            raise ExportError(
                f"The teacher {self._path} does not give logits for images of the shape {shape}: its input "
                f"{self._input.name} is {self._input.shape}. {reason}"
            ) from error
        output = torch.from_numpy(found).float().to(images.device)
        smallest = math.exp(-50)
        return output.clamp_min(smallest).log() if self._output == OUTPUT else output

    def _run(self, images: Tensor) -> NDArray[Any]:
        """The output for at most as many images as the file takes at once."""
        missing = (self._fixed()[0] or len(images)) - len(images)
        filled = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)])
        found: NDArray[Any] = self._session.run(
            [self._output], {self._input.name: filled.contiguous().numpy()}
        )[0]
        return found[: len(images)]


def _size(path: Path) -> int:
    """Bytes of an ONNX file with that of its weights, where PyTorch put them beside it."""
    with path.open("rb") as file:  # for what the system says if it cannot be read
        size = file.seek(0, io.SEEK_END)
    beside = path.with_name(f"{path.name}.data")
    return size + (beside.stat().st_size if beside.is_file() else 0)
