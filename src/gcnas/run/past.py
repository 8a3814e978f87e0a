"""What earlier runs evaluated, for a search to start from: read from their ledgers once, then kept in the new run."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gcnas.errors import ConfigurationError, RunFolderError, SpaceError
from gcnas.files import read_bounded
from gcnas.records import Architecture
from gcnas.run.folder import RunFolder, write_text
from gcnas.run.ledger import LedgerReader
from gcnas.space import SearchSpace
from gcnas.strategy.history import PastRun
from gcnas.strategy.targets import normal_scores

MAX_READ = 5_000
"""Newest evaluations of an earlier run that are read."""

MAX_KEPT = 200
"""Networks of an earlier run that are kept: half of them its best, the others evenly from the rest."""

MAX_RUNS = 16
"""Earlier runs that one search may start from."""

MAX_FILE = 64_000_000
"""Bytes of the file in the run folder."""

LEAST = 4
"""Networks below which an earlier run says nothing."""


def read_past(paths: Sequence[str | Path], space: SearchSpace) -> tuple[PastRun, ...]:
    """What earlier runs evaluated; their folders are read and nothing else.

    Args:
        paths: Run folders.
        space: The new run's space, fitted or not; theirs may have been fitted to other images and limits.

    Raises:
        ConfigurationError: If there are too many, one twice, or one with too few evaluations or another space.
        RunFolderError: If there is no run, or its ledger is damaged or of a newer version.
    """
    if len(paths) > MAX_RUNS:
        raise ConfigurationError(f"A search starts from at most {MAX_RUNS} earlier runs, but got {len(paths)}.")
    folders = [Path(path).resolve() for path in paths]
    if len(set(folders)) < len(folders):
        raise ConfigurationError("A run to start from is named twice; name each once.")
    return tuple(_read(Path(path), space) for path in paths)


def _read(path: Path, space: SearchSpace) -> PastRun:
    with LedgerReader(RunFolder(path).ledger) as ledger:
        found = ledger.scores(MAX_READ)
    if not found:
        raise ConfigurationError(
            f"{path} has no complete evaluation, so there is nothing to start from; name another run, or leave out "
            "--warm-start."
        )
    whole = ranked(str(path), found)
    past = whole.within(space)
    count, known = len(whole.architectures), len(past.architectures)
    if known < count / 2:
        raise ConfigurationError(
            f"{path} searched another space: {count - known} of its {count} networks are no points of "
            f"{space.name!r}. Name a run of the same space, or search that one (--space)."
        )
    if known < LEAST:
        raise ConfigurationError(
            f"{path} has {known} evaluated networks, and a search starts from {LEAST} or more; name another run, or "
            "leave out --warm-start."
        )
    return _thinned(past)


def ranked(name: str, found: Sequence[tuple[Architecture, int, float]]) -> PastRun:
    """The networks of a run by their most training and then by score (the mean of repeats), the best first.

    Args:
        name: Of the run.
        found: Architecture, epochs and score of each evaluation.
    """
    scores: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    architectures = {architecture.fingerprint: architecture for architecture, _, _ in found}
    for architecture, epochs, score in found:
        scores[architecture.fingerprint][epochs].append(score)
    reached = {key: max(by_epochs) for key, by_epochs in scores.items()}
    # More training was given to those that did well with less, so it comes before the score.
    values = {key: (most, math.fsum(s := scores[key][most]) / len(s)) for key, most in reached.items()}
    order = sorted(values, key=lambda key: values[key], reverse=True)
    places = {value: place for place, value in enumerate(sorted(set(values.values())))}
    targets = normal_scores(np.array([places[values[key]] for key in order], float))
    return PastRun(name, tuple(architectures[key] for key in order), tuple(targets.tolist()))


def _thinned(past: PastRun) -> PastRun:
    count = len(past.architectures)
    if count <= MAX_KEPT:
        return past
    half = MAX_KEPT // 2
    rest = np.linspace(half, count - 1, MAX_KEPT - half).round().astype(int)
    rows = [*range(half), *rest.tolist()]
    return PastRun(past.name, tuple(past.architectures[r] for r in rows), tuple(past.targets[r] for r in rows))


def keep_past(folder: RunFolder, past: Sequence[PastRun]) -> None:
    """Write what a run starts from into its folder, so that it can go on when the earlier runs are gone.

    Raises:
        RunFolderError: If the disk refuses.
    """
    runs = [
        {
            "name": run.name,
            "networks": [
                {"target": target, **architecture.to_json()}
                for architecture, target in zip(run.architectures, run.targets, strict=True)
            ],
        }
        for run in past
    ]
    write_text(folder.past, json.dumps({"version": 1, "runs": runs}) + "\n")


def kept_past(folder: RunFolder, space: SearchSpace) -> tuple[PastRun, ...]:
    """What a run started from.

    Raises:
        RunFolderError: If the file is missing or damaged.
    """
    try:
        data = json.loads(read_bounded(folder.past, MAX_FILE).decode("utf-8"))
        past = tuple(_run(run) for run in data["runs"])
        if not past or any(len(run.within(space).targets) < len(run.targets) for run in past):
            raise ValueError("its networks are not of the run's space")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError, SpaceError) as error:
        raise RunFolderError(
            f"{folder.past}, from which the run started, cannot be read ({error}), so it cannot go on as it began. Put "
            "the file back, or start a new run."
        ) from error
    return past


def _run(data: Any) -> PastRun:
    networks = data["networks"]
    targets = tuple(float(network["target"]) for network in networks)
    if len(targets) < LEAST or not all(map(math.isfinite, targets)):
        raise ValueError("a run has too few targets, or one that is no number")
    return PastRun(str(data["name"]), tuple(Architecture.from_json(n) for n in networks), targets)
