"""Reading a run folder, whole or in parts, as whoever killed the run left it."""

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcnas.config import RunConfig, parse_soft
from gcnas.errors import ConfigurationError, RunFolderError, SpaceError
from gcnas.files import read_json
from gcnas.records import METRICS as COSTS
from gcnas.records import Architecture, Limits
from gcnas.report.scaled import MOST
from gcnas.run.costs import read_latency
from gcnas.run.ledger import LedgerReader
from gcnas.run.trial import Event, Rejection, Trial
from gcnas.space import InputShape, LatencyModel, SearchSpace
from gcnas.space.presets import PRESETS

CONFIG = "config.yaml"
METRICS = "best/metrics.json"
ARCHITECTURE = "best/architecture.json"
FORMS = ("model.onnx", "model.py", "weights.safetensors")
REWARDS = {"accuracy": "validation accuracy", "balanced-accuracy": "balanced validation accuracy"}


@dataclass(frozen=True)
class Delivered:
    """What ``best/metrics.json`` says; None where it says nothing usable.

    Attributes:
        final: Whether the final training is behind it.
        confusion: Test images by true class (rows) and predicted class.
        lasting: Whether it was chosen since it is known to reach more in a long training.
        latency: Median milliseconds of one image, measured when it was delivered.
        latency_p95: 95th percentile of it.
        latency_predicted: What the run's model said.
        latency_threads: CPU threads behind these.
        caveats: Why its accuracies may flatter, one sentence each.
    """

    final: bool
    trial: int | None
    fingerprint: str | None
    source: str | None
    lasting: bool | None
    parameters: int | None
    multiply_adds: int | None
    classes: tuple[str, ...]
    validation_accuracy: float | None
    validation_balanced_accuracy: float | None
    test_accuracy: float | None
    test_balanced_accuracy: float | None
    test_images: int | None
    confusion: tuple[tuple[int, ...], ...] | None
    epochs: float | None
    seconds: float | None
    mixed: float | None = None
    latency: float | None = None
    latency_p95: float | None = None
    latency_predicted: float | None = None
    latency_threads: int | None = None
    teacher: str | None = None
    inheritance: str | None = None
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """The content of a run folder.

    Attributes:
        path: The folder.
        meta: Facts fixed when the run began.
        config: The resolved configuration, not validated; empty if missing.
        delivered: Content of ``best/metrics.json``; None if missing.
        architecture: Content of ``best/architecture.json``; None if missing.
        missing: One sentence for each part that is absent or cannot be read.
        forms: Name and bytes of each file in ``best/`` that holds the network or its weights.
        latency: The run's latency model, where it has one.
    """

    path: Path
    meta: dict[str, Any]
    trials: tuple[Trial, ...]
    rejections: tuple[Rejection, ...]
    events: tuple[Event, ...]
    config: dict[str, Any]
    delivered: Delivered | None
    architecture: Architecture | None
    missing: tuple[str, ...]
    forms: tuple[tuple[str, int], ...]
    latency: LatencyModel | None = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def reward(self) -> str:
        """What the scores are, in words."""
        words = REWARDS.get(str(self.config.get("reward", "accuracy")), "score")
        return soft_words(self.config.get("soft"), words)

    @property
    def soft(self) -> bool:
        """Whether the scores are soft rewards, not accuracies."""
        return self.config.get("soft") is not None

    @property
    def data(self) -> dict[str, Any]:
        """Facts about the data; empty if the ledger holds none."""
        data = self.meta.get("data")
        return data if isinstance(data, dict) else {}


def read_run(path: Path) -> RunRecord:
    """Read a run folder; only its ledger must be there.

    Raises:
        RunFolderError: If there is no readable ledger.
    """
    with LedgerReader(path / "run.db") as ledger:
        meta, trials = ledger.meta(), tuple(ledger.trials())
        rejections, events = tuple(ledger.rejections()), tuple(ledger.events())
    missing: list[str] = []
    config: dict[str, Any] = {}
    try:
        config = RunConfig.from_yaml(path / CONFIG)
    except (ConfigurationError, RecursionError):
        missing.append(_sentence(path, CONFIG))
    metrics = _json(path, METRICS, missing)
    if metrics is not None and not isinstance(metrics, dict):
        missing.append(f"{METRICS} does not hold an object.")
    written = _json(path, ARCHITECTURE, missing)
    architecture = None
    try:
        architecture = None if written is None else Architecture.from_json(written)
    except SpaceError as error:
        missing.append(f"{ARCHITECTURE} does not hold an architecture: {error}")
    delivered = _delivered(metrics) if isinstance(metrics, dict) else None
    latency = None
    try:
        latency = read_latency(path)
    except ConfigurationError as error:
        missing.append(str(error))
    return RunRecord(
        path,
        meta,
        trials,
        rejections,
        events,
        config,
        delivered,
        architecture,
        tuple(missing),
        _forms(path),
        latency,
    )


def soft_words(soft: Any, reward: str) -> str:
    """The reward in words, with the soft target of a configuration where there is one."""
    try:
        target = parse_soft(soft)
    except ConfigurationError:
        return "score"
    if target is None:
        return reward
    amount = f"{target.target:,.0f}" if target.metric != "latency" else f"{target.target:g} ms"
    return f"{reward} x ({target.metric} / {amount})^{target.weight:g}"


