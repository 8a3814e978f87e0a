"""Weights to begin with: a trained network whose layers a final training or a search takes over."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import save

from gcnas.data import Dataset
from gcnas.delivery.best import read_together
from gcnas.errors import ConfigurationError, RunFolderError, SpaceError
from gcnas.export.safetensors_reader import MAX_FILE_BYTES, read_safetensors
from gcnas.files import MAX_JSON, check_regular, is_file, is_folder, write_atomically
from gcnas.records import Architecture
from gcnas.run.folder import RunFolder, write_text
from gcnas.run.ledger import LedgerReader
from gcnas.run.recommendation import TRANSFERRED
from gcnas.space import SearchSpace
from gcnas.training import Donor

FINE_TUNE_RATE = 0.3
"""Peak of the learning rate of a network that took over weights, as a share of the run's."""


@dataclass(frozen=True)
class Heritage:
    """How a final training begins with another network's weights.

    Attributes:
        donor: Whose.
        freeze: Passes in which only the parameters are trained that were not taken over.
        rate: Peak of the learning rate afterwards, as a share of the run's.
    """

    donor: Donor
    freeze: int = 0
    rate: float = FINE_TUNE_RATE

    def __post_init__(self) -> None:
        if self.freeze < 0:
            raise ConfigurationError(f"--freeze is a number of epochs from 0 on, but got {self.freeze}.")
        if not 0 < self.rate <= 1:
            raise ConfigurationError(f"--fine-tune-rate is above 0 and at most 1, but got {self.rate}.")


def heritage_of(donor: Donor, freeze: int | None = None, rate: float | None = None) -> Heritage:
    """A heritage; what is None takes its default.

    Raises:
        ConfigurationError: If a number cannot be used.
    """
    return Heritage(donor, 0 if freeze is None else freeze, FINE_TUNE_RATE if rate is None else rate)


def inherited_from(path: str | Path, freeze: int | None = None, rate: float | None = None) -> Heritage:
    """The heritage of a run folder or a weights file; what is None takes its default.

    Raises:
        GCNASError: One of its children, if there are no such weights, or a number cannot be used.
    """
    return heritage_of(read_donor(Path(path)), freeze, rate)


def read_donor(path: Path) -> Donor:
    """Read a trained network to take weights from; nothing is executed.

    Args:
        path: A run folder (its ``best``), or a safetensors file of a network that was trained here. Its classes and
            its connections are read from ``metrics.json`` and ``architecture.json`` beside it, if these are there.

    Raises:
        ConfigurationError: If there is nothing like that.
        RunFolderError: If it cannot be read.
    """
    file = path
    if is_folder(path):
        file = next((p for p in (path / "best", path) if is_file(p / "weights.safetensors")), path)
        file = file / "weights.safetensors"
    if not is_file(file):
        raise ConfigurationError(
            "Weights are taken over from a run folder with a best network or a .safetensors file, but "
            f"{path} is neither."
        )
    donor = read_together(file.parent, lambda: _donor_of(file, str(path)))
    return replace(donor, data=data_of(file.parent.parent))


def data_of(run: Path) -> str | None:
    """Fingerprint of the images and the splits of a run; None where its ledger does not tell it."""
    ledger = run / "run.db"
    if not is_file(ledger):
        return None
    with suppress(RunFolderError, KeyError, TypeError), LedgerReader(ledger) as reader:
        return str(reader.meta()["data"]["fingerprint"])
    return None


def _donor_of(weights: Path, name: str) -> Donor:
    return replace(_read(weights, weights.parent / "metrics.json", name), inputs=_inputs(weights))


def tell_seen(donor: Donor, dataset: Dataset, note: Callable[[str], None]) -> None:
    """Say so where a donor was trained on images that it is now judged by, or may have been."""
    if (words := seen_words(donor, dataset)) is not None:
        note(words)


def seen_words(donor: Donor, dataset: Dataset) -> str | None:
    """Why accuracies may flatter where a donor was trained on images that it is now judged by, or may have been."""
    if donor.data == dataset.fingerprint:
        return (
            f"The weights of {donor.name} were trained on the training and validation images of these data: validation "
            "accuracies flatter the networks that begin with them, the test does not."
        )
    if donor.classes is not None and sorted(donor.classes) == sorted(dataset.class_names):
        return (
            f"The weights of {donor.name} know the same classes: where they were trained on images that are now "
            "among those for validation or test, these accuracies flatter."
        )
    if donor.classes is None and _outputs(donor) == (len(dataset.class_names),):
        return (
            f"The weights of {donor.name} do not say what their classes were. They are as many as those of these "
            "data, so that the head is taken over as well, as if they were the same."
        )
    return None


