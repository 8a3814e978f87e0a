import numpy as np
import pytest
from tests.bench.made import make_run

from gcnas.bench.curves import censored_median, group_runs, interval, mean_interval
from gcnas.errors import DataError

INF = np.inf


def test_a_run_that_ended_early_keeps_its_last_value() -> None:
    (group,) = group_runs([make_run([5, 7, 6, 9]), make_run([5, 4], seed=1), make_run([8] * 10, seed=2)])
    assert group.regret.tolist() == [
        [4, 2, 2, 0, 0, 0, 0, 0, 0, 0],
        [4, 4, 4, 4, 4, 4, 4, 4, 4, 4],
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    ]
    assert group.queries.tolist() == [4, INF, INF]
    assert group.censored.tolist() == [4, 11, 11]
    assert group.auc.tolist() == [0.8, 4, 1]
    assert group.exhausted == pytest.approx(1 / 3)


def test_an_optimum_that_was_read_back_is_the_same_to_nine_digits() -> None:
    """A raw.csv has regrets of ten digits, so that an optimum read from it differs in the last ones."""
    third = 1 / 3
    (group,) = group_runs([make_run([0.1, third], optimum=round(third, 10) + 1e-10)])
    assert (group.exhausted, group.queries.tolist()) == (0, [2])


def test_the_test_score_is_that_of_the_first_best_validation() -> None:
    (group,) = group_runs([make_run([5, 7, 7, 6], tests=[99, 10, 50, 98])])
    assert group.tests.tolist() == [10]


def test_seeds_are_sorted_and_groups_kept_apart() -> None:
    runs = [make_run([1], seed=2), make_run([2], strategy="b"), make_run([3], seed=1), make_run([4], space="t")]
    groups = group_runs(runs)
    assert [(g.space, g.strategy, g.seeds) for g in groups] == [
        ("s", "a", (1, 2)),
        ("s", "b", (0,)),
        ("t", "a", (0,)),
    ]
    assert groups[0].regret[:, 0].tolist() == [6, 8]


def test_runs_that_cannot_be_compared() -> None:
    for other in (make_run([1], strategy="b", budget=11), make_run([1], strategy="b", optimum=9.5)):
        with pytest.raises(DataError, match="compared"):
            group_runs([make_run([1]), other])


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([3, 1, 2], 2),
        ([4, 1, 2, 3], 2.5),
        ([INF, 1, 2], 2),
        ([INF, INF, 1], INF),
        ([INF, INF, 1, 2], 2),
        ([INF, INF, INF, 2], INF),
        ([INF], INF),
        ([7], 7),
    ],
)
def test_the_median_of_censored_values(values: list[float], median: float) -> None:
    assert censored_median(np.array(values, dtype=float)) == median


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    samples = generator.exponential(2.0, (400, 60))
    ends = [mean_interval(sample) for sample in samples]
    covered = np.mean([low <= 2.0 <= high for low, high in ends])
    assert 0.89 <= covered <= 0.98
    assert mean_interval(samples[0]) == mean_interval(samples[0])


def test_intervals_of_curves_are_those_of_their_points() -> None:
    values = np.random.default_rng(2).normal(size=(20, 3))
    low, high = mean_interval(values)
    for column in range(3):
        assert (low[column], high[column]) == pytest.approx(mean_interval(values[:, column]))


def test_the_interval_of_a_median() -> None:
    values = np.random.default_rng(3).normal(10, 1, 200)
    low, high = interval(values, censored_median)
    assert low < np.median(values) < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(np.pi / 2) / np.sqrt(200), rel=0.4)
    assert interval(np.array([1.0, INF, INF, INF]), censored_median)[1] == INF


def test_intervals_of_many_queries_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(7, 10))
    whole = mean_interval(values)
    monkeypatch.setattr("gcnas.bench.curves.AT_ONCE", 3)
    np.testing.assert_allclose(mean_interval(values), whole, rtol=1e-12)
