from dataclasses import FrozenInstanceError, fields

import pytest

from gcnas.records import (
    STOP,
    Architecture,
    Evaluation,
    EvaluationState,
    Fidelity,
    LayerAction,
    LayerMask,
    Proposal,
    Trajectory,
)

PROPOSAL = Proposal(
    Architecture(()), Trajectory((LayerAction(STOP),), (LayerMask((False, True)),)), source="random"
)


@pytest.mark.parametrize(
    "record", [PROPOSAL, Fidelity(3), Evaluation(PROPOSAL, EvaluationState.COMPLETE, 0.5)], ids=str
)
def test_records_cannot_be_changed(record: object) -> None:
    for field in fields(record):  # type: ignore[arg-type]
        with pytest.raises(FrozenInstanceError):
            setattr(record, field.name, None)


def test_metrics_left_out_cannot_be_changed() -> None:
    evaluation = Evaluation(PROPOSAL, EvaluationState.COMPLETE)
    with pytest.raises(TypeError):
        evaluation.metrics["loss"] = 1.0  # type: ignore[index]


def test_the_fingerprint_of_a_proposal_is_that_of_its_architecture() -> None:
    """Who proposed it and by which decisions makes no other network of it."""
    other = Proposal(PROPOSAL.architecture, Trajectory((), ()), source="reference")
    assert other.fingerprint == PROPOSAL.fingerprint == PROPOSAL.architecture.fingerprint
    assert other != PROPOSAL


def test_states_are_their_names() -> None:
    """The ledger and trials.csv store them as text."""
    assert [str(state) for state in EvaluationState] == ["complete", "failed", "infeasible", "duplicate"]
    assert EvaluationState("failed") is EvaluationState.FAILED


def test_an_evaluation_has_no_score_unless_one_is_given() -> None:
    evaluation = Evaluation(PROPOSAL, EvaluationState.FAILED, error_kind="crash", error="boom")
    assert (evaluation.score, evaluation.fidelity, evaluation.seconds) == (None, None, 0.0)
