"""A trained network as weights, Python source, a torch program, or an ONNX file."""

from gcnas.export.int8 import int8_bytes
from gcnas.export.onnx_model import onnx_bytes
from gcnas.export.python_source import write_model_source
from gcnas.export.torch_program import export_program
from gcnas.export.weights import check_size, load_weights, save_weights

__all__ = [
    "check_size",
    "export_program",
    "int8_bytes",
    "load_weights",
    "onnx_bytes",
    "save_weights",
    "write_model_source",
]
