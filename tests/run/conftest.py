"""Trials to write, and a disk that is too small."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.run.toy import TOY

from gcnas.records import Architecture, Evaluation, EvaluationState, Fidelity, Proposal
from gcnas.run.trial import Trial
from gcnas.strategy import RandomStrategy

MakeTrial = Callable[..., Trial]


@pytest.fixture(scope="session")
def proposals() -> list[Proposal]:
    """Distinct proposals of the toy space."""
    found: dict[Architecture, Proposal] = {}
    for proposal in RandomStrategy(TOY, 0).ask(200):
        found.setdefault(proposal.architecture, proposal)
    return list(found.values())


@pytest.fixture
def make_trial(proposals: list[Proposal]) -> MakeTrial:
    """Makes the trial of a number: pending, or with a score or an error."""

    def make(number: int, score: float | None = None, error: str | None = None) -> Trial:
        proposal, fidelity, evaluation = proposals[number - 1], Fidelity(3, 2**31 - 1), None
        if score is not None:
            evaluation = Evaluation(
                proposal, EvaluationState.COMPLETE, score, fidelity, {"loss": 0.1 + 0.2}, seconds=1.5
            )
        elif error is not None:
            evaluation = Evaluation(
                proposal,
                EvaluationState.FAILED,
                fidelity=fidelity,
                error_kind="crash",
                error=error,
                seconds=0.5,
            )
        elapsed = None if evaluation is None else 10.0 * number
        return Trial(number, proposal, TOY.cost(proposal.architecture), fidelity, evaluation, elapsed=elapsed)

    return make


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own."""

    path: Path

    def resize(self, size: str) -> None:
        """Change how much fits on it, such as ``300k``."""
        self._remount(f"size={size}")

    def make_read_only(self) -> None:
        """Refuse all writing, that of root too."""
        self._remount("ro")

    def make_writable(self) -> None:
        self._remount("rw")

    def fill(self) -> Path:
        """Take all the room that is left; gives the file that does."""
        ballast = self.path / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(512))
        return ballast

    def _remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.path)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 1 MB; the test is skipped where none may be mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
        mounted = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"a small disk cannot be mounted: {error}")
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted (that takes root): {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