def _outputs(donor: Donor) -> tuple[int, ...] | None:
    """Shape of the head's biases; None if it has none."""
    bias = donor.weights.get("head.linear.bias")
    return None if bias is None else tuple(bias.shape)


def keep_donor(folder: RunFolder, donor: Donor, transferred: Architecture | None = None) -> None:
    """Copy a donor into a run folder, so that the run can go on when the donor is gone.

    Args:
        folder: The run.
        donor: The donor.
        transferred: Its network, if that is what the run begins with.

    Raises:
        RunFolderError: If the disk refuses.
    """
    facts: dict[str, Any] = {
        "name": donor.name,
        "classes": donor.classes,
        "inputs": donor.inputs,
        "data": donor.data,
    }
    if transferred is not None:
        facts["transferred"] = transferred.to_json()
    write_text(folder.donor.with_suffix(".json"), json.dumps(facts) + "\n")
    try:
        write_atomically(folder.donor, save(dict(donor.weights)))
    except OSError as error:
        raise RunFolderError(f"{folder.donor} cannot be written: {error}.") from error


def kept_donor(folder: RunFolder) -> Donor:
    """The donor that a run began with.

    Raises:
        RunFolderError: If it cannot be read.
    """
    file = folder.donor
    return _read(file, file.with_suffix(".json"), str(file))


def kept_transfer(folder: RunFolder) -> Architecture | None:
    """The network that a run began with, if it is a transfer.

    Raises:
        RunFolderError: If it cannot be read.
    """
    file = folder.donor.with_suffix(".json")
    try:
        if not file.is_file() or file.stat().st_size > MAX_JSON:
            return None
        known = json.loads(file.read_text(encoding="utf-8")).get("transferred")
        return None if known is None else Architecture.from_json(known)
    except (OSError, ValueError, AttributeError, RecursionError, SpaceError) as error:
        raise RunFolderError(f"The transferred network in {file} cannot be read: {error}") from error


def transferable(architecture: Architecture, space: SearchSpace) -> SearchSpace:
    """A space whose only design is a network of it for other images, where that may take another canonical form."""
    return replace(space, references={TRANSFERRED: partial(_moved, architecture)})


def _moved(architecture: Architecture, space: SearchSpace) -> Architecture:
    """The architecture in a fitted space.

    Raises:
        SpaceError: If it does not fit.
    """
    layers = enumerate(architecture.layers, start=1)
    moved = space.decode([space.encode_layer(layer, index) for index, layer in layers])
    if (problem := space.violation(moved)) is not None:
        raise SpaceError(f"The network cannot be transferred: {problem}.")
    return moved


def _inputs(weights: Path) -> tuple[tuple[int, ...], ...] | None:
    """Inputs of the layers, as the architecture beside the weights has them; None where there is none."""
    file = weights.with_name("architecture.json")
    try:
        if not file.is_file() or file.stat().st_size > MAX_JSON:
            return None
        architecture = Architecture.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, SpaceError) as error:
        raise RunFolderError(f"The architecture in {file} cannot be read: {error}") from error
    return tuple(layer.inputs for layer in architecture.layers)


def _read(weights: Path, facts: Path, name: str) -> Donor:
    try:
        check_regular(weights, MAX_FILE_BYTES)
        tensors = read_safetensors(weights)
        known: Any = {}
        if facts.is_file() and facts.stat().st_size <= MAX_JSON:
            known = json.loads(facts.read_text(encoding="utf-8"))
        classes, inputs, data = known.get("classes"), known.get("inputs"), known.get("data")
        return Donor(
            str(known.get("name") or name),
            tensors,
            None if classes is None else tuple(map(str, classes)),
            inputs=None if inputs is None else tuple(tuple(map(int, each)) for each in inputs),
            data=None if data is None else str(data),
        )
    except (OSError, ValueError, AttributeError, TypeError, RecursionError, OverflowError) as error:
        raise RunFolderError(f"The weights in {weights} cannot be taken over: {error}") from error
