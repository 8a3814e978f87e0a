"""Each form of the delivered network beside the others: latency, throughput, size, accuracy."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from gcnas._version import __version__
from gcnas.data import Dataset
from gcnas.delivery.best import Model
from gcnas.delivery.forms import export_torch, model_int8, model_onnx
from gcnas.delivery.predict import Classify, share_correct
from gcnas.errors import ConfigurationError, ExportError
from gcnas.export.onnx_extra import INSTALL, missing_packages
from gcnas.export.onnx_session import OnnxClassifier
from gcnas.export.pixels_in import PixelClassifier
from gcnas.export.timing import WARM_UP, processor_name, time_calls
from gcnas.files import write_atomically

BATCH = 64
REPETITIONS = 300
BATCHES_SHARE = 10
"""One batch of 64 is timed for so many single images; it takes longer and varies less."""


@dataclass(frozen=True)
class BenchmarkRow:
    """One form of a network, measured.

    All forms take pixels (uint8) that lie in memory and give probabilities, so that they do the same work.

    Attributes:
        form: ``PyTorch``, ``torch.export``, ``ONNX`` or ``int8 ONNX``.
        p50_ms: Median latency of one image, in milliseconds.
        p95_ms: 95th percentile of it.
        p99_ms: 99th percentile of it.
        images_per_second: Throughput in batches of 64.
        bytes: Size of the files that this form needs.
        accuracy: Share of the validation images classified correctly. A delivered network has seen them in its
            final training, so it serves to compare forms, not to say how good the network is.
        images: Number of validation images.
        repetitions: Calls with one image that were timed.
        batches: Calls with 64 images that were timed.
        warm_up: Calls before the first that is timed.
        threads: CPU threads.
        device: Name of the processor.
        load: Load average of the minute before. Where it is above the number of cores, other programs are in the
            upper percentiles.
        version: Of what ran it.
        gcnas: Version of this package.
    """

    form: str
    p50_ms: float
    p95_ms: float
    p99_ms: float
    images_per_second: float
    bytes: int
    accuracy: float
    images: int
    repetitions: int
    batches: int
    warm_up: int
    threads: int
    device: str
    load: float
    version: str
    gcnas: str = __version__


@dataclass(frozen=True)
class _Form:
    name: str
    classify: Classify
    size: int
    version: str


def measure_forms(
    model: Model,
    dataset: Dataset,
    files: Path,
    *,
    threads: int = 1,
    repetitions: int = REPETITIONS,
    note: Callable[[str], None],
) -> list[BenchmarkRow]:
    """Measure every form that can be made here, one after the other.

    Args:
        model: The network.
        dataset: The run's data: validation images are classified, training images calibrate the int8 form.
        files: The folder with ``model.py`` and the weights.
        threads: CPU threads.
        repetitions: How many single images are timed.
        note: Told which form is left out, and why.

    Raises:
        ConfigurationError: If a number is not positive.
    """
    for name, number in (("threads", threads), ("repetitions", repetitions)):
        if number < 1:
            raise ConfigurationError(f"--{name} is a number from 1 on, but got {number}.")
    validation = dataset.validation()
    image = validation.take(np.arange(1))
    batch = validation.take(np.arange(BATCH) % len(validation))
    batches = max(5, repetitions // BATCHES_SHARE)
    rows, load = [], round(os.getloadavg()[0], 1)
    with _torch_threads(threads):
        for form in _forms(model, dataset, files, threads, note):
            single = time_calls(partial(form.classify, image), repetitions)
            many = time_calls(partial(form.classify, batch), batches, warm_up=3)
            rows.append(
                BenchmarkRow(
                    form=form.name,
                    p50_ms=single.milliseconds(50),
                    p95_ms=single.milliseconds(95),
                    p99_ms=single.milliseconds(99),
                    images_per_second=many.per_second * BATCH,
                    bytes=form.size,
                    accuracy=share_correct(form.classify, validation),
                    images=len(validation),
                    repetitions=repetitions,
                    batches=batches,
                    warm_up=WARM_UP,
                    threads=threads,
                    device=processor_name(),
                    load=load,
                    version=form.version,
                )
            )
    return rows


def check_table_name(path: Path) -> None:
    """Make sure that a table can be written under a name, before anything is measured.

    Raises:
        ConfigurationError: If the name ends neither in ``.csv`` nor in ``.json``.
    """
    if path.suffix.lower() not in (".csv", ".json"):
        raise ConfigurationError(f"A table is written as .csv or .json, but got {path.name!r}.")


def write_rows(path: Path, rows: Sequence[BenchmarkRow]) -> None:
    """Write all columns as CSV or as JSON, as the name ends.

    Raises:
        ConfigurationError: If the name ends otherwise.
        ExportError: If the file cannot be written.
    """
    check_table_name(path)
    records = [asdict(row) for row in rows]
    if path.suffix.lower() == ".json":
        text = json.dumps(records, indent=1) + "\n"
    else:
        table = io.StringIO()
        writer = csv.DictWriter(table, [field.name for field in fields(BenchmarkRow)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        text = table.getvalue()
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}.") from error


def _forms(
    model: Model, dataset: Dataset, files: Path, threads: int, note: Callable[[str], None]
) -> Iterator[_Form]:
    torch_version = f"PyTorch {torch.__version__}"
    parts = (files / name for name in ("model.py", "weights.safetensors"))
    size = sum(part.stat().st_size for part in parts if part.is_file())  # some own types have no model.py
    yield _Form("PyTorch", _in_torch(model.network), size, torch_version)
    try:
        with TemporaryDirectory() as folder:
            path = export_torch(model, Path(folder) / "model.pt2")
            program, size = torch.export.load(path).module(), path.stat().st_size
        yield _Form("torch.export", _in_torch(program), size, torch_version)
    except ExportError as error:
        note(f"torch.export is left out: {error}")
    if missing := missing_packages():
        note(f"ONNX and int8 ONNX are left out, since {', '.join(missing)} is not installed: {INSTALL}")
        return
    name = "ONNX"
    try:
        content = model_onnx(model, dataset.train().images)
        yield _in_onnx(name, content, threads)
        name = "int8 ONNX"
        yield _in_onnx(name, model_int8(content, dataset), threads)
    except ExportError as error:
        note(f"{name} is left out: {error}")


def _in_torch(network: torch.nn.Module) -> Classify:
    classifier = PixelClassifier(network)

    def classify(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            probabilities: np.ndarray = classifier(torch.from_numpy(images)).numpy()
        return probabilities

    return classify


def _in_onnx(name: str, content: bytes, threads: int) -> _Form:
    import onnxruntime

    return _Form(
        name, OnnxClassifier(content, threads), len(content), f"ONNX Runtime {onnxruntime.__version__}"
    )


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
