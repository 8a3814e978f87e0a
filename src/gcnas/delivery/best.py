"""The folder ``best``: the network to use, complete and readable without this package."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from gcnas.data import Preprocessing
from gcnas.errors import BuildError, DataError, ExportError, GCNASError, RuleError, RunFolderError, SpaceError
from gcnas.export import check_size, load_weights, save_weights, write_model_source
from gcnas.files import MAX_JSON, read_bounded, read_json
from gcnas.network import Network, build
from gcnas.records import Architecture
from gcnas.run.context import Context
from gcnas.run.folder import RunFolder
from gcnas.run.trial import Trial
from gcnas.space import InputShape, SearchSpace
from gcnas.space.extension import Extension
from gcnas.training import Measurement

MOST_CONFUSED = 500
"""Classes up to which ``metrics.json`` holds the confusion matrix; that of 1,300 would be more than is read."""

LEFT_OUT = "model_py_left_out"
"""In ``metrics.json``: why there is no ``model.py``."""

READINGS = 10
"""How often a folder is read that is replaced meanwhile."""

T = TypeVar("T")


@dataclass(frozen=True)
class Grown:
    """Where a network that compound scaling has grown lies, in place of ``best``.

    Attributes:
        path: Its folder.
        extension: What its space has beyond the run's.
        metrics: What its ``metrics.json`` keeps: growth, and accuracy on validation images that it had not seen.
    """

    path: Path
    extension: Extension | None
    metrics: Mapping[str, Any]


def write_best(
    context: Context,
    trial: Trial,
    network: Network,
    *,
    final: bool = False,
    test: Measurement | None = None,
    epochs: float | None = None,
    seconds: float | None = None,
    onnx: bytes | None = None,
    grown: Grown | None = None,
    facts: Mapping[str, Any] | None = None,
) -> str | None:
    """Replace ``best``, or the folder of a grown network, as a whole.

    Args:
        context: The run.
        trial: The trial whose architecture the network has.
        network: Trained network.
        final: Whether this is what the run delivers; else a network as the search trained it.
        test: Its measurement on the test split, once that was opened.
        epochs: Length of the final training; None for a network as the search trained it.
        seconds: Wall clock of the final training.
        onnx: The network as an ONNX file, where there is one.
        grown: Where the network lies if it is a grown one.
        facts: What else ``metrics.json`` says: its teacher, what was inherited, its latency.

    Returns:
        Why ``model.py`` is left out; None if it is there.

    Raises:
        RunFolderError: If the disk refuses; the old folder is kept.
    """
    metrics = _metrics(context, trial, test, epochs, seconds) | dict(facts or {})
    metrics["state"] = "final" if final else "search"
    grown = grown or Grown(context.folder.best, None, {})
    return write_model(
        context,
        grown.path,
        trial.proposal.architecture,
        network,
        {**metrics, **grown.metrics},
        extension=grown.extension,
        onnx=onnx,
    )


def write_model(
    context: Context,
    target: Path,
    architecture: Architecture,
    network: Network,
    metrics: Mapping[str, Any],
    *,
    extension: Extension | None = None,
    onnx: bytes | None = None,
) -> str | None:
    """Replace a folder in the form of ``best`` as a whole.

    Args:
        context: The run, with the space and the data of this network.
        target: The folder, in the run folder.
        architecture: What was built.
        network: Trained network.
        metrics: Content of ``metrics.json``.
        extension: What the network's space has beyond the run's.
        onnx: The network as an ONNX file, where there is one.

    Returns:
        Why ``model.py`` is left out, as some layer types of users must be; None if it is there.

    Raises:
        RunFolderError: If the disk refuses; the old folder is kept.
    """
    source, reason = None, None
    try:
        source = write_model_source(
            network,
            context.space,
            architecture,
            classes=context.dataset.class_names,
            preprocessing=_in_words(context.dataset.preprocessing),
        )
    except ExportError as error:
        reason = str(error)
    documents = {
        "architecture.json": {
            "space": context.space.name,
            "space_fingerprint": context.space.fingerprint,
            "image": vars(context.space.fitted),
            **({} if extension is None else {"extension": extension.to_json()}),
            **architecture.to_json(),
        },
        "preprocessing.json": context.dataset.preprocessing.to_json(),
        "metrics.json": {**metrics, **({} if reason is None else {LEFT_OUT: reason})},
    }

    def fill(folder: Path) -> None:
        for name, document in documents.items():
            (folder / name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        if source is not None:
            (folder / "model.py").write_text(source, encoding="utf-8")
        save_weights(network, folder / "weights.safetensors")
        if onnx is not None:
            (folder / "model.onnx").write_bytes(onnx)

    context.folder.replace(target, fill)
    return reason


def _in_words(preprocessing: Preprocessing) -> str:
    height, width = preprocessing.resolution
    colours = "grey" if preprocessing.channels == 1 else "RGB"
    return (
        f"turn the image upright (EXIF), make it {colours} (transparency over white), resize its shorter side "
        f"so that {height}x{width} pixels can be cut from the centre, and divide by 255."
    )


def write_searched(context: Context, trial: Trial, weights: Mapping[str, Tensor]) -> str | None:
    """Replace ``best`` by a candidate as the search trained it; why ``model.py`` is left out, if it is."""
    return write_best(context, trial, build_trained(context, trial.proposal.architecture, weights))


def build_trained(context: Context, architecture: Architecture, weights: Mapping[str, Tensor]) -> Network:
    """The network of an architecture with weights from a training."""
    preprocessing = context.dataset.preprocessing
    with torch.random.fork_rng(devices=[]):
        network = build(context.space, architecture, preprocessing.mean, preprocessing.std)
    network.load_state_dict(dict(weights))
    return network


def _confusion(test: Measurement | None) -> list[list[int]] | None:
    """Rows of true classes; None without a test, and for more classes than are kept."""
    if test is None or len(test.confusion) > MOST_CONFUSED:
        return None
    rows: list[list[int]] = test.confusion.tolist()
    return rows


def _metrics(
    context: Context, trial: Trial, test: Measurement | None, epochs: float | None, seconds: float | None
) -> dict[str, Any]:
    found = dict(trial.evaluation.metrics) if trial.evaluation is not None else {}
    return {
        "trial": trial.number,
        "fingerprint": trial.proposal.fingerprint,
        "source": trial.proposal.source,
        "parameters": trial.cost.parameters,
        "multiply_adds": trial.cost.multiply_adds,
        "activations": trial.cost.activations,
        "depth": trial.proposal.architecture.depth,
        "classes": list(context.dataset.class_names),
        "validation_accuracy": found.get("accuracy"),
        "validation_balanced_accuracy": found.get("balanced_accuracy"),
        "test_accuracy": None if test is None else test.accuracy,
        "test_balanced_accuracy": None if test is None else test.balanced_accuracy,
        "test_images": None if test is None else int(test.confusion.sum()),
        "test_confusion": _confusion(test),
        "epochs": epochs,
        "seconds": seconds,
    }


@dataclass(frozen=True)
class Model:
    """A trained network with all that is needed to use it.

    Attributes:
        network: In evaluation mode, on the CPU.
        preprocessing: What turns an image file into its input.
        class_names: Names of the classes.
        architecture: What was built.
        space: The fitted space.
    """

    network: Network
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    architecture: Architecture
    space: SearchSpace

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        image = self.space.fitted
        return image.channels, image.height, image.width


def load_best(folder: RunFolder, space: SearchSpace) -> Model:
    """Read ``best``; nothing in it is executed.

    Args:
        folder: The run folder.
        space: Its space, not yet fitted.

    Raises:
        RunFolderError: If there is no best network yet, or a file is damaged.
        SpaceError: If the architecture is not of this space.
        ExportError: If the weights do not fit.
    """
    return load_model(folder.delivered(), space)


def load_model(path: Path, space: SearchSpace) -> Model:
    """Read a folder in the form of ``best``; nothing in it is executed.

    Args:
        path: The folder.
        space: The space of its run, not yet fitted.

    Raises:
        RunFolderError: If a file is missing or damaged, or the network cannot be built.
        SpaceError: If the architecture is not of this space.
        ExportError: If the weights do not fit.
    """
    return read_together(path, lambda: _load_model(path, space))


def delivered_trial(folder: RunFolder) -> int | None:
    """Number of the trial whose network in ``best`` was trained for delivery; None if there is none."""
    try:
        metrics = read_json(folder.best / "metrics.json")
    except RunFolderError:
        return None
    # Where there was no time for one pass, it lies there as the search trained it.
    final = isinstance(metrics, dict) and metrics.get("state") == "final" and metrics.get("epochs") is not None
    number = metrics.get("trial") if final else None
    return number if isinstance(number, int) else None


def read_together(path: Path, read: Callable[[], T]) -> T:
    """What is read from several files of a folder in the form of ``best``, which a running search may replace.

    Args:
        path: The folder.
        read: Reads; it is called again where the folder was replaced meanwhile.

    Raises:
        RunFolderError: If it is replaced again and again.
    """
    for _ in range(READINGS):
        before = delivery_in(path)
        try:
            found = read()
        except GCNASError:
            if delivery_in(path) == before:
                raise
        else:
            if delivery_in(path) == before:
                return found
    raise RunFolderError(f"{path} is replaced again and again while it is read; try once more.")


def delivery_in(path: Path) -> tuple[int, bytes] | None:
    """What tells whether a folder is still the same: it is replaced as a whole."""
    try:
        return path.stat().st_ino, read_bounded(path / "metrics.json", MAX_JSON)
    except (OSError, ValueError):
        return None


@contextmanager
def buildable(place: str | Path) -> Iterator[None]:
    """Turn whatever is raised while a trained network is built again into an error that says where it is from.

    Layer types of users are foreign code, and a file may be another's.

    Args:
        place: Where the network is.

    Raises:
        RunFolderError: In the place of all that is no error of this package for users.
    """
    try:
        yield
    except RuleError as error:
        raise RunFolderError(f"The network in {place} cannot be built: {error}") from error
    except GCNASError:
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, BuildError) else f"{type(error).__name__}: {error}"
        raise RunFolderError(f"The network in {place} cannot be built: {reason}") from error


def _load_model(path: Path, space: SearchSpace) -> Model:
    with buildable(path):
        return _built(path, space)


def _built(path: Path, space: SearchSpace) -> Model:
    document = read_json(path / "architecture.json")
    try:
        if "extension" in document:
            space = Extension.from_json(document["extension"]).apply(space)
        fitted = space.fit(InputShape(**document["image"]))
        fingerprint = document["space_fingerprint"]
        preprocessing = Preprocessing.from_json(read_json(path / "preprocessing.json"))
        class_names = _class_names(read_json(path / "metrics.json"), fitted, preprocessing)
    except (KeyError, TypeError, ValueError, DataError) as error:
        raise RunFolderError(f"{path} is damaged: {error!r}. Make it anew with 'gcnas finalize'.") from error
    if fitted.fingerprint != fingerprint:
        raise RunFolderError(
            f"The network in {path} is of another space than {space.name!r} (or the space was changed "
            "since); name the one of the search with --space FILE.py:NAME."
        )
    try:
        architecture = Architecture.from_json(document)
    except SpaceError as error:
        raise RunFolderError(f"{path} is damaged: {error} Make it anew with 'gcnas finalize'.") from error
    check_size(path / "weights.safetensors", fitted.cost(architecture).parameters)
    with torch.random.fork_rng(devices=[]):
        network = build(fitted, architecture, preprocessing.mean, preprocessing.std)
    load_weights(network, path / "weights.safetensors")
    return Model(network.eval(), preprocessing, class_names, architecture, fitted)


def _class_names(metrics: Any, space: SearchSpace, preprocessing: Preprocessing) -> tuple[str, ...]:
    """Names of the classes.

    Raises:
        ValueError: If these, or the preprocessing, are of another network.
    """
    names, image = metrics["classes"], space.fitted
    if not isinstance(names, list) or len(names) != image.classes:
        raise ValueError(f"the network has {image.classes} classes, and metrics.json does not name as many")
    size = (preprocessing.channels, *preprocessing.resolution)
    if size != (image.channels, image.height, image.width):
        raise ValueError("preprocessing.json is for images of another size than the network")
    return tuple(map(str, names))
