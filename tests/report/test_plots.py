import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest
from tests.report.conftest import MakeRun, likely_score

from gcnas.records import Proposal
from gcnas.report import plots
from gcnas.report.curves import with_score
from gcnas.report.plots import accuracy_against_parameters, accuracy_against_trials
from gcnas.report.record import read_run
from gcnas.report.summary import summarize

Plot = Callable[..., str | None]
both = pytest.mark.parametrize("plot", [accuracy_against_trials, accuracy_against_parameters])


def drawn(plot: Plot, run: Path, against: Path | None = None) -> str:
    folder = read_run(run)
    svg = plot(folder.trials, summarize(folder, against))
    assert svg is not None
    ET.fromstring(svg)  # noqa: S314
    return svg


def labels(svg: str) -> set[str]:
    return set(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


@both
def test_same_run_same_text(make_run: MakeRun, plot: Plot) -> None:
    run = make_run(trials=20)
    before = dict(mpl.rcParams)
    svg = drawn(plot, run)
    assert drawn(plot, run) == svg
    assert dict(mpl.rcParams) == before
    assert "http" not in svg
    assert "<metadata" not in svg


def test_what_is_shown(make_run: MakeRun) -> None:
    def outcome(proposal: Proposal, number: int) -> Any:
        return ("crash", "x") if number == 7 else 0.1 if number == 8 else likely_score(proposal, number)

    run = make_run(trials=20, outcome=outcome)
    trials = labels(drawn(accuracy_against_trials, run))
    assert {
        "random",
        "reference design",
        "best so far",
        "failed",
        "best reference",
        "lower than drawn",
    } <= trials
    assert not [label for label in trials if "other run" in label]
    assert {"delivered", "Pareto front", "parameters"} <= labels(drawn(accuracy_against_parameters, run))
    compared = labels(drawn(accuracy_against_trials, run, make_run("other", seed=3)))
    assert {"other run, best so far", "random search, expected best"} <= compared


def test_marker_says_best_before_the_final_training(make_run: MakeRun) -> None:
    found = labels(drawn(accuracy_against_parameters, make_run(final=False)))
    assert "best" in found
    assert "delivered" not in found


@both
def test_one_trial(make_run: MakeRun, plot: Plot) -> None:
    drawn(plot, make_run(trials=1))


@both
def test_equal_scores(make_run: MakeRun, plot: Plot) -> None:
    drawn(plot, make_run(outcome=lambda *_: 1.0))


@both
def test_no_score(make_run: MakeRun, plot: Plot) -> None:
    folder = read_run(make_run(outcome=lambda *_: None))
    assert plot(folder.trials, summarize(folder)) is None


@both
def test_many_points_are_thinned(make_run: MakeRun, plot: Plot, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(trials=200)
    whole = drawn(plot, run).count("<use")
    monkeypatch.setattr(plots, "MAX_POINTS", 100)
    assert drawn(plot, run).count("<use") < whole - 70


def test_many_sources_are_a_few_and_others(make_run: MakeRun) -> None:
    folder = read_run(make_run(trials=40))
    trials = tuple(
        replace(t, proposal=replace(t.proposal, source=f"gen-{t.number % 20:02}"))
        if t.proposal.source == "random"
        else t
        for t in folder.trials
    )
    svg = accuracy_against_trials(trials, summarize(folder))
    assert svg is not None
    shown = {label for label in labels(svg) if label.startswith("gen-") or label == "others"}
    assert len(shown) == plots.MAX_SOURCES
    assert "others" in shown


@both
def test_no_line_reaches_below_what_is_drawn(
    make_run: MakeRun, plot: Plot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smallest network is on the front however bad it is."""
    seen: list[float] = []
    finish = plots._finish

    def look(axes: Any, *rest: Any) -> None:
        seen.append(axes.get_ylim()[0])
        finish(axes, *rest)

    monkeypatch.setattr(plots, "_finish", look)
    folder = read_run(make_run(trials=20))
    smallest = min(folder.trials, key=lambda trial: trial.cost.parameters)
    trials = tuple(with_score(t, 0.1) if t is smallest or t.number == 1 else t for t in folder.trials)
    plot(trials, summarize(replace(folder, trials=trials)))
    assert seen[0] > 0.5
