"""The checkpoints of a run: which are there to go on from, and which can be deleted."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from gcnas.files import is_file
from gcnas.records import Fidelity
from gcnas.run.halving import Ladder
from gcnas.run.rungs import ETA
from gcnas.run.trial import Trial

MAX_MEGABYTES = 500
"""Room for all checkpoints of a run together."""

SPARE = 2
"""Checkpoints are kept of this many times the networks that may go on now: others may fall behind them later."""


_OURS = re.compile(r"\.?\d+\.safetensors.*")
"""Names of checkpoints, and of those that are half written."""


class Checkpoints:
    """The folder ``checkpoints`` of a run, a file for each trial that may be gone on with.

    What is missing costs time only: the next training of that network then begins anew.

    Args:
        folder: Where they are; need not exist.
        ladder: Who is on which rung.
        megabytes: Most room that they take together; the least promising go first.
    """

    def __init__(self, folder: Path, ladder: Ladder, megabytes: float = MAX_MEGABYTES) -> None:
        self._folder, self._ladder, self._bytes = folder, ladder, megabytes * 1e6

    def start(self, trial: Trial) -> Path | None:
        """What a trial goes on from."""
        return None if trial.continues is None else self._path(trial.continues)

    def keep(self, trial: Trial) -> Path | None:
        """Where a trial leaves its weights; None on the last rung, and where it is on none."""
        rung = self._ladder.rung(trial.fidelity)
        return None if rung is None or rung + 1 == len(self._ladder.rungs) else self._path(trial.number)

    def lengthening(self, trial: Trial) -> float:
        """How many times as long as a stretch a trial takes that trains all of it at once.

        That is one that has lost what it should go on from or finds it damaged, and a repeat; 1 for others.
        """
        rung = self._ladder.rung(trial.fidelity)
        if rung is None:
            return max(1.0, trial.fidelity.epochs / self._ladder.longest_stretch())
        if rung == 0 or trial.continues is None:
            return 1.0
        return max(1.0, self.epochs_left(trial) / self._ladder.further_epochs(rung - 1))

    def epochs_left(self, trial: Trial) -> float:
        """Passes that a trial trains: those that it cannot go on from count again."""
        start, rung = self.start(trial), self._ladder.rung(trial.fidelity)
        if start is None or not rung or not _readable(start):
            return trial.fidelity.epochs
        return self._ladder.further_epochs(rung - 1)

    def prune(self, trained: Mapping[tuple[str, Fidelity], int], pending: Sequence[Trial]) -> None:
        """Delete what nobody is likely to go on from; those of trials under way stay.

        Args:
            trained: Number of the complete trial of each fingerprint and fidelity.
            pending: Trials under way.
        """
        if (
            not self._folder.is_dir() or self._folder.is_symlink()
        ):  # what lies elsewhere is not this run's alone
            return
        used = [path for trial in pending for path in (self.start(trial), self.keep(trial)) if path is not None]
        room = self._bytes - sum(_size(path) for path in used)
        for path in self._promising(trained):
            room -= _size(path)
            if room >= 0:
                used.append(path)
        ours = {path for path in self._folder.iterdir() if _OURS.fullmatch(path.name)}
        for path in ours - set(used):
            if pending and path.name.startswith("."):
                continue  # half written, perhaps right now by another process
            with contextlib.suppress(OSError):
                path.unlink()

    def _promising(self, trained: Mapping[tuple[str, Fidelity], int]) -> list[Path]:
        """Checkpoints worth keeping, the highest rung first, then the best."""
        found = []
        for rung in reversed(range(len(self._ladder.rungs) - 1)):
            fidelity, ranked = self._ladder.rungs[rung], self._ladder.ranked(rung)
            most = SPARE * (len(ranked) // ETA + 1)
            designs = self._ladder.promotable(rung)
            for entry in dict.fromkeys([*designs, *ranked[:most]]):
                known = (entry.proposal.fingerprint, fidelity)
                if known in trained and not self._ladder.went_on(rung, entry.proposal.fingerprint):
                    found.append(self._path(trained[known]))
        return found

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.safetensors"


def _readable(path: Path) -> bool:
    """Whether a file is there and is whole; the weights in it are not read."""
    if not is_file(path):
        return False
    try:
        with safe_open(path, framework="numpy"):
            return True
    except (OSError, SafetensorError):
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
