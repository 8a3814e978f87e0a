"""What a run is opened with: its configuration, its data, its space."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from gcnas.config import RunConfig
from gcnas.data import Dataset, load
from gcnas.data.loading import MIN_SIDE
from gcnas.data.summary import BALANCE
from gcnas.delivery import kept_donor, kept_transfer, transferable
from gcnas.errors import ConfigurationError, RunFolderError
from gcnas.run.context import Context
from gcnas.run.folder import RunFolder, write_text
from gcnas.run.ledger import Ledger, LedgerReader, damage
from gcnas.run.observer import Observer
from gcnas.run.past import kept_past, read_past
from gcnas.run.recommendation import BALANCED
from gcnas.run.session import known_context
from gcnas.run.workers import settled
from gcnas.space import SearchSpace, load_space
from gcnas.space.presets import PRESETS
from gcnas.strategy import check_warm, find_constructor, is_own
from gcnas.strategy.history import PastRun

DataSource: TypeAlias = Any
"""A name or path, or arrays: ``(images, labels)`` or a mapping as in an npz file."""

ARRAYS = "<arrays>"


FIXED = {
    "init_from",
    "warm_start",
    "strategy",
    "signals",
    "fidelity",
    "epochs",
    "reward",
    "soft",
    "latency_threads",
    "references",
    "resolution",
    "channels",
    "flip",
    "seed",
    "device",
    "precision",
} | {
    "validation_fraction",
    "test_fraction",
    "batch_size",
    "learning_rate",
    "weight_decay",
}
"""What may not change when a run goes on, beside the data and the space."""


def saved_config(folder: RunFolder) -> RunConfig:
    """The configuration of a run folder.

    Raises:
        ConfigurationError: If it is damaged.
    """
    try:
        # Runs from before there were rungs do not name a fidelity.
        return RunConfig.create(**({"fidelity": "full"} | RunConfig.from_yaml(folder.config)))
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{folder.config} is damaged, or of a newer version. {error} Mend it by hand (a line 'name: value' for "
            "each option that the search was given, data, and 'fidelity: rungs' unless it was another); the ledger and "
            "best/ are not touched."
        ) from error


def same_data(folder: RunFolder, data: DataSource | None) -> Dataset:
    """The data of a run, loaded again for reading alone.

    Raises:
        ConfigurationError: If they were arrays and are not given.
        DamagedLedgerError: If the ledger does not say which they were.
        RunFolderError: If they are others now.
    """
    config = saved_config(folder)
    source = _data_of(config, folder, data)
    with LedgerReader(folder.ledger) as ledger:
        meta = ledger.meta()
    with damage(folder.ledger):
        known = str(meta["data"]["fingerprint"])
    dataset = load_data(config, source, folder, _resolution(meta, folder))
    if dataset.fingerprint != known:
        raise RunFolderError(
            f"The data of {folder.path} has changed since the run began; name the same images with --data (in Python: "
            "data=…). If they are the same, this version reads them otherwise: start a new run."
        )
    return dataset


def _resolution(meta: Mapping[str, Any], folder: RunFolder) -> tuple[int, int] | None:
    """Height and width of a run's images, which need not be inferred again; None where they cannot be asked for."""
    with damage(folder.ledger):
        found = int(meta["image"]["height"]), int(meta["image"]["width"])
    return found if min(found) >= MIN_SIDE else None


def images_at(
    folder: RunFolder, config: RunConfig, data: DataSource | None, resolution: tuple[int, int]
) -> Dataset:
    """The data of a run, loaded anew at another height and width.

    Raises:
        ConfigurationError: If they were arrays and are not given, or there is no such resolution.
    """
    return load_data(config, _data_of(config, folder, data), folder, resolution)


