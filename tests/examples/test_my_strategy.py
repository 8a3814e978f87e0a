import subprocess
import sys
from pathlib import Path

import pytest

import gcnas
from gcnas.errors import ConfigurationError
from gcnas.strategy import find_constructor
from gcnas.testing import StrategyTestCase

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_strategy.py"
SMALL = (
    "--epochs",
    "1",
    "--final-epochs",
    "1",
    "--max-params",
    "20k",
    "--threads",
    "1",
    "--no-onnx",
    "--no-report",
)


class TestClimber(StrategyTestCase):
    create = staticmethod(find_constructor(f"{EXAMPLE}:Climber"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gcnas", *arguments],
        cwd=EXAMPLE.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_search_with_the_strategy_goes_on_where_it_is_named_again(tmp_path: Path) -> None:
    named, folder = ("--strategy", "my_strategy.py:Climber"), str(tmp_path / "run")
    done = run("search", "digits", *named, "--budget", "3", *SMALL, "--no-references", "--out", folder)
    assert done.returncode == 0, done.stderr
    assert len(gcnas.load(folder).trials) == 3
    refused = run("resume", folder, "--budget", "5")
    assert refused.returncode == 1
    assert "The strategy of this run is code (my_strategy.py:Climber)" in refused.stderr
    copied = run("search", "digits", "--config", f"{folder}/config.yaml", "--out", str(tmp_path / "other"))
    assert copied.returncode == 1
    assert "names a strategy that is code (my_strategy.py:Climber)" in copied.stderr
    done = run("resume", folder, "--budget", "12", *named)
    assert done.returncode == 0, done.stderr
    sources = [trial.proposal.source for trial in gcnas.load(folder).trials]
    assert len(sources) == 12
    assert set(sources) == {"random", "edit"}
    # What does not search needs no strategy.
    assert gcnas.finalize(folder, final_epochs=1).metrics["epochs"] == 1
    with pytest.raises(ConfigurationError, match="has no policy"):
        gcnas.load(folder).policy()


def test_other_runs_do_not_change_their_strategy(tmp_path: Path) -> None:
    options = {"epochs": 1, "final_epochs": 1, "threads": 1, "onnx": False, "report": False}
    found = gcnas.search("digits", out=tmp_path / "run", budget=1, strategy="random", **options)
    with pytest.raises(ConfigurationError, match="cannot change strategy"):
        gcnas.resume(found.run, budget=2, strategy=f"{EXAMPLE}:Climber")
