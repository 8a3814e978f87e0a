from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.delivery.test_final import Notes
from typer.testing import CliRunner

import gcnas
from gcnas.cli.app import app
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


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command beside the example, here: Python need not start each time."""
    monkeypatch.chdir(EXAMPLE.parent)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_a_search_with_the_strategy_goes_on_where_it_is_named_again(
    tmp_path: Path, run: Callable[..., Result]
) -> None:
    named, folder = ("--strategy", "my_strategy.py:Climber"), str(tmp_path / "run")
    done = run("search", "digits", *named, "--budget", "3", *SMALL, "--no-references", "--out", folder)
    assert done.exit_code == 0, done.output
    assert len(gcnas.load(folder).trials) == 3
    refused = run("resume", folder, "--budget", "5")
    assert refused.exit_code == 1
    assert "The strategy of this run is code (my_strategy.py:Climber)" in str(refused.exception)
    copied = run("search", "digits", "--config", f"{folder}/config.yaml", "--out", str(tmp_path / "other"))
    assert copied.exit_code == 1
    assert "names a strategy that is code (my_strategy.py:Climber)" in str(copied.exception)
    done = run("resume", folder, "--budget", "12", *named)
    assert done.exit_code == 0, done.output
    sources = [trial.proposal.source for trial in gcnas.load(folder).trials]
    assert len(sources) == 12
    assert set(sources) == {"random", "edit"}
    # What does not search needs no strategy.
    assert gcnas.finalize(folder, final_epochs=1).metrics["epochs"] == 1
    with pytest.raises(ConfigurationError, match="is code, which is not executed here"):
        gcnas.load(folder).policy()


def test_no_run_folder_makes_a_command_execute_a_strategy(tmp_path: Path) -> None:
    file, marker = tmp_path / "mine.py", tmp_path / "executed"
    text = EXAMPLE.read_text() + f"\nfrom pathlib import Path\nPath({str(marker)!r}).write_text('')\n"
    file.write_text(text)
    options: dict[str, Any] = {"epochs": 1, "final_epochs": 1, "threads": 1, "onnx": False, "report": False}
    mine = f"{file}:Climber"
    found = gcnas.search("digits", out=tmp_path / "run", budget=1, strategy=mine, **options)
    marker.unlink()
    file.write_text(text + "\n")  # which would be executed again
    notes = Notes()
    moved = gcnas.transfer(
        found.run, "digits", out=tmp_path / "moved", epochs=1, final_epochs=1, observer=notes
    )
    assert any("is code" in note and "another one" in note for note in notes.notes)
    assert "strategy: gcnas" in (moved.run / "config.yaml").read_text()
    gcnas.finalize(found.run, final_epochs=1)
    with pytest.raises(ConfigurationError, match="is code"):
        gcnas.resume(found.run, budget=2)
    assert not marker.exists()
    before = (found.run / "config.yaml").read_text()
    for wrong, message in [
        (f"{tmp_path}/none.py:Climber", "does not exist"),
        (f"{file}:Other", "The strategy of this run is .*:Climber, but .*:Other was named"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            gcnas.resume(found.run, budget=2, strategy=wrong)
    assert (found.run / "config.yaml").read_text() == before
    file.write_text(text.replace('state.values["best"]', 'state.values["other"]'))
    with pytest.raises(ConfigurationError, match="cannot go on from the state that it left"):
        gcnas.resume(found.run, budget=2, strategy=mine)
    assert (found.run / "config.yaml").read_text() == before
    file.write_text(text)
    assert len(gcnas.resume(found.run, budget=2, strategy=mine).trials) == 2


def test_other_runs_do_not_change_their_strategy(tmp_path: Path) -> None:
    options = {"epochs": 1, "final_epochs": 1, "threads": 1, "onnx": False, "report": False}
    found = gcnas.search("digits", out=tmp_path / "run", budget=1, strategy="random", **options)
    with pytest.raises(ConfigurationError, match="cannot change strategy"):
        gcnas.resume(found.run, budget=2, strategy=f"{EXAMPLE}:Climber")