def _data_of(config: RunConfig, folder: RunFolder, data: DataSource | None) -> DataSource:
    if data is None and config.data == ARRAYS:
        raise ConfigurationError(f"The data of {folder.path} were arrays; give them again (data=…).")
    if data is None and config.data != "digits" and not os.path.exists(config.data):  # noqa: PTH110 - never raises
        raise ConfigurationError(
            f"The images of {folder.path} are not at {config.data!r}, as seen from this folder; name them with --data "
            "(in Python: data=…)."
        )
    return config.data if data is None else data


def reopen(
    folder: RunFolder,
    data: DataSource | None,
    space: str | SearchSpace | None,
    changes: dict[str, Any],
    observer: Observer,
    *,
    lasting: bool = True,
) -> Context:
    """The surroundings of a run that goes on; the caller holds its lock.

    Changes that are lasting are written into its configuration once the ledger knows of them; a new place of the data
    is written here where there are none.

    Raises:
        ConfigurationError: If something is to change that may not.
        RunFolderError: If the data or the space are others now.
    """
    named = is_own(str(changes.get("strategy", "")))
    if fixed := (FIXED - {"strategy"} if named else FIXED) & changes.keys():
        raise _fixed(fixed)
    saved = saved_config(folder)
    if named and not is_own(saved.strategy):
        raise _fixed({"strategy"})
    if lasting and not named and is_own(saved.strategy):  # what does not search does not need it
        raise ConfigurationError(
            f"The strategy of this run is code ({saved.strategy}), which is executed only if you name it again: "
            "--strategy FILE.py:NAME (in Python: strategy=…)."
        )
    if named:
        again = str(changes["strategy"])
        if again.rpartition(":")[2] != saved.strategy.rpartition(":")[2]:
            raise ConfigurationError(f"The strategy of this run is {saved.strategy}, but {again} was named.")
        find_constructor(again)  # before anything is written
    source = _data_of(saved, folder, data)
    # Arrays have no place; files are where they were.
    where = {} if data is None or name_of(data) == ARRAYS else {"data": name_of(data)}
    config = saved.changed(**_left_behind(saved, changes), **where, **changes)
    if lasting:  # only a search needs the cluster
        if "address" not in changes:
            _check_cluster(config)
        config = settled(config)
    elif config.executor == "ray" and config.workers is None:
        config = config.changed(workers=1)  # how many fit in is nobody's question, so that no cluster is asked
    found_space = find_space(saved, space)
    with Ledger(folder.ledger) as ledger:
        meta, trials, events = ledger.meta(), ledger.trials(), ledger.events()
    dataset = load_data(config, source, folder, _resolution(meta, folder))
    if config.init_from is not None and not trials and (transferred := kept_transfer(folder)) is not None:
        # Stopped before its first training, a transfer goes on as one.
        found_space = transferable(transferred, found_space)
    other_time, passes = False, ""
    for options in (
        *(event.changes for event in events),
        {name: str(value) for name, value in changes.items()},
    ):
        asked = options.get("final_epochs", passes)
        if {"budget", "final_share"} & options.keys():
            other_time = True
        elif asked != passes:  # the same once more changes nothing
            other_time = False
        passes = asked
    context = known_context(
        config, dataset, found_space, folder, meta, observer, trials, searching=lasting, other_time=other_time
    )
    if config.init_from is not None:
        context = replace(context, donor=kept_donor(folder))
    if config.warm_start:
        context = replace(context, past=kept_past(folder, context.space))
    if not lasting and where:
        write_text(folder.config, saved.changed(**where).to_yaml())
    return context


def _check_cluster(config: RunConfig) -> None:
    """What a cluster elsewhere answers is trusted, and images go there; that a run folder names it is no reason to.

    Raises:
        ConfigurationError: If the configuration names one.
    """
    if config.executor == "ray" and config.address not in {None, "auto"}:
        raise ConfigurationError(
            f"The candidates of this run are evaluated on the Ray cluster at {config.address}, which gets the images, "
            "and is trusted, only if you name it again: --address HOST:PORT (in Python: address=…). Or take another "
            "--executor."
        )


def _fixed(names: Iterable[str]) -> ConfigurationError:
    return ConfigurationError(f"A run that goes on cannot change {', '.join(sorted(names))}; start a new one.")


