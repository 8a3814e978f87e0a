import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.run.conftest import MakeTrial
from tests.run.toy import TOY

from gcnas.config import RunConfig
from gcnas.errors import ConfigurationError
from gcnas.run import costs
from gcnas.run.costs import priced, read_latency, with_costs
from gcnas.run.folder import RunFolder
from gcnas.run.ledger import Ledger
from gcnas.run.observer import Observer
from gcnas.space import LatencyModel

MODEL = LatencyModel({"constant": 0.5}, 30, 0.1, 0.3, 1, "another processor", "ONNX Runtime", 9.0)
CONFIG = RunConfig.create(data="digits", max_latency=1.0)


class Notes(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run")


def test_model_is_fitted_once_and_then_read(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(costs, "calibrate", lambda *_, **options: calls.append(options) or MODEL)
    notes = Notes()
    for _ in range(2):
        space = with_costs(TOY, CONFIG.costs, CONFIG, folder, notes)
        assert space.latency_model == MODEL
        assert space.file_size is None
    assert len(calls) == 1
    assert notes.notes[0] == MODEL.sentence
    assert "another processor" in notes.notes[-1]


def test_nothing_is_measured_that_nobody_asked_for(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(costs, "calibrate")
    assert with_costs(TOY, set(), CONFIG, folder) is TOY
    assert with_costs(TOY, {"size", "macs"}, CONFIG, folder).file_size is not None


@pytest.mark.parametrize("content", ["", "[]", '{"weights": {}}', "x" * 2_000_000])
def test_damaged_model(folder: RunFolder, content: str) -> None:
    assert read_latency(folder.path) is None
    folder.latency.write_text(content)
    with pytest.raises(ConfigurationError, match="Delete it"):
        read_latency(folder.path)


def test_scores_by_one_model_are_not_followed_by_those_of_another(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, make_trial: MakeTrial
) -> None:
    monkeypatch.setattr(costs, "calibrate", lambda *_, **__: MODEL)
    soft = RunConfig.create(data="digits", soft="latency=1.5")
    with Ledger(folder.ledger, {"name": "toy"}) as ledger:
        ledger.commit(pending=[make_trial(1)])
        assert with_costs(TOY, soft.costs, soft, folder).latency_model == MODEL
        folder.latency.unlink()
        ledger.commit(finished=[make_trial(1, 0.5)])
    with pytest.raises(ConfigurationError, match=r"latency\.json is gone, by which the scores"):
        with_costs(TOY, soft.costs, soft, folder)
    assert with_costs(TOY, soft.costs, soft, folder, searching=False).latency_model == MODEL
    assert not folder.latency.exists()  # a search that goes on would take it for the old one
    assert with_costs(TOY, CONFIG.costs, CONFIG, folder).latency_model == MODEL  # a limit alone weighs no score


def test_run_stopped_while_it_measured_can_be_begun_anew(folder: RunFolder) -> None:
    with folder.locked():
        folder.latency.write_text(json.dumps(MODEL.to_json()))
    RunFolder.create(folder.path)


def test_trials_of_a_ledger_get_all_costs(make_trial: MakeTrial) -> None:
    trials = [make_trial(1, 0.5), make_trial(2)]
    assert priced(TOY, trials) == trials
    space = replace(TOY, latency_model=MODEL)
    assert [trial.cost.latency for trial in priced(space, trials)] == [0.5, 0.5]
    assert [trial.cost.parameters for trial in priced(space, trials)] == [t.cost.parameters for t in trials]
