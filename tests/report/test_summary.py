import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.report.conftest import MakeRun

from gcnas.network import weights_bytes
from gcnas.records import Fidelity, Proposal
from gcnas.report import summarize
from gcnas.report.record import RunRecord, fitted_space, read_run
from gcnas.report.summary import NOT_COMPARABLE
from gcnas.run.costs import priced
from gcnas.run.ledger import Ledger, LedgerReader
from gcnas.run.trial import Trial
from gcnas.space.presets import CNN


def scores(*values: Any) -> Any:
    def outcome(proposal: Proposal, number: int) -> Any:
        return values[number - 1]

    return outcome


def test_final(make_run: MakeRun) -> None:
    run = make_run(trials=5, outcome=scores(0.8, 0.81, 0.7, 0.9, ("crash", "boom")))
    path = run / "best/metrics.json"
    path.write_text(
        json.dumps(
            json.loads(path.read_text())
            | {"test_accuracy": 0.989, "parameters": 47_050, "multiply_adds": 580_000}
        )
    )
    summary = summarize(run)
    assert summary.state == "final"
    assert summary.sentence == (
        "Test accuracy 98.9 % with 47,050 parameters and 0.58 M multiply-adds, found as trial 4 of 5 "
        "(source random)."
    )
    assert summary.comparison == (
        "Search improved on the best reference design (trial 2, 81.0 %) by +9.0 points of validation accuracy: "
        "trial 4 has 90.0 %."
    )
    assert (summary.trials, summary.complete, summary.failed, summary.pending) == (5, 4, 1, 0)
    assert summary.curve == ((1, 0.8), (2, 0.81), (4, 0.9), (5, 0.9))
    assert (summary.elapsed, summary.budget) == (12.5, "40")
    assert [event.detail for event in summary.test_openings] == ["final evaluation"]
    assert summary.duplicates == 1
    assert [(limit.limit, limit.count, limit.example) for limit in summary.limits] == [
        ("parameters", 2, "parameters 91,234 > 80,000")
    ]
    assert summary.notices == ()


def test_search_under_way(make_run: MakeRun) -> None:
    summary = summarize(make_run(trials=5, outcome=scores(0.8, 0.7, 0.7, 0.9, None), final=False))
    assert summary.state == "search"
    assert summary.sentence.startswith("Validation accuracy 90.0 % with ")
    assert ", trial 4 of 4 (source random); " in summary.sentence
    assert summary.pending == 1
    assert summary.test_openings == ()


def test_little_improvement_is_called_so(make_run: MakeRun) -> None:
    summary = summarize(make_run(trials=4, outcome=scores(0.9, 0.8, 0.8, 0.904)))
    assert summary.comparison is not None
    assert "+0.4 points" in summary.comparison
    assert summary.comparison.endswith("measured on 150 images has a standard error of 2.4 points.")


def test_soft_rewards_are_no_accuracies(make_run: MakeRun) -> None:
    config = {"soft": "macs=5M:-0.07"}
    run = make_run(trials=4, outcome=scores(0.9, 0.8, 0.8, 1.204), config=config, final=False)
    summary = summarize(run)
    assert summary.sentence.split(" with ")[0].endswith(" 1.204")
    assert summary.comparison is not None
    assert summary.comparison.startswith(
        "Search improved on the best reference design (trial 1, 0.900) by +0.304 of "
    )
    assert "standard error" not in summary.comparison
    assert "%" not in summary.sentence + summary.comparison
    close = make_run("close", trials=4, outcome=scores(0.95, 0.8, 0.7, 0.96), config=config)
    path = close / "best/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trial": 1}))
    assert "(trial 4, 0.960) is not clearly above the best reference" in (summarize(close).comparison or "")


def trained_again(run: RunRecord, scored: Mapping[int, float]) -> RunRecord:
    """The run with trials trained once more, by number, to other scores."""
    again = [
        replace(
            trial, number=10 + trial.number, evaluation=replace(trial.evaluation, score=scored[trial.number])
        )
        for trial in run.trials
        if trial.evaluation is not None and trial.number in scored
    ]
    return replace(run, trials=(*run.trials, *again))


