"""What the user takes away: the final training, the folder ``best``, its other forms, and predictions."""

from gcnas.delivery.benchmark import BenchmarkRow, check_table_name, measure_forms, write_rows
from gcnas.delivery.best import Model, load_best, load_model, write_best, write_searched
from gcnas.delivery.distilling import Lesson
from gcnas.delivery.final import Refinement, finalize
from gcnas.delivery.forms import (
    MAX_DROP,
    Exported,
    export_int8,
    export_onnx,
    export_python,
    export_torch,
    export_zip,
)
from gcnas.delivery.heritage import (
    Heritage,
    heritage_of,
    inherited_from,
    keep_donor,
    kept_donor,
    kept_transfer,
    read_donor,
    tell_seen,
    transferable,
)
from gcnas.delivery.packing import pack, unpack
from gcnas.delivery.predict import Prediction, image_files, predict_arrays, predict_files, write_predictions

__all__ = [
    "MAX_DROP",
    "BenchmarkRow",
    "Exported",
    "Heritage",
    "Lesson",
    "Model",
    "Prediction",
    "Refinement",
    "check_table_name",
    "export_int8",
    "export_onnx",
    "export_python",
    "export_torch",
    "export_zip",
    "finalize",
    "heritage_of",
    "image_files",
    "inherited_from",
    "keep_donor",
    "kept_donor",
    "kept_transfer",
    "load_best",
    "load_model",
    "measure_forms",
    "pack",
    "predict_arrays",
    "predict_files",
    "read_donor",
    "tell_seen",
    "transferable",
    "unpack",
    "write_best",
    "write_predictions",
    "write_rows",
    "write_searched",
]
