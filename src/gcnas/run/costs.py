"""Costs that a space does not tell by itself: the size of a file, and the latency on this device."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from gcnas.config import RunConfig, stream_seed
from gcnas.errors import ConfigurationError
from gcnas.export.timing import processor_name
from gcnas.network import weights_bytes
from gcnas.run.calibration import calibrate, calibration_seconds
from gcnas.run.folder import RunFolder, write_text
from gcnas.run.ledger import LedgerReader
from gcnas.run.observer import Observer
from gcnas.run.trial import Trial
from gcnas.space import LatencyModel, SearchSpace

MAX_BYTES = 1_000_000
"""Of a file with a latency model that is read."""


def with_costs(
    space: SearchSpace,
    costs: Iterable[str],
    config: RunConfig,
    folder: RunFolder,
    observer: Observer | None = None,
    *,
    searching: bool = True,
) -> SearchSpace:
    """A space that tells the size and the latency of its networks, where they are among the costs asked for.

    The latency model of a run is fitted once, and then read from its folder. Where that is gone, by which scores were
    weighed, there is another one for a delivery alone, which is not kept.

    Args:
        space: Fitted space.
        costs: Names of costs, as in :data:`~gcnas.records.METRICS`.
        config: The configuration.
        folder: The run folder.
        observer: Told how well latencies are predicted.
        searching: Whether scores may follow.

    Raises:
        ConfigurationError: If latencies cannot be measured here, or scores were weighed by a model that is gone.
        RunFolderError: If the model cannot be written.
    """
    if "size" in costs:
        space = replace(space, file_size=weights_bytes)
    if "latency" in costs:
        model = read_latency(folder.path)
        if model is None:
            weighed = _weighed(config, folder)
            if weighed and searching:
                raise ConfigurationError(
                    f"{folder.latency} is gone, by which the scores of this run were weighed (--soft {config.soft}): "
                    "others would not compare with them. Put it back, or start a new run."
                )
            model = _fitted(space, config, None if weighed else folder, observer or Observer())
        if observer is not None and model.device != processor_name():
            observer.note(f"The latency model is that of another processor ({model.device}), not of this one.")
        space = replace(space, latency_model=model)
    return space


def _weighed(config: RunConfig, folder: RunFolder) -> bool:
    """Whether latencies are part of scores of a run."""
    if config.soft is None or config.soft.metric != "latency" or not folder.ledger.is_file():
        return False
    with LedgerReader(folder.ledger) as ledger:
        return any(trial.complete for trial in ledger.trials())


def with_meters(space: SearchSpace, run: Path) -> SearchSpace:
    """A space that tells all that is known without measuring: the size, and the latency if the run has a model.

    Args:
        space: Fitted space.
        run: The run folder.

    Raises:
        ConfigurationError: If the run's model cannot be read.
    """
    return replace(space, file_size=weights_bytes, latency_model=read_latency(run))


def _fitted(
    space: SearchSpace, config: RunConfig, folder: RunFolder | None, observer: Observer
) -> LatencyModel:
    """A model, which is written into a folder if one is given."""
    model = calibrate(
        space,
        threads=config.latency_threads,
        seconds=calibration_seconds(config),
        seed=stream_seed(config.seed, "latency"),
    )
    if folder is not None:
        write_text(folder.latency, json.dumps(model.to_json(), indent=1) + "\n")
    observer.note(model.sentence)
    return model


def read_latency(run: Path) -> LatencyModel | None:
    """The latency model of a run folder; None if it has none.

    Raises:
        ConfigurationError: If the file holds something else.
    """
    path = RunFolder(run).latency
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        return LatencyModel.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, ConfigurationError) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error}). Delete it; a run with a limit on latency measures anew (one with a soft "
            "target needs it as it was)."
        ) from error


def priced(space: SearchSpace, trials: Iterable[Trial]) -> list[Trial]:
    """Trials of a ledger with all the costs that the space tells; the ledger keeps those of the specification only."""
    if space.file_size is None and space.latency_model is None:
        return list(trials)
    return [replace(trial, cost=space.cost(trial.proposal.architecture)) for trial in trials]