def test_the_comparison_is_that_of_the_decision(make_run: MakeRun) -> None:
    """By means where networks were trained again, and within the limits; the decision is made so."""
    run = read_run(make_run(trials=4, outcome=scores(0.87, 0.8, 0.8, 0.9), final=False))
    comparison = summarize(trained_again(run, {1: 0.87, 4: 0.86})).comparison
    assert comparison is not None
    assert "+1.0 points" in comparison
    bound = run.trials[3].cost.parameters - 1
    limited = summarize(replace(run, config={**run.config, "max_params": bound})).comparison
    assert limited is None or "trial 4" not in limited


def test_limits_that_the_ledger_does_not_tell_are_those_of_the_decision(make_run: MakeRun) -> None:
    run = read_run(make_run(trials=4, outcome=scores(0.87, 0.8, 0.8, 0.9), final=False))
    space = replace(fitted_space(run.config, run.meta), file_size=weights_bytes)
    sizes = [trial.cost.size for trial in priced(space, run.trials)]
    best = sizes[3]
    assert best is not None
    for bound, inside in ((best, True), (best - 1, False)):
        comparison = summarize(replace(run, config={**run.config, "max_size": bound})).comparison
        assert ("trial 4" in (comparison or "")) is inside


def test_limits_on_sizes_of_an_own_space_need_the_space(make_run: MakeRun) -> None:
    run = read_run(make_run(trials=4, outcome=scores(0.87, 0.8, 0.8, 0.9), final=False))
    space = replace(fitted_space(run.config, run.meta), file_size=weights_bytes)
    size = priced(space, run.trials)[3].cost.size
    assert size is not None
    own = replace(run, config={**run.config, "space": "mine.py:SPACE", "max_size": size - 1})
    assert summarize(own).comparison is None
    assert NOT_COMPARABLE in summarize(own).notices
    unmeasured = replace(run, config={**run.config, "max_latency": 1.0}, latency=None)
    assert (summarize(unmeasured).comparison, summarize(unmeasured).best_reference) == (None, None)
    assert not summarize(own, space=CNN).notices
    comparison = summarize(own, space=CNN).comparison
    assert comparison is not None
    assert "trial 4" not in comparison


def test_a_design_that_was_not_trained_again_is_compared_as_well(make_run: MakeRun) -> None:
    run = read_run(make_run(trials=5, outcome=scores(0.87, 0.8, 0.8, 0.9, 0.88), final=False))
    comparison = summarize(trained_again(run, {4: 0.86, 5: 0.85})).comparison
    assert comparison is not None
    assert "best reference design (trial 1, 87.0 %)" in comparison
    assert "+1.0 points" in comparison


def test_a_trial_that_was_faster_than_the_one_before(make_run: MakeRun) -> None:
    run = make_run(trials=6, outcome=scores(0.5, 0.5, 0.5, 0.5, None, 0.9), final=False)
    assert "trial 6 of 6 (" in summarize(run).sentence


def test_reference_wins(make_run: MakeRun) -> None:
    run = make_run(trials=5, outcome=scores(0.8, 0.95, 0.7, 0.9, 0.95))
    summary = summarize(run)
    assert summary.delivered is not None
    assert summary.delivered.number == 2
    assert summary.comparison == (
        "No searched network beat the reference design (trial 2, 95.0 %; best searched: trial 5, 95.0 %), so "
        "the reference design was delivered."
    )


def test_nothing_is_said_to_be_delivered_while_the_search_goes_on(make_run: MakeRun) -> None:
    for name, values in (
        ("equal", (0.8, 0.95, 0.7, 0.95)),
        ("close", (0.95, 0.8, 0.7, 0.96)),
        ("far", (0.7, 0.9)),
    ):
        run = make_run(name, trials=len(values), outcome=scores(*values), final=False)
        path = run / "best/metrics.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"trial": 1}))
        assert "elivered" not in (summarize(run).comparison or "")


