"""An ONNX file in 8-bit integers, by static quantisation after training."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gcnas.errors import ExportError
from gcnas.export.onnx_extra import quiet
from gcnas.export.onnx_session import INPUT

CALIBRATION_IMAGES = 256
_BATCH = 32

# The softmax stays in float: in 8 bits, probabilities would be multiples of 1/256.
_KEPT_IN_FLOAT = ("Softmax",)


def int8_bytes(content: bytes, images: np.ndarray) -> bytes:
    """Quantise an ONNX file of ours: weights per channel, activations by their range on some images.

    Weights use 7 of their 8 bits, so that processors without 8-bit dot products (AVX2 without VNNI) cannot
    saturate, and accuracy measured on one machine holds on the others.

    Args:
        content: The float file.
        images: Training images ``N x H x W x C`` uint8 to calibrate on.

    Raises:
        ExportError: If ONNX Runtime cannot quantise it.
    """
    with quiet(), TemporaryDirectory() as folder:
        import onnx
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        model = onnx.load_model_from_string(content)
        path = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                model,
                path,
                _Batches(images),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[node.name for node in model.graph.node if node.op_type in _KEPT_IN_FLOAT],
            )
        except Exception as error:
            reason = str(error).strip().splitlines() or [""]
            raise ExportError(
                f"The network cannot be quantised: {type(error).__name__}: {reason[0]}"
            ) from error
        quantised = onnx.load_model(path)
    onnx.helper.set_model_props(quantised, {entry.key: entry.value for entry in model.metadata_props})
    result: bytes = quantised.SerializeToString(deterministic=True)
    return result


class _Batches:
    """Calibration images as ONNX Runtime asks for them."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches = iter(
            [np.ascontiguousarray(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
