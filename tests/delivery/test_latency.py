import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gcnas.delivery import latency
from gcnas.delivery.latency import choose_measured, measure_latency
from gcnas.errors import ExportError, LimitsTooTightError
from gcnas.records import (
    Architecture,
    Cost,
    Evaluation,
    EvaluationState,
    Fidelity,
    Layer,
    Limits,
    Proposal,
    Trajectory,
)
from gcnas.report import write_report
from gcnas.result import Result
from gcnas.run.ledger import Ledger
from gcnas.run.observer import Observer
from gcnas.run.trial import Trial


def test_delivered_network_is_timed(result: Result) -> None:
    metrics = result.metrics
    assert 0 < metrics["latency_ms"] <= metrics["latency_p95_ms"] < 1_000
    assert metrics["latency_threads"] == 1
    assert "latency_predicted_ms" not in metrics  # nobody asked for a model


def test_measured_beside_predicted_in_the_report(result: Result, tmp_path: Path) -> None:
    run = Path(shutil.copytree(result.run, tmp_path / "run"))
    metrics = json.loads((run / "best/metrics.json").read_text())
    page = write_report(run).read_text()
    assert f"{metrics['latency_p95_ms']:.3g}" in page
    assert "95th percentile" in page
    assert "Predicted" not in page
    (run / "best/metrics.json").write_text(json.dumps(metrics | {"latency_predicted_ms": 7.125}))
    page = write_report(run).read_text()
    assert "Predicted" in page
    assert "7.12" in page


@pytest.mark.parametrize("limit", [1e-6, 1e6])
def test_a_delivered_network_above_the_limit_is_told_with_its_prediction(limit: float, result: Result) -> None:
    space, notes = SimpleNamespace(limits=Limits(latency=limit)), Notes()
    context: Any = SimpleNamespace(
        config=SimpleNamespace(latency_threads=1), dataset=SimpleNamespace(image_shape=(1, 8, 8)), space=space
    )
    found = measure_latency(context, made(1, 0.9, 0.25), (result.run / "best/model.onnx").read_bytes(), notes)
    assert found["latency_predicted_ms"] == 0.25
    assert 0 < found["latency_ms"] <= found["latency_p95_ms"]
    told = ["more than the limit" in note and "(predicted: 0.25)" in note for note in notes.notes]
    assert told == ([True] if limit < 1 else [])


# --- a limit holds for what is measured

LIMIT = 1.0


