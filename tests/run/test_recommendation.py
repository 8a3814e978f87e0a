import numpy as np
import pytest

from gcnas.errors import LimitsTooTightError, SearchFailedError
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
from gcnas.run.recommendation import images_behind, margin, nothing_within, recommend
from gcnas.run.trial import Trial

IMAGES = 1_000


def trial(
    number: int,
    score: float | None,
    source: str = "random",
    parameters: int = 100,
    *,
    network: int | None = None,
    epochs: int = 1,
    seed: int = 0,
) -> Trial:
    layer = Layer("conv2d", (("filters", network or number),), (0,))
    proposal = Proposal(Architecture((layer,)), Trajectory((), ()), source)
    state = EvaluationState.FAILED if score is None else EvaluationState.COMPLETE
    fidelity = Fidelity(epochs, seed)
    evaluation = Evaluation(proposal, state, score, fidelity)
    return Trial(number, proposal, Cost(parameters), fidelity, evaluation)


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


def lasting(*trials: Trial, network: int, images: int = IMAGES) -> int | None:
    best = recommend(trials, Limits(), images, [trial(network, 0.0).proposal.fingerprint])
    return None if best is None else best.number


@pytest.mark.parametrize(("score", "expected"), [(0.85, 1), (0.79, 1), (0.729, 1), (0.728, 2), (0.6, 2)])
def test_a_design_that_lasts_stands_within_four_standard_errors_of_the_best(
    score: float, expected: int
) -> None:
    # 4 * sqrt(2 * 0.8 * 0.2 / 1000) = 0.0716
    designs = (trial(1, score, "reference"), trial(2, 0.8, "reference"))
    assert lasting(*designs, network=1) == expected
    assert chosen(*designs) == (1 if score > 0.8 else 2)
    assert lasting(*designs, network=9) == chosen(*designs)  # not among the trials


def test_a_design_that_lasts_gives_way_to_a_network_that_is_far_ahead() -> None:
    # 4 * sqrt(2 * 0.86 * 0.14 / 1000) = 0.0621
    designs = (trial(1, 0.79, "reference"), trial(2, 0.8, "reference"))
    assert lasting(*designs, trial(3, 0.86), network=1) == 3
    assert lasting(*designs, trial(3, 0.85), network=1) == 1
    assert chosen(*designs, trial(3, 0.85)) == 3


def test_a_design_that_lasts_need_not_be_trained_again() -> None:
    designs = (trial(1, 0.79, "reference"), trial(2, 0.8, "reference"), trial(3, 0.81))
    again = (trial(4, 0.8, "reference", network=2, seed=5), trial(5, 0.78, network=3, seed=5))
    assert chosen(*designs, *again) == 2
    assert lasting(*designs, *again, network=1) == 1
    searched = (trial(2, 0.8), trial(3, 0.8))  # no design among those trained again
    assert lasting(designs[0], *searched, *again, network=1) == 1
    failed = trial(1, None, "reference")
    assert lasting(failed, *designs[1:], *again, network=1) == 2


def test_limits_are_looked_at_again() -> None:
    large = trial(1, 0.9, "reference", parameters=1_000)
    assert chosen(large, trial(2, 0.7, parameters=10), limits=Limits(parameters=500)) == 2


# --- several amounts of training


def test_only_the_most_training_that_enough_networks_got_decides() -> None:
    short = [trial(1, 0.99), trial(2, 0.6, "reference")]
    middle = [trial(3, 0.7, "reference", network=2, epochs=3), trial(4, 0.8, epochs=3)]
    assert chosen(*short) == 1
    assert chosen(*short, *middle) == 4
    # One network alone at the full training has nothing to be compared with.
    full = [trial(5, 0.75, "reference", network=2, epochs=9)]
    assert chosen(*short, *middle, *full) == 4
    assert chosen(*short, *middle, *full, trial(6, 0.74, network=4, epochs=9)) == 5


def test_repeated_networks_are_compared_by_their_means() -> None:
    lucky, steady = trial(1, 0.95, network=1), trial(2, 0.94, network=2)
    third = trial(3, 0.93, network=3)
    again = [trial(4, 0.85, network=1, seed=5), trial(5, 0.93, network=2, seed=5)]
    assert chosen(lucky, steady, third) == 1
    assert chosen(lucky, steady, third, *again) == 2  # 0.935 beats 0.90; the third was not repeated


