"""Runs with several workers: killed at any instant and resumed, nothing that was finished is lost."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.execution.test_processes import gone, wait_until
from tests.run.toy import evaluate, luck, row, run_toy

from gcnas.errors import RunFolderError
from gcnas.execution import Evaluated, Job, ProcessExecutor
from gcnas.execution.processes import TellProgress
from gcnas.records import EvaluationState
from gcnas.run.ledger import LedgerReader
from gcnas.run.trial import Trial

TRIALS = 16


@dataclass(frozen=True)
class Toy:
    """The toy's evaluation, which takes a moment and notes its process."""

    folder: Path
    seconds: float = 0.0

    def __call__(self, tell: TellProgress) -> Callable[[Job], Evaluated]:
        import os

        (self.folder / f"worker-{os.getpid()}").touch()

        def slow(job: Job) -> Evaluated:
            time.sleep(self.seconds * (1 + luck(job.proposal.architecture, "time")))
            return evaluate(job)

        return slow


DRIVER = """
import sys
from pathlib import Path
from tests.run.test_parallel import TRIALS, Toy
from tests.run.toy import run_toy
from gcnas.execution import ProcessExecutor
folder = Path(sys.argv[1])
run_toy(folder, "random", trials=TRIALS, executor=ProcessExecutor([Toy(folder, 0.1)] * 2, logs=folder))
"""


def trials_of(folder: Path) -> list[Trial]:
    try:
        with LedgerReader(folder / "run.db") as ledger:
            return ledger.trials()
    except RunFolderError:
        return []


def is_finished(trial: Trial) -> bool:
    return trial.evaluation is not None


def test_strategies_see_the_evaluations_of_a_serial_run(tmp_path: Path) -> None:
    """With one worker process, proposals, results and the state of a strategy that learns are the same."""
    (tmp_path / "serial").mkdir()
    (tmp_path / "processes").mkdir()
    run_toy(tmp_path / "serial")
    run_toy(tmp_path / "processes", executor=ProcessExecutor([Toy(tmp_path)], logs=tmp_path))
    assert trials_of(tmp_path / "serial")
    for one, other in zip(trials_of(tmp_path / "serial"), trials_of(tmp_path / "processes"), strict=True):
        assert row(one) == row(other)


def test_two_workers_evaluate_each_proposal_once(tmp_path: Path) -> None:
    (tmp_path / "serial").mkdir()
    run_toy(tmp_path / "serial", "random", trials=TRIALS)
    run_toy(tmp_path, "random", trials=TRIALS, executor=ProcessExecutor([Toy(tmp_path)] * 2, logs=tmp_path))
    assert len(trials_of(tmp_path)) == TRIALS
    # Random proposals do not depend on results, so both runs have the same table, trial by trial.
    assert list(map(row, trials_of(tmp_path))) == list(map(row, trials_of(tmp_path / "serial")))


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param([3], id="one kill"),
        pytest.param([3, 3], id="two kills", marks=pytest.mark.slow),
        pytest.param(range(1, 16), id="many kills", marks=pytest.mark.slow),
    ],
)
def test_killed_driver_loses_nothing(tmp_path: Path, repository: Path, kills: list[int]) -> None:
    """Killed when so many trials are finished; twice at the same one, which is not the candidates' fault."""
    before: dict[int, object] = {}
    for moment in [*kills, None]:
        with subprocess.Popen([sys.executable, "-c", DRIVER, tmp_path], cwd=repository) as process:
            while process.poll() is None:
                time.sleep(0.02)
                found = trials_of(tmp_path)
                if moment is not None and sum(map(is_finished, found)) >= moment and len(found) > len(before):
                    process.send_signal(signal.SIGKILL)
                    break
        assert process.returncode == (0 if moment is None else -signal.SIGKILL)
        after = {trial.number: trial.evaluation for trial in trials_of(tmp_path) if is_finished(trial)}
        assert before.items() <= after.items()
        before = after
        workers = [int(file.name.split("-")[1]) for file in tmp_path.glob("worker-*") if "." not in file.name]
        assert workers
        assert wait_until(lambda pids=workers: all(map(gone, pids)))  # type: ignore[misc]
    assert len(before) == TRIALS
    (tmp_path / "whole").mkdir()
    run_toy(tmp_path / "whole", "random", trials=TRIALS)
    assert list(map(row, trials_of(tmp_path))) == list(map(row, trials_of(tmp_path / "whole")))


@pytest.mark.slow
def test_killed_workers_cost_their_candidates_only(tmp_path: Path) -> None:
    """A worker killed from outside, several times, while the driver goes on."""
    import os
    import threading

    def kill(finished: int) -> None:
        while sum(trial.evaluation is not None for trial in trials_of(tmp_path)) < finished:
            time.sleep(0.01)
        for file in tmp_path.glob("worker-*"):
            if "." not in file.name and not gone(pid := int(file.name.split("-")[1])):
                os.kill(pid, signal.SIGKILL)

    killers = [threading.Thread(target=kill, args=(finished,), daemon=True) for finished in (3, 9)]
    for killer in killers:
        killer.start()
    executor = ProcessExecutor([Toy(tmp_path, 0.3)] * 2, logs=tmp_path)
    run_toy(tmp_path, "random", trials=TRIALS, executor=executor)
    for killer in killers:
        killer.join()
    trials = trials_of(tmp_path)
    assert len(trials) == TRIALS
    assert 1 <= sum("SIGKILL" in ((t.evaluation and t.evaluation.error) or "") for t in trials) <= 4
    for trial in trials:
        assert trial.evaluation is not None
        if "SIGKILL" not in (trial.evaluation.error or ""):
            failed = luck(trial.proposal.architecture, "fate") < 0.2
            assert trial.evaluation.state is (EvaluationState.FAILED if failed else EvaluationState.COMPLETE)
