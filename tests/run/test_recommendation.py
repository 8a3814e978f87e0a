import pytest

from gcnas.records import (
    Architecture,
    Cost,
    Evaluation,
    EvaluationState,
    Fidelity,
    Limits,
    Proposal,
    Trajectory,
)
from gcnas.run.recommendation import recommend
from gcnas.run.trial import Trial

IMAGES = 1_000


def trial(number: int, score: float | None, source: str = "random", parameters: int = 100) -> Trial:
    proposal = Proposal(Architecture(()), Trajectory((), ()), source)
    state = EvaluationState.FAILED if score is None else EvaluationState.COMPLETE
    evaluation = Evaluation(proposal, state, score, Fidelity(1))
    return Trial(number, proposal, Cost(parameters), Fidelity(1), evaluation)


def chosen(*trials: Trial, limits: Limits | None = None, images: int = IMAGES) -> int | None:
    best = recommend(trials, limits or Limits(), images)
    return None if best is None else best.number


def test_without_references_the_best_score_wins() -> None:
    assert chosen(trial(1, 0.7), trial(2, 0.8), trial(3, 0.75)) == 2
    assert chosen(trial(1, 0.8), trial(2, 0.8)) == 1


def test_nothing_to_recommend() -> None:
    assert chosen() is None
    assert chosen(trial(1, None), trial(2, None, "reference")) is None


@pytest.mark.parametrize(("score", "expected"), [(0.79, 1), (0.80, 1), (0.817, 1), (0.819, 2), (0.95, 2)])
def test_a_reference_stands_within_one_standard_error(score: float, expected: int) -> None:
    # sqrt(2 * 0.8 * 0.2 / 1000) = 0.0179
    assert chosen(trial(1, 0.8, "reference"), trial(2, score)) == expected


def test_more_images_make_smaller_differences_count() -> None:
    pair = (trial(1, 0.8, "reference"), trial(2, 0.81))
    assert chosen(*pair, images=1_000) == 1
    assert chosen(*pair, images=10_000) == 2


def test_a_perfect_reference_cannot_be_beaten() -> None:
    assert chosen(trial(1, 1.0, "reference"), trial(2, 1.0)) == 1


def test_limits_are_looked_at_again() -> None:
    large = trial(1, 0.9, "reference", parameters=1_000)
    assert chosen(large, trial(2, 0.7, parameters=10), limits=Limits(parameters=500)) == 2
