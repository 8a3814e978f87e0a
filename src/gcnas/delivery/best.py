"""The folder ``best``: the network to use, complete and readable without this package."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gcnas.data import Preprocessing
from gcnas.errors import RunFolderError
from gcnas.export import load_weights, save_weights, write_model_source
from gcnas.network import Network, build
from gcnas.records import Architecture
from gcnas.run.context import Context
from gcnas.run.folder import RunFolder
from gcnas.run.trial import Trial
from gcnas.space import InputShape, SearchSpace
from gcnas.training import Measurement

MAX_JSON = 10_000_000
"""Bytes of a JSON file that are read."""


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
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Replace ``best`` as a whole.

    Args:
        context: The run.
        trial: The trial whose architecture the network has.
        network: Trained network.
        final: Whether this is what the run delivers; else a network as the search trained it.
        test: Its measurement on the test split, once that was opened.
        epochs: Length of the final training; None for a network as the search trained it.
        seconds: Wall clock of the final training.
        onnx: The network as an ONNX file, where there is one.
        facts: What else ``metrics.json`` says about the training: its teacher, what was inherited.

    Raises:
        RunFolderError: If the disk refuses; the old folder is kept.
    """
    state = {"state": "final" if final else "search"}
    metrics = _metrics(context, trial, test, epochs, seconds) | dict(facts or {}) | state
    documents = {
        "architecture.json": {
            "space": context.space.name,
            "space_fingerprint": context.space.fingerprint,
            "image": vars(context.space.fitted),
            **trial.proposal.architecture.to_json(),
        },
        "preprocessing.json": context.dataset.preprocessing.to_json(),
        "metrics.json": metrics,
    }
    source = write_model_source(
        network,
        context.space,
        trial.proposal.architecture,
        classes=context.dataset.class_names,
        preprocessing=_in_words(context.dataset.preprocessing),
    )

    def fill(folder: Path) -> None:
        for name, document in documents.items():
            (folder / name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (folder / "model.py").write_text(source, encoding="utf-8")
        save_weights(network, folder / "weights.safetensors")
        if onnx is not None:
            (folder / "model.onnx").write_bytes(onnx)

    context.folder.write_best(fill)


def _in_words(preprocessing: Preprocessing) -> str:
    height, width = preprocessing.resolution
    colours = "grey" if preprocessing.channels == 1 else "RGB"
    return (
        f"turn the image upright (EXIF), make it {colours} (transparency over white), resize its shorter side "
        f"so that {height}x{width} pixels can be cut from the centre, and divide by 255."
    )


def write_searched(context: Context, trial: Trial, weights: Mapping[str, Tensor]) -> None:
    """Replace ``best`` by a candidate as the search trained it."""
    network = _build(context, trial)
    network.load_state_dict(dict(weights))
    write_best(context, trial, network)


def _build(context: Context, trial: Trial) -> Network:
    preprocessing = context.dataset.preprocessing
    with torch.random.fork_rng(devices=[]):
        return build(context.space, trial.proposal.architecture, preprocessing.mean, preprocessing.std)


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
        "test_confusion": None if test is None else test.confusion.tolist(),
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
    if not folder.best.is_dir():
        raise RunFolderError(f"{folder.path} has no best network yet; let the search finish a candidate.")
    document = _read_json(folder.best / "architecture.json")
    try:
        fitted = space.fit(InputShape(**document["image"]))
        class_names = tuple(map(str, _read_json(folder.best / "metrics.json")["classes"]))
        fingerprint = document["space_fingerprint"]
    except (KeyError, TypeError) as error:
        raise RunFolderError(
            f"{folder.best} is damaged: {error!r}. Make it anew with 'gcnas finalize'."
        ) from error
    if fitted.fingerprint != fingerprint:
        raise RunFolderError(
            f"The network in {folder.best} is of another space than {space.name!r} (or the space was changed "
            "since); name the one of the search with --space FILE.py:NAME."
        )
    preprocessing = Preprocessing.from_json(_read_json(folder.best / "preprocessing.json"))
    architecture = Architecture.from_json(document)
    network = build(fitted, architecture, preprocessing.mean, preprocessing.std)
    load_weights(network, folder.best / "weights.safetensors")
    return Model(network.eval(), preprocessing, class_names, architecture, fitted)


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_JSON:
            raise RunFolderError(
                f"{path} is larger than {MAX_JSON:,} bytes; it is not one that was written here."
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}.") from error