def test_a_design_delivered_on_demand_is_not_said_to_be_within_the_noise(make_run: MakeRun) -> None:
    """On 150 images 0.8 and 0.9 are further apart than the noise, and 0.95 and 0.96 are not."""
    cases = (
        (
            "close",
            (0.95, 0.8, 0.7, 0.96),
            1,
            False,
            "within one standard error of the best reference design (trial 1",
        ),
        (
            "other",
            (0.95, 0.8, 0.7, 0.96),
            2,
            False,
            "trial 2 (80.0 %), a reference design: chosen by hand, or by a limit.",
        ),
        (
            "clear",
            (0.7, 0.6, 0.7, 0.9),
            1,
            False,
            "trial 1 (70.0 %), a reference design: chosen by hand, or by a limit.",
        ),
        ("old", (0.7, 0.6, 0.7, 0.9), 1, None, "long training, or was chosen by hand or by a limit."),
        (
            "lasts",
            (0.8, 0.7, 0.7, 0.9),
            1,
            True,
            "trial 4 has 90.0 %. Delivered was trial 1 (80.0 %), a reference design: it reaches",
        ),
        (
            "behind",
            (0.9, 0.8, 0.7, 0.8),
            2,
            True,
            "trial 2 (80.0 %), a reference design: it reaches more than others",
        ),
    )
    for name, values, delivered, lasting, words in cases:
        run = make_run(name, trials=4, outcome=scores(*values))
        path = run / "best/metrics.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"trial": delivered, "lasting": lasting}))
        assert words in (summarize(run).comparison or "")


@pytest.mark.parametrize(
    ("lasting", "moment", "words"),
    [
        (False, 7.0, "before the search went on."),
        (None, 7.0, "before the search went on."),
        (True, 7.0, "it reaches more than others in a long training."),
        (False, 9.0, "chosen by hand, or by a limit."),
    ],
)
def test_a_delivery_before_the_search_went_on_was_no_choice_against_what_came_later(
    make_run: MakeRun, lasting: bool | None, moment: float, words: str
) -> None:
    """Trial 4 ended after 8 s."""
    run = make_run(trials=4, outcome=scores(0.7, 0.6, 0.7, 0.9))
    path = run / "best/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trial": 1, "lasting": lasting}))
    with Ledger(run / "run.db") as ledger:
        ledger.event(moment, "delivered", "trial 1")
    told = f"trial 4 has 90.0 %. Delivered was trial 1 (70.0 %), a reference design: {words}"
    assert (summarize(run).comparison or "").endswith(told)


def test_delivered_is_what_best_says(make_run: MakeRun) -> None:
    run = make_run(trials=5, outcome=scores(0.8, 0.95, 0.7, 0.9, 0.94))
    path = run / "best/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trial": 5}))
    summary = summarize(run)
    assert summary.best is not None
    assert summary.delivered is not None
    assert (summary.best.number, summary.delivered.number) == (2, 5)
    assert summary.comparison is not None
    assert "was delivered" not in summary.comparison
    assert summary.notices == (
        "best/metrics.json and the ledger name different networks for the delivered trial.",
    )


def test_another_network_in_best_gets_no_credit_for_the_best_one(make_run: MakeRun) -> None:
    run = make_run(trials=5, outcome=scores(0.8, 0.81, 0.7, 0.9, 0.85))
    path = run / "best/metrics.json"
    with LedgerReader(run / "run.db") as ledger:
        other = ledger.trials()[4]
    facts = {"trial": 5, "fingerprint": other.proposal.fingerprint}
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    comparison = summarize(run).comparison
    assert comparison is not None
    assert comparison.endswith("trial 4 has 90.0 %. In best/ is trial 5 (85.0 %).")