def _left_behind(saved: RunConfig, changes: dict[str, Any]) -> dict[str, Any]:
    """Defaults of what was said of the workers, where candidates are evaluated by another executor from now on."""
    if changes.get("executor", saved.executor) == saved.executor:
        threads, count = changes.get("threads"), saved.workers
        alone = (
            saved.executor == "ray" and saved.address is None and not {"workers", "address"} & changes.keys()
        )
        # No more than the threads of this machine allow, where they are fewer now.
        if alone and threads is not None and count is not None:
            return {"workers": max(1, min(count, threads // saved.worker_cpus))}
        return {}
    of_executor = ("workers", "worker_memory", "address", "worker_cpus", "worker_gpus")
    return {name: RunConfig.model_fields[name].default for name in of_executor if name not in changes}


def past_runs(config: RunConfig, space: SearchSpace) -> tuple[PastRun, ...]:
    """The earlier runs that a new one starts from.

    Raises:
        ConfigurationError: If the strategy cannot start from runs, or one of them does not fit.
        RunFolderError: If one cannot be read.
    """
    if not config.warm_start:
        return ()
    check_warm(config.strategy)
    return read_past(config.warm_start, space)


TOLD = 5
"""Most notices about the data that are told where a run begins; ``gcnas data check`` tells all."""


def tell_notices(dataset: Dataset, observer: Observer) -> None:
    """Tell what is odd about the data of a new run."""
    for notice in dataset.notices[:TOLD]:
        observer.note(notice)
    if (more := len(dataset.notices) - TOLD) > 0:
        observer.note(f"Of the data there is more to tell ({more}): gcnas data check.")


def load_data(
    config: RunConfig, data: DataSource, folder: RunFolder, resolution: tuple[int, int] | None = None
) -> Dataset:
    """The data, as a run of this configuration reads them."""
    dataset = load(
        data,
        resolution=resolution or config.resolution,
        channels=config.channels,
        seed=config.seed,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        cache=folder.path / "cache",
    )
    if config.reward != BALANCED:
        return dataset
    return replace(dataset, notices=tuple(notice.replace(BALANCE, "") for notice in dataset.notices))


def name_of(data: DataSource) -> str:
    """What the configuration calls the data."""
    return str(data) if isinstance(data, str | Path) else ARRAYS


def space_name(space: str | SearchSpace) -> str:
    """What the configuration calls the space; one that only shares the name of a preset is not called so."""
    if isinstance(space, str):
        return space
    preset = PRESETS.get(space.name)
    return space.name if preset is None or _alike(preset, space) else f"own {space.name}"


def _described(designs: Mapping[str, Any]) -> dict[str, Any]:
    """Designs in a form in which copies are equal, as those of a space that was pickled."""
    return {
        name: (design.func, design.args, design.keywords) if isinstance(design, partial) else design
        for name, design in designs.items()
    }


def _alike(one: SearchSpace, other: SearchSpace) -> bool:
    """Whether two spaces, fitted or not, have the same networks, modules and designs by people."""
    types = [[type(kind) for kind in space.layer_types] for space in (one, other)]
    return (
        replace(one, image=None).fingerprint == replace(other, image=None).fingerprint
        and types[0] == types[1]
        and _described(one.references) == _described(other.references)
        and one.lasting == other.lasting
    )


def find_space(config: RunConfig, given: str | SearchSpace | None) -> SearchSpace:
    """The space that was given, or the preset in the configuration.

    A space of the user's own is code; that a run folder names it is no reason to execute it.

    Raises:
        ConfigurationError: If the run's space is no preset and none is given.
    """
    if isinstance(given, SearchSpace):
        return given
    if given is None and config.space not in PRESETS:
        raise ConfigurationError(
            f"The space of this run is code ({config.space}), which is executed only if you name it again: "
            "--space FILE.py:NAME (in Python: space=…)."
        )
    return load_space(config.space if given is None else given)
