import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.conftest import MakeRun
from tests.report.test_html import page
from typer.testing import CliRunner

import gcnas
from gcnas.cli.app import app
from gcnas.errors import ConfigurationError, RunFolderError
from gcnas.network import weights_bytes
from gcnas.report import reasons
from gcnas.report.alternatives import Alternatives
from gcnas.report.reasons import reasons_of
from gcnas.report.record import fitted_space, read_run
from gcnas.space.presets import CNN


def test_of_a_run_without_a_policy(make_run: MakeRun) -> None:
    run = make_run(trials=30)
    found = reasons(run)
    assert found.preferences is None
    assert found.no_policy == "The strategy 'random' has no policy."
    assert found.alternatives.chosen.score == max(trial.score for trial in gcnas.load(run).trials)
    assert reasons(run, 2).alternatives.chosen.number == 2
    assert gcnas.load(run).why(2).importance.sentence == found.importance.sentence


@pytest.mark.slow
def test_of_a_run_with_a_policy(tmp_path: Path) -> None:
    """The first update of ``reinforce`` comes after some networks of its own."""
    options = {"strategy": "reinforce", "epochs": 1, "final_epochs": 1, "threads": 1, "onnx": False}
    result = gcnas.search("digits", out=tmp_path / "run", budget=1, **options)
    assert not result.policy_has_learnt
    assert result.why().preferences is None
    assert result.why().no_policy == "The policy of 'reinforce' has not learnt from any network yet."
    text = (result.run / "report.html").read_text()
    assert "has not learnt from any network yet." in text
    assert "Type probabilities by position" not in text
    assert "Too few evaluations of equal training to tell" in text
    result = gcnas.resume(tmp_path / "run", budget=14)
    assert result.policy_has_learnt
    found = result.why()
    assert found.preferences is not None
    assert found.preferences.reached[0] == 1
    said = CliRunner().invoke(app, ["why", str(result.run)], env={"COLUMNS": "80"}).output
    assert re.search(r"^STOP +\d\.\d\d", said, re.MULTILINE)
    assert "Type probabilities by position" in (result.run / "report.html").read_text()


def test_what_is_not_there_is_said(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    with pytest.raises(ConfigurationError, match="no complete trial 99"):
        reasons(run, 99)
    with pytest.raises(RunFolderError, match="is not the one that the run used"):
        reasons(run, None, replace(CNN, max_depth=3))
    empty = make_run("empty", trials=0)
    with pytest.raises(RunFolderError, match="no network yet"):
        reasons(empty)


def test_alternatives_keep_to_the_limits_of_the_run(make_run: MakeRun) -> None:
    folder = read_run(make_run(trials=30))
    space, chosen = fitted_space(folder.config, folder.meta), folder.trials[3]

    def beside(limit: int | None) -> Alternatives:
        changed = replace(folder, config={**folder.config, "max_params": limit})
        return reasons_of(changed, chosen, space).alternatives

    free, bound = beside(None), chosen.cost.parameters
    assert any(each.cost.parameters > bound for each in free.shown)
    limited = beside(bound)
    assert 0 < limited.found < free.found
    assert all(each.cost.parameters <= bound for each in limited.shown)


def test_alternatives_keep_to_the_size_of_their_file(make_run: MakeRun) -> None:
    folder = read_run(make_run(trials=30))
    space, chosen = fitted_space(folder.config, folder.meta), folder.trials[3]
    bound = weights_bytes(space, chosen.proposal.architecture)
    changed = replace(folder, config={**folder.config, "max_size": bound})
    beside = reasons_of(changed, chosen, space).alternatives
    assert beside.found > 0
    assert all(weights_bytes(space, each.architecture) <= bound for each in beside.shown)


def test_on_the_page(make_run: MakeRun) -> None:
    text = page(make_run(trials=40)).text
    assert "Which choices mattered" in text
    assert "One edit of trial" in text
    assert "The strategy 'random' has no policy." in text
    assert "left out" not in text
