"""What the driver remembers of finished trials, held against looking through all of them."""

from dataclasses import replace
from statistics import median

import numpy as np
import pytest

from gcnas.records import Cost, Evaluation, EvaluationState, Fidelity, Limits, Proposal
from gcnas.run.duration import RunningMedian
from gcnas.run.history import History
from gcnas.run.trial import Trial, best_trial

RUNGS = [Fidelity(epochs, 7) for epochs in (1, 3, 9)]
LIMITS = Limits(parameters=80)


@pytest.fixture
def trials(proposals: list[Proposal]) -> list[Trial]:
    """Networks on three rungs, the lowest not first; some fail, some are too large, some scores are equal."""
    random = np.random.default_rng(0)
    found = []
    for number in range(1, 61):
        rung = int(random.integers(1, 3)) if number < 5 else int(random.integers(3))
        proposal, fidelity = proposals[int(random.integers(len(proposals)))], RUNGS[rung]
        failed = random.random() < 0.2
        evaluation = Evaluation(
            proposal,
            EvaluationState.FAILED if failed else EvaluationState.COMPLETE,
            None if failed else float(random.integers(5)),
            fidelity,
            seconds=float(random.random()),
        )
        found.append(Trial(number, proposal, Cost(int(random.integers(100))), fidelity, evaluation))
    return found


def test_figures_are_those_of_all_trials(trials: list[Trial]) -> None:
    history = History(LIMITS, trials[:10])
    for count, trial in enumerate(trials[10:], start=11):
        history.add(trial)
        known = trials[:count]
        assert history.best is best_trial(known, LIMITS)
        assert (history.count, history.complete) == (count, sum(t.complete for t in known))
        assert history.first_failure is next((t.evaluation for t in known if not t.complete), None)
        least = min(t.fidelity.epochs for t in known)
        seconds = [t.evaluation.seconds for t in known if t.evaluation and t.fidelity.epochs == least]
        assert history.usual_seconds() == pytest.approx(median(seconds))


def test_longest_shorter_training_is_found(trials: list[Trial], proposals: list[Proposal]) -> None:
    history = History(LIMITS, trials)
    for proposal in proposals:
        assert history.shorter(proposal) is None  # it asks for no training of its own
        for wanted in [*RUNGS, Fidelity(9, 8)]:
            shorter = [
                t
                for t in trials
                if t.complete
                and t.proposal.fingerprint == proposal.fingerprint
                and t.fidelity.seed == wanted.seed
                and t.fidelity.epochs < wanted.epochs
            ]
            found = history.shorter(replace(proposal, fidelity=wanted))
            if not shorter:
                assert found is None
            else:
                most = max(t.fidelity.epochs for t in shorter)
                assert found in {t.number for t in shorter if t.fidelity.epochs == most}


def test_running_median() -> None:
    numbers, random = RunningMedian(), np.random.default_rng(0)
    assert numbers.value == 0.0
    seen: list[float] = []
    for value in random.random(50).tolist():
        seen.append(value)
        numbers.add(value)
        assert numbers.value == median(seen)