def _forms(path: Path) -> tuple[tuple[str, int], ...]:
    files = (path / "best" / name for name in FORMS)
    found = []
    for file in files:
        with suppress(OSError):  # it may not be looked at, or best/ is exchanged meanwhile
            found.append((file.name, file.stat().st_size))
    return tuple(found)


def fitted_space(
    config: Mapping[str, Any], meta: Mapping[str, Any], given: SearchSpace | None = None
) -> SearchSpace:
    """The space of a run, fitted to its images.

    Args:
        config: The resolved configuration.
        meta: Facts of the ledger.
        given: The space, if the caller has it; else only a preset is looked up, and no file executed.

    Raises:
        ValueError: If it is not the one that the run used, or the run does not say which it used.
    """
    image = meta.get("image")
    if "space" not in config or not isinstance(image, dict):
        raise ValueError("the run folder does not say which space and which images it used.")
    name = str(config["space"])
    if given is None and name not in PRESETS:
        raise ValueError(f"its space {name} is code, which is executed only if it is named again with --space.")
    try:
        shape = InputShape(**image)
    except TypeError as error:
        raise ValueError("the run folder does not say which images it used.") from error
    space = (given or PRESETS[name]).fit(shape)
    if meta.get("space") not in (None, space.fingerprint):
        raise ValueError(f"the space {config['space']} is not the one that the run used; it has changed since.")
    return space


def run_limits(config: Mapping[str, Any]) -> Limits:
    """The limits of a resolved configuration; what is no number is none."""
    given = {field: config.get(f"max_{metric}") for metric, field in COSTS.items()}
    return Limits(**{field: value for field, value in given.items() if type(value) in (int, float)})


def _json(path: Path, name: str, missing: list[str]) -> Any:
    try:
        return read_json(path / name)
    except RunFolderError:
        missing.append(_sentence(path, name))
        return None


def _sentence(path: Path, name: str) -> str:
    # Of what lies in a folder that may not be entered nobody knows whether it is there.
    folder = (path / name).parent
    there = os.path.lexists(path / name) or (os.path.lexists(folder) and not os.access(folder, os.X_OK))
    return f"{name} {'cannot be read' if there else 'is missing'}."


def _delivered(metrics: dict[str, Any]) -> Delivered:
    classes = metrics.get("classes")
    return Delivered(
        final=metrics.get("state") == "final",
        trial=_whole(metrics.get("trial")),
        fingerprint=_text(metrics.get("fingerprint")),
        source=_text(metrics.get("source")),
        lasting=known if isinstance(known := metrics.get("lasting"), bool) else None,
        parameters=_whole(metrics.get("parameters")),
        multiply_adds=_whole(metrics.get("multiply_adds")),
        classes=tuple(map(str, classes)) if isinstance(classes, list) else (),
        validation_accuracy=_share(metrics.get("validation_accuracy")),
        validation_balanced_accuracy=_share(metrics.get("validation_balanced_accuracy")),
        test_accuracy=_share(metrics.get("test_accuracy")),
        test_balanced_accuracy=_share(metrics.get("test_balanced_accuracy")),
        test_images=_whole(metrics.get("test_images")),
        confusion=_confusion(metrics.get("test_confusion")),
        epochs=_number(metrics.get("epochs")),
        seconds=_number(metrics.get("seconds")),
        mixed=_share(metrics.get("mixed")),
        latency=_number(metrics.get("latency_ms")),
        latency_p95=_number(metrics.get("latency_p95_ms")),
        latency_predicted=_number(metrics.get("latency_predicted_ms")),
        latency_threads=_whole(metrics.get("latency_threads")),
        teacher=_teacher(metrics.get("distillation")),
        inheritance=_inheritance(metrics.get("inheritance")),
        caveats=tuple(filter(None, map(_seen, (metrics.get("inheritance"), metrics.get("distillation"))))),
    )


def _teacher(facts: Any) -> str | None:
    """Teacher, temperature and weight in words."""
    if not isinstance(facts, dict) or (name := _text(facts.get("teacher"))) is None:
        return None
    temperature, weight = _number(facts.get("temperature")), _number(facts.get("weight"))
    known = temperature is not None and weight is not None
    return f"{name}, temperature {temperature:g}, weight {weight:g}" if known else name


def _inheritance(facts: Any) -> str | None:
    """Where weights came from, and how many parts of the network are in which state."""
    if not isinstance(facts, dict) or (donor := _text(facts.get("donor"))) is None:
        return None
    parts = facts.get("parts")
    states = (
        [_text(part.get("state")) for part in parts if isinstance(part, dict)]
        if isinstance(parts, list)
        else []
    )
    counts = Counter(state for state in states if state is not None)
    return "; ".join(filter(None, [donor, ", ".join(f"{count} {state}" for state, count in counts.items())]))


def _seen(facts: Any) -> str | None:
    """Why accuracies may flatter."""
    return _text(facts.get("seen")) if isinstance(facts, dict) else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MOST else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST
    return float(value) if usable else None


def _share(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= 1 else None


def _confusion(value: Any) -> tuple[tuple[int, ...], ...] | None:
    """A square matrix of counts with something in it, or None."""
    if not isinstance(value, list) or not value:
        return None
    square = all(isinstance(row, list) and len(row) == len(value) for row in value)
    if not square or not all(_whole(entry) is not None for row in value for entry in row):
        return None
    return tuple(map(tuple, value)) if any(map(any, value)) else None
