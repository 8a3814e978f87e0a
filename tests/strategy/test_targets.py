import numpy as np
import pytest
from scipy.stats import norm

from gcnas.strategy.targets import normal_scores, normal_scores_by_group


def test_normal_scores_are_quantiles_of_the_ranks() -> None:
    scores = np.array([0.9, 0.1, 0.5, 0.7])
    assert normal_scores(scores) == pytest.approx(norm.ppf([7 / 8, 1 / 8, 3 / 8, 5 / 8]))


def test_equal_scores_have_equal_targets() -> None:
    targets = normal_scores(np.array([1.0, 2.0, 2.0, 3.0]))
    assert targets[1] == targets[2] == pytest.approx(0.0)
    assert targets[0] == pytest.approx(-targets[3])


def test_only_the_order_counts() -> None:
    scores = np.random.default_rng(0).normal(size=20)
    assert (normal_scores(scores) == normal_scores(np.exp(scores))).all()


def test_groups_do_not_see_each_other() -> None:
    scores, groups = np.array([0.2, 0.8, 0.9, 0.7]), np.array([1, 9, 9, 1])
    targets = normal_scores_by_group(scores, groups)
    assert targets == pytest.approx(norm.ppf([0.25, 0.25, 0.75, 0.75]))