def test_killed_between_a_better_network_and_its_entry(make_run: MakeRun) -> None:
    """``best/`` is written first."""
    run = make_run(trials=5, outcome=scores(0.8, 0.81, 0.7, 0.9, None), final=False)
    path = run / "best/metrics.json"
    for number in (5, 99):
        facts = {"trial": number, "validation_accuracy": 0.95, "source": "edit", "parameters": 1_234}
        path.write_text(json.dumps(json.loads(path.read_text()) | facts))
        sentence = summarize(run).sentence
        assert sentence.startswith("Validation accuracy 95.0 % with 1,234 parameters")
        source = "random" if number == 5 else "edit"
        assert f"trial {number} of {number} (source {source})" in sentence
    assert summarize(run).notices == ("best/metrics.json names a trial that is not in the ledger.",)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trial": 5, "fingerprint": None}))
    assert summarize(run).notices == ()


def test_the_reward_leads_the_sentence(make_run: MakeRun) -> None:
    run = make_run(trials=4, config={"reward": "balanced-accuracy"})
    path = run / "best/metrics.json"
    tested = {"test_accuracy": 0.95, "test_balanced_accuracy": 0.6}
    path.write_text(json.dumps(json.loads(path.read_text()) | tested))
    assert summarize(run).sentence.startswith("Balanced test accuracy 60.0 % (plain 95.0 %) with ")


def test_rare_classes_make_an_improvement_little(make_run: MakeRun) -> None:
    data = {
        "counts": {"train": 600, "validation": 1000, "test": 200},
        "classes": ["a", "b", "c"],
        "behind": 40.0,
    }
    run = make_run(trials=4, outcome=scores(0.8, 0.7, 0.7, 0.9), meta={"data": data})
    comparison = summarize(run).comparison
    assert comparison is not None
    assert comparison.endswith(
        "measured on 1,000 images, some classes of which have few, has a standard error of 6.3 points."
    )


def test_other_trainings_do_not_compare(make_run: MakeRun) -> None:
    run, other = (make_run(name, meta={"amounts": {"epochs": n}}) for name, n in (("a", 3), ("b", 30)))
    assert any("other trainings (30 epochs, " in notice for notice in summarize(run, other).notices)
    assert not any("other trainings" in notice for notice in summarize(run, run).notices)


def test_nothing_yet(make_run: MakeRun) -> None:
    assert summarize(make_run("none", trials=0)).sentence == "No network yet: no candidate was proposed."
    summary = summarize(make_run("failed", trials=3, outcome=scores(("crash", "x"), None, None)))
    assert summary.sentence == "No network yet: 1 candidate failed, 2 pending."
    assert (summary.state, summary.comparison, summary.best) == ("empty", None, None)


def test_only_references(make_run: MakeRun) -> None:
    comparison = summarize(make_run(trials=2, outcome=scores(0.8, 0.9))).comparison
    assert comparison == "No searched network is among those compared; the best reference design has 90.0 %."
    run = make_run("lasts", trials=2, outcome=scores(0.8, 0.9))
    path = run / "best/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trial": 1, "lasting": True}))
    assert summarize(run).comparison == (
        f"{comparison} Delivered was trial 1 (80.0 %), a reference design: it reaches more than others in a long "
        "training."
    )


def test_a_transferred_network_is_not_one_that_was_searched(make_run: MakeRun) -> None:
    run = read_run(make_run(trials=5, outcome=scores(0.7, 0.71, 0.7, 0.95, 0.9)))
    fourth = run.trials[3]
    fourth = replace(fourth, proposal=replace(fourth.proposal, source="transferred"))
    summary = summarize(replace(run, trials=(*run.trials[:3], fourth, *run.trials[4:])))
    assert summary.best_reference == fourth
    assert summary.comparison == (
        "No searched network beat the transferred network (trial 4, 95.0 %; best searched: trial 5, 90.0 %), so the "
        "transferred network was delivered."
    )


