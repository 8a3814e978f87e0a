from dataclasses import replace

import pytest

from gcnas.records import Cost, Evaluation, EvaluationState, Fidelity, Limits, Proposal
from gcnas.records.evaluation import SIGNAL_SECONDS
from gcnas.run.recommendation import REFERENCE
from gcnas.run.repeats import Repeats
from gcnas.run.trial import Event, Trial

FULL, AGAIN = Fidelity(9, 7), Fidelity(9, 8)


def trial(
    number: int, proposal: Proposal, score: float, fidelity: Fidelity = FULL, source: str = "random"
) -> Trial:
    proposal = Proposal(proposal.architecture, proposal.trajectory, source)
    evaluation = Evaluation(
        proposal, EvaluationState.COMPLETE, score, fidelity, {"trained_epochs": 6.0}, seconds=6.0
    )
    return Trial(number, proposal, Cost(number), fidelity, evaluation)


@pytest.fixture
def trials(proposals: list[Proposal]) -> list[Trial]:
    scores = [0.9, 0.95, 0.93, 0.94]
    full = [trial(number, proposals[number], score) for number, score in enumerate(scores, start=1)]
    return [*full, trial(5, proposals[5], 0.8, source=REFERENCE), trial(6, proposals[6], 0.99, Fidelity(3, 7))]


def repeats(
    known: list[Trial], limits: Limits | None = None, budget: int | None = 100, seconds: float | None = None
) -> Repeats:
    found = Repeats(FULL, AGAIN.seed, limits or Limits(), budget, seconds)
    for trial in known:
        found.note(replace(trial, evaluation=None))
        found.note(trial)
    return found


def numbers(found: list[Proposal], trials: list[Trial]) -> list[int]:
    assert {proposal.fidelity for proposal in found} <= {AGAIN}
    return [next(t.number for t in trials if t.proposal.fingerprint == p.fingerprint) for p in found]


def test_best_and_best_design_by_people_come_first(trials: list[Trial]) -> None:
    assert numbers(repeats(trials).left(), trials) == [2, 5, 4]
    assert numbers(repeats(trials, Limits(parameters=3)).left(), trials) == [2, 3, 1]


@pytest.mark.parametrize(("budget", "count"), [(19, 0), (20, 2), (29, 2), (30, 3), (1_000, 3), (None, 3)])
def test_share_of_the_trials(trials: list[Trial], budget: int | None, count: int) -> None:
    assert len(repeats(trials, budget=budget).left()) == count


@pytest.mark.parametrize(("seconds", "count"), [(80, 0), (90, 2), (130, 2), (136, 3)])
def test_share_of_the_time(trials: list[Trial], seconds: float, count: int) -> None:
    """A full training takes nine seconds, and a fifth of the time is for repeats."""
    found = repeats(trials, budget=None, seconds=seconds)
    assert len(found.left()) == count
    assert found.seconds() == 9.0 * count
    assert found.seconds(2) == {0: 0.0, 2: 9.0, 3: 18.0}[count]
    assert found.left(8.9) == []


def test_others_are_not_trained_again_where_there_is_no_time_for_the_best(trials: list[Trial]) -> None:
    """Nothing could be decided by them."""
    best = trials[1]
    assert best.evaluation is not None
    slow = [*trials[:1], replace(best, evaluation=replace(best.evaluation, seconds=60.0)), *trials[2:]]
    assert repeats(slow, budget=None, seconds=200).left() == []
    assert len(repeats(slow, budget=None, seconds=600).left()) == 3
    assert repeats(slow, budget=None, seconds=600).left(50.0) == []
    known = repeats(trials, budget=None)
    assert known.left(17.9) == []  # two in turn take 18 seconds
    assert len(known.left(18.0)) == 3
    assert len(known.left(9.0, places=2)) == 3
    assert known.left(trials=1) == []
    assert len(known.left(trials=2)) == 3
    first = trial(7, trials[1].proposal, 0.5, AGAIN)
    known.note(first)
    assert len(known.left(9.0)) == 2
    assert len(known.left(trials=1)) == 2


def test_a_repeat_of_the_best_that_failed_is_the_last_one(trials: list[Trial]) -> None:
    known = repeats(trials)
    made = trial(7, trials[1].proposal, 0.5, AGAIN)
    assert made.evaluation is not None
    known.note(replace(made, evaluation=None))
    assert len(known.left()) == 2
    known.note(replace(made, evaluation=replace(made.evaluation, state=EvaluationState.FAILED, score=None)))
    assert known.left() == []
    assert known.seconds() == 0.0


def test_a_slow_design_does_not_stand_in_the_way(trials: list[Trial]) -> None:
    design = trials[4]
    assert design.evaluation is not None
    slow = [*trials[:4], replace(design, evaluation=replace(design.evaluation, seconds=20.0))]
    assert numbers(repeats(slow, budget=None).left(18.0), trials) == [2, 4]


def test_others_wait_for_a_new_best_one(trials: list[Trial]) -> None:
    best = trials[1]
    assert best.evaluation is not None
    known = repeats([*trials[:1], *trials[2:]], budget=None)
    for repeat in (trial(7, trials[3].proposal, 0.5, AGAIN), trial(8, trials[4].proposal, 0.5, AGAIN)):
        known.note(repeat)
    known.note(replace(best, evaluation=replace(best.evaluation, seconds=60.0)))
    assert known.left(50.0) == []


def test_signals_are_not_measured_again(trials: list[Trial]) -> None:
    slow = [
        replace(t, evaluation=replace(e, seconds=106.0, metrics={**e.metrics, SIGNAL_SECONDS: 100.0}))
        for t in trials
        if (e := t.evaluation) is not None
    ]
    assert repeats(slow, budget=None, seconds=136).seconds() == 9.0 * 3


def test_repeats_that_were_made_are_not_made_again(trials: list[Trial]) -> None:
    first = trial(7, trials[1].proposal, 0.5, AGAIN)
    assert repeats([]).is_repeat(first)
    assert not repeats([]).is_repeat(trials[1])
    known = repeats(trials)
    assert numbers(known.left(), trials) == [2, 5, 4]
    known.note(replace(first, evaluation=None))  # it is under way
    assert numbers(known.left(), trials) == [5, 4]


def test_a_better_network_takes_the_place_of_another(trials: list[Trial]) -> None:
    known = repeats(trials[:3])
    assert numbers(known.left(), trials) == [2, 3, 1]
    for later in trials[3:]:
        known.note(later)
    assert numbers(known.left(), trials) == [2, 5, 4]


def test_one_network_alone_is_not_repeated(trials: list[Trial]) -> None:
    assert repeats(trials[:1]).left() == []


def test_a_run_that_stopped_at_its_repeats_is_at_them_until_it_may_search_on(trials: list[Trial]) -> None:
    found = repeats(trials)
    finished = [replace(trial, elapsed=10.0 * trial.number) for trial in trials]
    again = replace(trials[1], number=7, fidelity=AGAIN, elapsed=None)
    resumed, raised = (Event(65.0, "resumed", change) for change in ("workers=2", "budget=200"))
    assert not found.under_way([], [])
    assert not found.under_way(finished, [])
    assert found.under_way([*finished, again], [resumed])
    assert not found.under_way([*finished, again], [resumed, raised])
    for change in ("max_latency=2.0", "workers=2, candidate_seconds=60.0", "final_share=0.3"):
        assert not found.under_way([*finished, again], [Event(65.0, "resumed", change)])
    # It was raised before.
    assert found.under_way([*finished, again, replace(again, number=8, elapsed=80.0)], [raised])
