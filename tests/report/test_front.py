import csv
import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.report.conftest import MakeRun
from tests.report.test_html import page

from gcnas.errors import ConfigurationError
from gcnas.records import METRICS
from gcnas.report import html
from gcnas.report.front import accuracies, front, fronts, write_front
from gcnas.report.record import fitted_space, read_run
from gcnas.report.summary import summarize
from gcnas.run.costs import priced, with_meters
from gcnas.run.trial import Trial
from gcnas.space import LatencyModel

MODEL = LatencyModel({"constant": 0.01, "conv2d: layers": 0.1}, 30, 0.123, 0.3, 1, "a processor", "ORT", 9.0)


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    run = make_run(trials=20)
    (run / "latency.json").write_text(json.dumps(MODEL.to_json()))
    return run


@pytest.mark.parametrize("against", METRICS)
def test_nothing_beats_what_is_on_a_front(run: Path, against: str) -> None:
    points = front(run, against)
    costs = [getattr(point.cost, METRICS[against]) for point in points]
    assert costs == sorted(costs)
    assert [p.accuracy for p in points] == sorted(p.accuracy for p in points)
    best = max(read_run(run).trials, key=lambda trial: trial.score)
    assert points[-1].accuracy == best.score
    on_it = {point.trial for point in points}
    folder = read_run(run)
    priced_ones = priced(with_meters(fitted_space(folder.config, folder.meta), run), folder.trials)
    all_of_them = {t.number: (t.score, getattr(t.cost, METRICS[against])) for t in priced_ones}
    for number, (score, cost) in all_of_them.items():
        others = [pair for other, pair in all_of_them.items() if other != number]
        beaten = any(s >= score and c <= cost and (s, c) != (score, cost) for s, c in others)
        twin = any(pair == (score, cost) for pair in others)
        assert (number in on_it) is not beaten or twin


def test_a_network_trained_twice_counts_with_its_mean(run: Path) -> None:
    folder = read_run(run)
    best = max(folder.trials, key=lambda trial: trial.score)
    assert best.evaluation is not None
    again = replace(best, number=99, evaluation=replace(best.evaluation, score=0.0))
    assert front(replace(folder, trials=(*folder.trials, again)))[-1].trial != best.number


def test_sizes_and_latencies_need_the_space_and_a_model(make_run: MakeRun) -> None:
    run = make_run()
    assert front(run, "size")
    with pytest.raises(ConfigurationError, match="no latency model"):
        front(run, "latency")
    with pytest.raises(ConfigurationError, match="params, macs"):
        front(run, "flops")
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("space: cnn", "space: mine.py:SPACE"))
    assert front(run, "macs")
    with pytest.raises(ConfigurationError, match="--space"):
        front(run, "size")
    assert {row.point.cost.size for row in fronts(read_run(run))} == {None}


def test_the_table_has_every_front(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = read_run(run)
    rows = fronts(folder)
    for against in ("params", "macs", "activations", "size"):
        on_it = {row.point.trial for row in rows if against in row.against}
        assert on_it == {point.trial for point in front(folder, against)}
    assert all(row.point.cost.size for row in rows)
    # Too many to size them all: those that are shown are.
    module = importlib.import_module("gcnas.report.front")  # the package has a function of this name
    monkeypatch.setattr(module, "MOST_SIZES", len(folder.trials) - 1)
    few = fronts(folder)
    assert not any("size" in row.against for row in few)
    assert all(row.point.cost.size for row in few)

    def refuse(*_: object) -> int:
        raise ImportError("a layer type's own")

    monkeypatch.setattr(module, "weights_bytes", refuse)
    assert [row.point.trial for row in fronts(folder)] == [row.point.trial for row in few]


def test_report_has_the_table(run: Path, make_run: MakeRun) -> None:
    text = page(run).text
    assert "What accuracy costs" in text
    assert MODEL.sentence in text
    assert "params, macs" in text
    assert "What accuracy costs" not in page(make_run("none", outcome=lambda *_: None)).text


def test_soft_rewards_do_not_pass_for_accuracies(make_run: MakeRun) -> None:
    def outcome(_: Any, number: int) -> float:
        return 1.0 + number / 100

    run = make_run(outcome=outcome, config={"soft": "macs=5M:-0.07"})
    folder = read_run(run)
    assert folder.reward == "validation accuracy x (macs / 5,000,000)^-0.07"
    measured = tuple(_with_accuracy(trial, 0.5) for trial in folder.trials)
    assert {trial.score for trial in accuracies(measured, folder.config)} == {0.5}
    assert {point.accuracy for point in front(replace(folder, trials=measured))} == {0.5}
    assert "macs=5000000:-0.07" in page(run).text


def _with_accuracy(trial: Trial, accuracy: float) -> Trial:
    assert trial.evaluation is not None
    return replace(trial, evaluation=replace(trial.evaluation, metrics={"accuracy": accuracy}))


def test_no_source_is_a_formula(run: Path, tmp_path: Path) -> None:
    write_front(tmp_path / "front.csv", [replace(front(run)[0], source="=1+1")])
    with (tmp_path / "front.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["source"] == "'=1+1"


def test_csv(run: Path, tmp_path: Path) -> None:
    points = front(run, "latency")
    write_front(tmp_path / "front.csv", points)
    with (tmp_path / "front.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == [point.trial for point in points]
    assert float(rows[0]["latency"]) == points[0].cost.latency
    assert int(rows[0]["size"]) == points[0].cost.size
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_front(tmp_path / "no" / "front.csv", points)


def test_of_many_rows_some_from_all_over_are_shown(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary, rows = summarize(run), fronts(read_run(run))
    monkeypatch.setattr(html, "MAX_FRONT", 5)
    assert summary.delivered is not None
    assert len(rows) > 5 + 1
    for number in (row.point.trial for row in rows):
        shown = html._spread(rows, replace(summary.delivered, number=number))
        assert 4 <= len(shown) <= 5
        assert shown == sorted(shown, key=rows.index)
        trials = {row.point.trial for row in shown}
        assert {rows[0].point.trial, rows[-1].point.trial, number} <= trials
        assert max(row.point.accuracy for row in rows) in {row.point.accuracy for row in shown}
    text = page(run).text
    assert "more networks of these fronts are left out; gcnas front" in text
    monkeypatch.setattr(html, "MAX_FRONT", len(rows))
    assert html._spread(rows, None) == list(rows)
    assert "left out; gcnas front" not in page(run).text