@pytest.mark.parametrize(("score", "expected"), [(0.805, 1), (0.817, 1), (0.819, 2)])
def test_a_design_that_was_not_trained_again_is_to_be_beaten_as_well(score: float, expected: int) -> None:
    """Its repeat may have failed, or there was no time for it."""
    design, best, other = trial(1, 0.8, "reference"), trial(2, score), trial(3, 0.8)
    again = (trial(4, score, network=2, seed=5), trial(5, 0.79, network=3, seed=5))
    assert chosen(design, best, other, *again) == expected
    assert chosen(design, best, other, *again, trial(6, None, "reference", network=1, seed=5)) == expected


def test_one_network_that_was_trained_again_is_not_held_against_others_by_its_mean() -> None:
    """As after a repeat that failed, or an interrupt: the other score is as lucky as the first one was."""
    trials = (trial(1, 0.95), trial(2, 0.94), trial(3, 0.85, network=1, seed=5))
    assert chosen(*trials) == 1
    assert chosen(*trials, trial(4, 0.93, network=2, seed=5)) == 2
    design = (trial(5, 0.9, "reference"), trial(6, 0.8, network=5, seed=5))
    assert lasting(trial(2, 0.94), *design, network=5, images=300) == 5


def test_a_perfect_score_does_not_mean_that_nothing_can_be_wrong() -> None:
    designs = (trial(1, 299 / 300, "reference"), trial(2, 1.0))
    assert chosen(*designs, images=300) == 1
    assert margin(299 / 300, 300) > (2 * 299 / 300 / 300 / 300) ** 0.5
    assert lasting(trial(1, 295 / 300, "reference"), trial(2, 1.0), network=1, images=300) == 1
    assert chosen(trial(1, 0.97, "reference"), trial(2, 1.0), images=300) == 2


def test_rare_classes_make_a_mean_over_classes_uncertain() -> None:
    labels = [0] * 990 + [1] * 10
    assert images_behind(labels, "accuracy") == 1000
    assert images_behind(np.array(labels), "balanced-accuracy") == pytest.approx(4 / (1 / 990 + 1 / 10))
    assert images_behind([0] * 500 + [1] * 500, "balanced-accuracy") == pytest.approx(1000)


def test_repeats_do_not_hide_a_better_network() -> None:
    best, other, third = trial(1, 0.95, network=1), trial(2, 0.8, network=2), trial(3, 0.9, network=3)
    failed, again = trial(4, None, network=1, seed=5), trial(5, 0.81, network=2, seed=5)
    assert chosen(best, other, third, failed, again) == 1
    # Repeats of two that are not the best, which a limit may leave: the third was better than both.
    assert chosen(other, third, again, trial(6, 0.7, network=6), trial(7, 0.7, network=6, seed=5)) == 3


def test_why_nothing_is_within() -> None:
    trials = [trial(1, 0.9, parameters=1_000), trial(2, 0.7, parameters=500), trial(3, None, parameters=10)]
    error = nothing_within(trials, Limits(), Limits(parameters=100, multiply_adds=50))
    assert isinstance(error, LimitsTooTightError)
    assert "--max-params 100 (the least is 500, trial 2)" in str(error)
    assert "None of the 2 trained networks" in str(error)
    assert isinstance(nothing_within(trials[2:], Limits(), Limits(parameters=100)), SearchFailedError)


def test_why_nothing_is_within_limits_of_the_run_that_were_tightened() -> None:
    trials = [trial(1, 0.9, parameters=1_000), trial(2, 0.7, parameters=500), trial(3, None, parameters=10)]
    error = nothing_within(trials, Limits(parameters=50), Limits())
    assert isinstance(error, LimitsTooTightError)
    assert "None of the 2 trained networks of this run is within its limits --max-params 50" in str(error)
    assert "(the least is 500, trial 2). Allow more: gcnas resume RUN" in str(error)


def test_soft_rewards_above_one_are_compared() -> None:
    assert chosen(trial(1, 1.02, "reference"), trial(2, 1.03)) == 2