class Notes(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


class Stopwatch:
    """Stands for measuring: the milliseconds of each network, by its number of filters."""

    def __init__(self, **milliseconds: float) -> None:
        self.milliseconds = milliseconds
        self.asked: list[int] = []

    def __call__(self, space: object, network: Architecture, threads: int) -> float:
        number = dict(network.layers[0].hyperparameters)["filters"]
        assert threads == 3
        self.asked.append(number)
        if f"n{number}" not in self.milliseconds:
            raise ExportError("It has no ONNX form.")
        return self.milliseconds[f"n{number}"]


def made(number: int, score: float, predicted: float) -> Trial:
    proposal = Proposal(
        Architecture((Layer("dot", (("filters", number),), (0,)),)), Trajectory((), ()), "random"
    )
    evaluation = Evaluation(proposal, EvaluationState.COMPLETE, score, Fidelity(1), {})
    return Trial(number, proposal, Cost(10, 10, 10, latency=predicted), Fidelity(1), evaluation)


def test_what_onnx_runtime_does_not_run_counts_as_predicted(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED")

    monkeypatch.setattr("gcnas.run.calibration.OnnxClassifier", fail)
    trial, notes = result.trials[0], Notes()
    context: Any = SimpleNamespace(space=result.model.space, config=SimpleNamespace(latency_threads=1))
    with Ledger(tmp_path / "run.db", {"name": "toy"}) as ledger:
        assert latency._measured(context, ledger, trial, notes) is None
    assert "is as predicted: ONNX Runtime does not run the network: RuntimeError" in notes.notes[0]


TRIALS = [made(1, 0.9, 0.8), made(2, 0.8, 0.5), made(3, 0.7, 0.9), made(4, 0.6, 0.4), made(5, 0.99, 1.5)]


def best_within(trials: Sequence[Trial]) -> Trial | None:
    usable = [trial for trial in trials if (trial.cost.latency or 0) <= LIMIT]
    return max(usable, key=lambda trial: trial.score, default=None)


def choose(folder: Path, trials: Sequence[Trial] = TRIALS) -> tuple[Trial | None, list[str]]:
    notes = Notes()
    context: Any = SimpleNamespace(space=None, config=SimpleNamespace(latency_threads=3))
    with Ledger(folder / "run.db", {"name": "toy"}) as ledger:
        return choose_measured(context, ledger, trials, best_within, LIMIT, notes), notes.notes


def timed_by(monkeypatch: pytest.MonkeyPatch, stopwatch: Stopwatch) -> Stopwatch:
    monkeypatch.setattr(latency, "measured_latency", stopwatch)
    return stopwatch


def test_what_was_measured_takes_the_place_of_predictions(tmp_path: Path) -> None:
    """That of another processor does not."""
    for processor, first in ((latency.processor_name(), 0.3), ("another", 0.8)):
        with Ledger(tmp_path / f"{processor[:7].strip()}.db", {"name": "toy"}) as ledger:
            facts = {"processor": processor, "milliseconds": {TRIALS[0].proposal.fingerprint: 0.3}}
            ledger.set_meta(latency.KEPT, facts)
            found = [trial.cost.latency for trial in latency.as_measured(ledger, TRIALS[:2])]
        assert found == [first, 0.5]


def test_what_is_measured_within_the_limit_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopwatch = timed_by(monkeypatch, Stopwatch(n1=1.0))
    assert choose(tmp_path) == (TRIALS[0], [])
    assert stopwatch.asked == [1]


def test_what_is_measured_too_slow_is_passed_over_and_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trial 1 takes one and a half times what was predicted, and so would trial 3: it is not even measured."""
    stopwatch = timed_by(monkeypatch, Stopwatch(n1=1.2, n2=0.99))
    chosen, notes = choose(tmp_path)
    assert chosen == TRIALS[1]
    assert notes == [
        "Trial 1 is passed over: its network takes 1.2 ms, and the limit is 1 ms (predicted: 0.8)."
    ]
    assert stopwatch.asked == [1, 2]
    slower = timed_by(monkeypatch, Stopwatch(n1=1.2, n2=1.1, n4=0.9))
    (tmp_path / "again").mkdir()
    assert choose(tmp_path / "again")[0] == TRIALS[3]
    assert slower.asked == [1, 2, 4]


def test_a_run_chooses_the_same_again_unless_the_processor_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed_by(monkeypatch, Stopwatch(n1=1.2, n2=0.9))
    first = choose(tmp_path)
    stopwatch = timed_by(monkeypatch, Stopwatch(n1=0.9, n2=2.0))
    assert choose(tmp_path) == first
    assert stopwatch.asked == []
    monkeypatch.setattr(latency, "processor_name", lambda: "another one")
    assert choose(tmp_path) == (TRIALS[0], [])


def test_what_was_measured_before_is_judged_by_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A better network comes later and is slow: that says nothing of one that is known to be fast enough."""
    timed_by(monkeypatch, Stopwatch(n1=0.9))
    first, later = made(1, 0.8, 0.8), made(2, 0.9, 0.8)
    assert choose(tmp_path, [first]) == (first, [])
    stopwatch = timed_by(monkeypatch, Stopwatch(n2=1.3))
    chosen, notes = choose(tmp_path, [first, later])
    assert chosen == first
    assert ["Trial 2 is passed over" in note for note in notes] == [True]
    assert stopwatch.asked == [2]


def test_nothing_within_the_limit_is_an_error_with_the_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed_by(monkeypatch, Stopwatch(n1=1.6, n2=1.4, n3=2.0, n4=1.3))
    with pytest.raises(
        LimitsTooTightError, match=r"fastest that was measured takes 1\.\d ms.*--max-latency 1\.\d"
    ):
        choose(tmp_path)


def test_nothing_predicted_within_the_limit_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopwatch = timed_by(monkeypatch, Stopwatch())
    assert choose(tmp_path, [TRIALS[4]]) == (None, [])
    assert stopwatch.asked == []


def test_what_cannot_be_measured_counts_as_predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed_by(monkeypatch, Stopwatch())
    chosen, notes = choose(tmp_path)
    assert chosen == TRIALS[0]
    assert "no ONNX form" in notes[0]
    monkeypatch.setattr(latency, "missing_packages", lambda: ["onnxruntime"])
    chosen, notes = choose(tmp_path)
    assert chosen == TRIALS[0]
    assert "onnxruntime is not installed" in notes[0]


def test_repeats_of_a_slow_network_are_passed_over_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed_by(monkeypatch, Stopwatch(n1=1.2, n2=0.9))
    chosen, _ = choose(tmp_path, [*TRIALS, replace(TRIALS[0], number=9)])
    assert chosen == TRIALS[1]
