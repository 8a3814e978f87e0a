"""Running an ONNX file of ours with ONNX Runtime on the CPU."""

from typing import Any

import numpy as np

from gcnas.export.onnx_extra import quiet

INPUT, OUTPUT = "images", "probabilities"

# Fatal errors only: they are raised as exceptions anyway, and warnings are about the machine.
_SILENT = 4


class OnnxClassifier:
    """A model as :func:`~gcnas.export.onnx_bytes` writes it, ready to run.

    Args:
        content: The file.
        threads: CPU threads; None leaves the choice to ONNX Runtime.
    """

    def __init__(self, content: bytes, threads: int | None = None) -> None:
        with quiet():
            import onnxruntime
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _SILENT
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Probabilities ``N x classes`` of images ``N x H x W x C`` uint8."""
        probabilities: np.ndarray = self._session.run([OUTPUT], {INPUT: images})[0]
        return probabilities

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself: ``labels`` and ``preprocessing``, as JSON."""
        return dict(self._session.get_modelmeta().custom_metadata_map)
