"""The delivered network in other forms: writing them, and measuring them beside each other."""

from pathlib import Path
from typing import Literal, TypeAlias, get_args

from gcnas.api import load
from gcnas.data import Dataset
from gcnas.delivery import (
    MAX_DROP,
    BenchmarkRow,
    Exported,
    Model,
    export_int8,
    export_onnx,
    export_python,
    export_torch,
    export_zip,
    measure_forms,
)
from gcnas.errors import ConfigurationError
from gcnas.opening import DataSource, images_at, same_data, saved_config
from gcnas.result import Result
from gcnas.run.folder import RunFolder
from gcnas.run.observer import Observer
from gcnas.space import SearchSpace

Format: TypeAlias = Literal["onnx", "int8", "torch", "python", "zip"]
"""Forms in which a network is exported."""

ENDINGS: dict[str, str] = {"onnx": ".onnx", "int8": "-int8.onnx", "torch": ".pt2", "python": "", "zip": ".zip"}
"""What a form's default name adds to that of the run."""


def export_network(
    run: str | Path,
    form: Format,
    out: str | Path | None = None,
    *,
    max_drop: float = MAX_DROP,
    force: bool = False,
    phi: int | None = None,
    data: DataSource | None = None,
    space: str | SearchSpace | None = None,
) -> Exported:
    """Write the best network of a run in another form; none of them needs this package.

    Args:
        run: The run folder.
        form: ``onnx`` (uint8 pixels in, probabilities out), ``int8`` (the same in 8-bit integers), ``torch`` (a
            ``torch.export`` program), ``python`` (source and weights) or ``zip`` (ONNX with labels,
            preprocessing and a script that needs onnxruntime, numpy and pillow only).
        out: Where to; by default the run's name in the current folder.
        max_drop: Most points of validation accuracy that ``int8`` may lose.
        force: Whether ``int8`` is written whatever is lost.
        phi: Network that :func:`gcnas.scale` has grown; None for the delivered one.
        data: Where the run's data is now, as for :func:`resume`; ``int8`` alone needs them.
        space: The run's space, as for :func:`load`.

    Returns:
        Where it is; for ``int8`` with the accuracies.

    Raises:
        ConfigurationError: If there is no such form.
        ExportError: If it cannot be made or written, loses too much, or needs the extra ``onnx``.
        RunFolderError: If there is no such network yet.
    """
    if form not in get_args(Format):
        raise ConfigurationError(f"A form is one of {', '.join(get_args(Format))}, but got {form!r}.")
    folder = RunFolder.open(Path(run))
    name = folder.path.resolve().name + ("" if phi is None else f"-phi-{phi}")
    path = Path(f"{name}{ENDINGS[form]}") if out is None else Path(out)
    if form == "python":  # a copy of files, which needs no space
        return Exported(export_python(folder.delivered(phi), path))
    result = load(run, space=space)
    model = _model(result, phi)
    if form == "int8":
        return export_int8(model, _data(result, model, data), path, max_drop=max_drop, force=force)
    write = {"onnx": export_onnx, "torch": export_torch, "zip": export_zip}[form]
    return Exported(write(model, path))


def _model(result: Result, phi: int | None) -> Model:
    return result.model if phi is None else result.scaled(phi)


def _data(result: Result, model: Model, data: DataSource | None) -> Dataset:
    """The images of the run, in the size that the network takes."""
    folder = RunFolder(result.run)
    dataset = same_data(folder, data)
    if dataset.preprocessing.resolution == model.preprocessing.resolution:
        return dataset
    return images_at(folder, saved_config(folder), data, model.preprocessing.resolution)


def benchmark(
    run: str | Path,
    *,
    threads: int = 1,
    repetitions: int = 300,
    phi: int | None = None,
    data: DataSource | None = None,
    space: str | SearchSpace | None = None,
    observer: Observer | None = None,
) -> list[BenchmarkRow]:
    """Measure latency, throughput, size and validation accuracy of each form of a run's best network.

    Args:
        run: The run folder.
        threads: CPU threads.
        repetitions: Single images that are timed, for each form.
        phi: Network that :func:`gcnas.scale` has grown; None for the delivered one.
        data: Where the run's data is now, as for :func:`resume`.
        space: The run's space, as for :func:`load`.
        observer: Told which form is left out, and why.

    Raises:
        ConfigurationError: If a number is not positive.
        RunFolderError: If there is no such network yet, or the data are others now.
    """
    result = load(run, space=space)
    model = _model(result, phi)
    return measure_forms(
        model,
        _data(result, model, data),
        result.folder_of(phi),
        threads=threads,
        repetitions=repetitions,
        note=(observer or Observer()).note,
    )
