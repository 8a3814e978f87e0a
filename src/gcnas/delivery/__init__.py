"""What the user takes away: the final training, the folder ``best``, its other forms, and predictions."""

from gcnas.delivery.best import Model, load_best, write_best, write_searched
from gcnas.delivery.final import finalize
from gcnas.delivery.forms import export_python, export_torch
from gcnas.delivery.packing import pack, unpack
from gcnas.delivery.predict import Prediction, image_files, predict_arrays, predict_files, write_predictions

__all__ = [
    "Model",
    "Prediction",
    "export_python",
    "export_torch",
    "finalize",
    "image_files",
    "load_best",
    "pack",
    "predict_arrays",
    "predict_files",
    "unpack",
    "write_best",
    "write_predictions",
    "write_searched",
]