def test_failures_by_kind(make_run: MakeRun) -> None:
    outcome = scores(0.5, ("time-out", "60 s"), ("crash", "first"), 0.5, ("crash", "second"))
    failures = summarize(make_run(trials=5, outcome=outcome)).failures
    assert [(f.kind, f.count, f.trial, f.message) for f in failures] == [
        ("crash", 2, 3, "first"),
        ("time-out", 1, 2, "60 s"),
    ]


def test_against_another_run(make_run: MakeRun) -> None:
    run = make_run(trials=8)
    other = make_run("other", trials=6, seed=5, outcome=scores(0.99, 0.1, 0.2, 0.5, 0.6, 0.7))
    summary = summarize(run, other)
    assert (summary.other_name, summary.other_curve) == ("other", ((1, 0.99), (6, 0.99)))
    # Of the searched ones alone: 0.5, 0.6, 0.7 in any order.
    assert [y for _, y in summary.other_expected] == pytest.approx([0.6, 2 / 3, 0.7])
    assert [x for x, _ in summary.other_expected] == [4, 5, 6]  # on the axis of trials
    # A repeat is no other draw, and what got more training none by chance.
    record = read_run(other)
    last = record.trials[-1]
    again = replace(last, number=7, fidelity=replace(last.fidelity, seed=1))
    assert (
        summarize(run, replace(record, trials=(*record.trials, again))).other_expected == summary.other_expected
    )
    longer = replace(again, fidelity=Fidelity(99))
    assert summarize(run, replace(record, trials=(*record.trials, longer))).other_expected == ()
    assert summary.notices == ()


def test_against_a_run_on_other_data(make_run: MakeRun) -> None:
    other = make_run("other", meta={"data": {"fingerprint": "f" * 16}}, config={"reward": "balanced-accuracy"})
    notices = summarize(make_run(), other).notices
    assert len(notices) == 2
    assert "other data" in notices[0]
    assert "balanced validation accuracy" in notices[1]


def test_a_status_line_needs_no_matplotlib() -> None:
    probe = "import sys, gcnas.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_deterministic(make_run: MakeRun) -> None:
    run: Path = make_run()
    assert summarize(run) == summarize(run)


# --- several amounts of training


def climbed(trials: list[Trial]) -> list[Trial]:
    """The first two of three go on, the second from its checkpoint."""
    further = []
    for number, (trial, score, trained) in enumerate(
        [(trials[0], 0.55, 24.0), (trials[1], 0.6, 18.0)], start=len(trials) + 1
    ):
        fidelity = Fidelity(24, trial.fidelity.seed)
        assert trial.evaluation is not None
        evaluation = replace(
            trial.evaluation, score=score, fidelity=fidelity, metrics={"trained_epochs": trained}
        )
        further.append(
            replace(trial, number=number, fidelity=fidelity, evaluation=evaluation, continues=trial.number)
        )
    return [*trials, *further]


def test_scores_after_the_most_training_are_compared(make_run: MakeRun) -> None:
    run = read_run(make_run(trials=3, outcome=scores(0.5, 0.4, 0.9)))
    record = replace(
        run, trials=tuple(climbed(list(run.trials))), delivered=None, meta={"amounts": {"epochs": 24}}
    )
    summary = summarize(record)
    assert summary.best is not None
    assert (summary.best.number, summary.best.score) == (5, 0.6)
    assert summary.curve == ((1, 0.5), (3, 0.9), (4, 0.55), (5, 0.6))
    assert (summary.architectures, summary.anew) == (3, 1)
    assert summary.full_trainings == pytest.approx((3 * 8 + 24 + 18) / 24)
    failed = read_run(make_run("failed", trials=3, outcome=scores(0.5, ("crash", "x"), 0.9)))
    assert summarize(replace(failed, meta={"amounts": {"epochs": 24}})).full_trainings == 2 * 8 / 24
    assert summary.effort == "3 networks looked at, for 2.8 full trainings of a candidate"
