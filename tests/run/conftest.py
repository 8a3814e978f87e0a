"""Trials to write."""

from collections.abc import Callable

import pytest
from tests.run.toy import TOY

from gcnas.records import Architecture, Evaluation, EvaluationState, Fidelity, Proposal
from gcnas.run.trial import Trial
from gcnas.strategy import RandomStrategy

MakeTrial = Callable[..., Trial]


@pytest.fixture(scope="session")
def proposals() -> list[Proposal]:
    """Distinct proposals of the toy space."""
    found: dict[Architecture, Proposal] = {}
    for proposal in RandomStrategy(TOY, 0).ask(200):
        found.setdefault(proposal.architecture, proposal)
    return list(found.values())


@pytest.fixture
def make_trial(proposals: list[Proposal]) -> MakeTrial:
    """Makes the trial of a number: pending, or with a score or an error."""

    def make(number: int, score: float | None = None, error: str | None = None) -> Trial:
        proposal, fidelity, evaluation = proposals[number - 1], Fidelity(3, 2**31 - 1), None
        if score is not None:
            evaluation = Evaluation(
                proposal, EvaluationState.COMPLETE, score, fidelity, {"loss": 0.1 + 0.2}, seconds=1.5
            )
        elif error is not None:
            evaluation = Evaluation(
                proposal,
                EvaluationState.FAILED,
                fidelity=fidelity,
                error_kind="crash",
                error=error,
                seconds=0.5,
            )
        elapsed = None if evaluation is None else 10.0 * number
        return Trial(number, proposal, TOY.cost(proposal.architecture), fidelity, evaluation, elapsed=elapsed)

    return make
