import numpy as np
import pytest

from gcnas.strategy.acquisition import (
    beliefs,
    expected_improvement,
    expected_mean,
    mixed_improvement,
    thompson,
)
from gcnas.strategy.learned_kernel import Belief


def test_expected_improvement_is_the_mean_of_the_gain() -> None:
    belief = Belief(np.array([0.0, 1.0, -2.0]), np.array([1.0, 0.5, 2.0]))
    draws = belief.mean + belief.deviation * np.random.default_rng(0).standard_normal((400_000, 3))
    expected = np.maximum(draws - 0.7, 0).mean(0)
    assert expected_improvement(belief, 0.7) == pytest.approx(expected, abs=5e-3)


def test_nothing_is_expected_where_all_is_known_to_be_worse() -> None:
    belief = Belief(np.array([-1.0]), np.array([0.0]))
    assert expected_improvement(belief, 0.0) == pytest.approx(0.0, abs=1e-12)


def test_improvement_of_a_mixture_is_the_mean_of_its_gains() -> None:
    members = np.array([[0.0, 1.0], [2.0, 1.2]])
    process = Belief(np.array([3.0, 1.0]), np.array([0.5, 2.0]))
    random = np.random.default_rng(0)
    left = members.mean(0) + members.std(0) * random.standard_normal((400_000, 2))
    right = process.mean + process.deviation * random.standard_normal((400_000, 2))
    draws = np.concatenate([left, right])
    models = beliefs(members, process)
    assert expected_mean(models) == pytest.approx(draws.mean(0), abs=0.01)
    gains = np.maximum(draws - 1.5, 0).mean(0)
    assert mixed_improvement(models, 1.5) == pytest.approx(gains, abs=0.01)


def test_either_kind_of_model_may_be_missing() -> None:
    process = Belief(np.array([1.0]), np.array([0.5]))
    assert beliefs(np.zeros((0, 1)), process) == [process]
    assert [belief.mean.tolist() for belief in beliefs(np.array([[1.0], [3.0]]), None)] == [[2.0]]


def test_thompson_takes_members_and_the_process_equally_often() -> None:
    members = np.array([[1.0], [2.0], [3.0]])
    process = Belief(np.array([10.0]), np.array([0.001]))
    random = np.random.default_rng(0)
    draws = np.array([thompson(members, process, random)[0] for _ in range(4_000)])
    shares = [(abs(draws - value) < 0.1).mean() for value in (1, 2, 3, 10)]
    assert shares == pytest.approx([0.25] * 4, abs=0.03)
