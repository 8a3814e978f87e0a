"""A trained network as weights, Python source, or a torch program."""

from gcnas.export.python_source import write_model_source
from gcnas.export.torch_program import export_program
from gcnas.export.weights import load_weights, save_weights

__all__ = ["export_program", "load_weights", "save_weights", "write_model_source"]
