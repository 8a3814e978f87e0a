"""The Pareto front of a run: what accuracy each cost buys."""

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gcnas.errors import ConfigurationError
from gcnas.files import write_atomically
from gcnas.network import weights_bytes
from gcnas.records import METRICS, Cost
from gcnas.report.curves import pareto_front, with_score
from gcnas.report.record import RunRecord, fitted_space, read_run
from gcnas.report.table import harmless
from gcnas.run.costs import priced, with_meters
from gcnas.run.trial import Trial, decisive
from gcnas.space import SearchSpace
from gcnas.training.candidate import ACCURACY

MEASURED = ("size", "latency")
"""Metrics that the ledger does not hold: they follow from the space and from the run's latency model."""

MOST_SIZES = 200
"""Networks whose file sizes are computed for all fronts at once; each takes milliseconds."""


@dataclass(frozen=True)
class FrontPoint:
    """A network that no other one of the run beats in accuracy at as low a cost.

    Attributes:
        trial: Number of its trial.
        accuracy: On the validation split (balanced, if that is the run's reward), after the training that decides.
        cost: What it costs; size and latency where they are known.
        source: Who proposed it.
        epochs: Training behind the accuracy.
    """

    trial: int
    accuracy: float
    cost: Cost
    source: str
    epochs: int


def front(
    run: RunRecord | Path, against: str = "params", space: SearchSpace | None = None
) -> tuple[FrontPoint, ...]:
    """The Pareto front of a run, finished or not, the lowest cost first.

    Args:
        run: The run folder, or what was read from it.
        against: ``params``, ``macs``, ``activations``, ``size`` or ``latency``.
        space: The run's space; needed for size and latency if it is not a preset.

    Raises:
        ConfigurationError: If there is no such metric, or the run cannot tell it.
        RunFolderError: If there is no readable ledger.
    """
    if against not in METRICS:
        raise ConfigurationError(f"A front is against {', '.join(METRICS)}, but got {against!r}.")
    folder = run if isinstance(run, RunRecord) else read_run(run)
    trials = decisive(accuracies(folder.trials, folder.config))
    if against in MEASURED:
        trials = _priced(folder, trials, against, space)
    return tuple(map(_point, pareto_front(trials, METRICS[against])))


def _point(trial: Trial) -> FrontPoint:
    return FrontPoint(trial.number, trial.score, trial.cost, trial.proposal.source, trial.fidelity.epochs)


@dataclass(frozen=True)
class FrontRow:
    """A network on one or several fronts of a run.

    Attributes:
        point: The network.
        against: The metrics whose fronts it is on.
    """

    point: FrontPoint
    against: tuple[str, ...]


def fronts(folder: RunRecord, given: SearchSpace | None = None) -> tuple[FrontRow, ...]:
    """All networks on the fronts against parameters, multiply-adds, activations, file size and predicted latency.

    The front against size is left out where there are more networks than :data:`MOST_SIZES`; :func:`front` has it.

    Args:
        folder: What was read of the run.
        given: The run's space; without it sizes and latencies are left out if it is not a preset.
    """
    trials = decisive(accuracies(folder.trials, folder.config))
    space, sized = None, len(trials) <= MOST_SIZES
    try:
        space = replace(fitted_space(folder.config, folder.meta, given), latency_model=folder.latency)
        trials = priced(replace(space, file_size=weights_bytes) if sized else space, trials)
    # A user's own layer types are foreign code: whatever they raise, the report is written.
    except Exception:  # noqa: BLE001
        space = None
    metrics = ["params", "macs", "activations"]
    if space is not None:
        metrics += ["size"] * sized + ["latency"] * (folder.latency is not None)
    on: dict[int, list[str]] = {}
    shown: dict[int, Trial] = {}
    for metric in metrics:
        for trial in pareto_front(trials, METRICS[metric]):
            on.setdefault(trial.number, []).append(metric)
            shown[trial.number] = trial
    rows = sorted(shown.values(), key=lambda trial: (trial.cost.parameters, trial.number))
    if space is not None and not sized:  # of many networks only those that are shown
        with suppress(Exception):  # as above
            rows = priced(replace(space, file_size=weights_bytes), rows)
    return tuple(FrontRow(_point(trial), tuple(on[trial.number])) for trial in rows)


def accuracies(trials: Sequence[Trial], config: Mapping[str, Any]) -> list[Trial]:
    """Trials whose scores are accuracies, also where the search maximised a soft reward.

    Args:
        trials: Trials of a run.
        config: Its configuration.
    """
    if config.get("soft") is None:
        return list(trials)
    name = ACCURACY.get(str(config.get("reward", "accuracy")), "accuracy")
    return [
        with_score(trial, trial.evaluation.metrics.get(name, trial.score))
        if trial.complete and trial.evaluation is not None
        else trial
        for trial in trials
    ]


def _priced(folder: RunRecord, trials: list[Trial], metric: str, given: SearchSpace | None) -> list[Trial]:
    try:
        space = with_meters(fitted_space(folder.config, folder.meta, given), folder.path)
    except ValueError as error:
        raise ConfigurationError(f"The {metric} of the run's networks is not known: {error}") from error
    if metric == "latency" and space.latency_model is None:
        raise ConfigurationError(
            f"{folder.name} has no latency model. 'gcnas finalize RUN --max-latency MS' fits one, as does a search "
            "with --max-latency or --soft latency=…"
        )
    return priced(space, trials)


def front_table(points: Sequence[FrontPoint]) -> str:
    """A front as CSV, one row a network."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["trial", "accuracy", "epochs", "source", *METRICS.values()])
    for point in points:
        costs = [getattr(point.cost, name) for name in METRICS.values()]
        writer.writerow(
            [
                point.trial,
                repr(point.accuracy),
                point.epochs,
                harmless(point.source),
                *("" if c is None else c for c in costs),
            ]
        )
    return table.getvalue()


def write_front(path: Path, points: Sequence[FrontPoint]) -> None:
    """Write a front as CSV, one row a network.

    Raises:
        ConfigurationError: If the file cannot be written.
    """
    try:
        write_atomically(path, front_table(points).encode())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error}.") from error
