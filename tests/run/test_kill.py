"""A real run, killed by the system and resumed, against the same run left alone."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gcnas.errors import RunFolderError
from gcnas.run.ledger import LedgerReader
from gcnas.run.trial import Trial

TRIALS = 8
SEARCH = f"search digits --budget {TRIALS} --epochs 3 --final-epochs 1 --resolution 8 --threads 1".split()

# The memory format is timed when a run begins, and two formats round differently: a fixed one for all runs here.
COMMAND = """
import gcnas.run.rungs as rungs
import gcnas.training.platform as platform
rungs.LEAST_STEPS = 1
platform._step_seconds = lambda device, memory_format: 1.0
from gcnas.cli import main
main()
"""


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output


def search_and_kill(folder: Path, moment: Callable[[list[Trial]], bool]) -> list[Trial]:
    """Kill a search as soon as its ledger shows the moment; gives the trials of the dead run."""
    with start(*SEARCH, "--out", folder) as process:
        while process.poll() is None:
            try:
                with LedgerReader(folder / "run.db") as ledger:
                    if moment(ledger.trials()):
                        break
            except RunFolderError:
                pass  # there is none yet
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "the run ended before its moment came"
    with LedgerReader(folder / "run.db") as ledger:
        return ledger.trials()


def left_behind(folder: Path) -> dict[str, Any]:
    """The table without seconds and attempts, the rejections and the strategy of a run, and what it delivered."""
    with (folder / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for column in ("seconds", "elapsed", "attempts"):
            del row[column]
    metrics = json.loads((folder / "best" / "metrics.json").read_text())
    report = (folder / "report.html").read_text()
    metrics = {name: value for name, value in metrics.items() if name != "seconds" and "latency" not in name}
    with LedgerReader(folder / "run.db") as ledger:
        state = ledger.strategy_state()
        return {
            "table": rows,
            "metrics": metrics,
            "report": (report.endswith("</html>\n"), f"{100 * metrics['test_accuracy']:.1f}" in report),
            "onnx": (folder / "best" / "model.onnx").read_bytes(),
            "weights": (folder / "best" / "weights.safetensors").read_bytes(),
            "rejections": ledger.rejections(),
            "strategy": state.values,
        }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(start(*SEARCH, "--out", folder))
    found = left_behind(folder)
    assert len(found["table"]) == TRIALS
    assert found["metrics"]["state"] == "final"
    assert found["report"] == (True, True)
    # The same holds where candidates go on from checkpoints.
    assert any(row["continues"] and float(row["trained_epochs"]) < 3 for row in found["table"])
    return found


def finished(trials: list[Trial]) -> int:
    return sum(trial.evaluation is not None for trial in trials)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "pending"),
    [
        pytest.param(0, 1, id="in the first evaluation"),
        pytest.param(5, 1, id="in the middle"),
        pytest.param(TRIALS, 0, id="before delivery"),
    ],
)
def test_killed_run_is_resumed_to_the_same_end(
    tmp_path: Path, whole: dict[str, Any], count: int, pending: int
) -> None:
    folder = tmp_path / "run"
    trials = search_and_kill(
        folder, lambda trials: len(trials) >= count + pending and finished(trials) >= count
    )
    assert count <= finished(trials) <= max(count, TRIALS - 1)
    finish(start("resume", folder))
    assert left_behind(folder) == whole
