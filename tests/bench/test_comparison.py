import numpy as np
import pytest
from scipy import stats
from tests.bench.made import make_run

from gcnas.bench.comparison import compare, holm, wilcoxon
from gcnas.bench.curves import group_runs


def test_holm() -> None:
    # By hand: sorted .01 .02 .03 .2 times 4 3 2 1, then never falling.
    assert holm([0.03, 0.01, 0.2, 0.02]) == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_wilcoxon_counts_all_signs_of_few_differences() -> None:
    differences = np.array([1.0, 2.0, -3.0, 4.0, 5.5, 6.0])
    ranks = np.arange(1, 7)
    negative = 3
    sums = [sum(ranks[bits >> np.arange(6) & 1 == 1]) for bits in range(64)]
    expected = 2 * np.mean([total <= negative for total in sums])
    assert wilcoxon(differences) == pytest.approx(expected)
    assert wilcoxon(np.array([1.0] * 5 + [0.0] * 15)) == pytest.approx(2 / 2**5)
    assert wilcoxon(np.array([1.0] + [0.0] * 19)) == 1.0
    assert wilcoxon(np.zeros(9)) == 1.0
    assert wilcoxon(np.full(9, 1e-12)) == 1.0


def test_pairs_are_those_of_equal_seeds() -> None:
    generator = np.random.default_rng(0)
    runs = []
    for seed in range(12):
        better, worse = generator.uniform(6, 8), generator.uniform(2, 6)
        runs.append(make_run([better] * 10, strategy="good", seed=seed))
        runs.append(make_run([worse] * 10, strategy="bad", seed=11 - seed))
        runs.append(make_run([7.0, 9.0], strategy="best", seed=seed + 6))
    rows = {(row["metric"], row["strategy"], row["rival"]): row for row in compare(group_runs(runs))}
    assert len(rows) == 6
    row = rows["auc_regret", "good", "bad"]
    good, bad, _ = group_runs(runs)
    assert row["pairs"] == row["better"] == 12
    assert row["mean_difference"] == pytest.approx((good.auc - bad.auc).mean())
    assert row["p"] == pytest.approx(stats.wilcoxon(good.auc, bad.auc).pvalue)
    assert rows["auc_regret", "good", "best"]["pairs"] == 6
    # Neither found the optimum.
    assert (rows["queries", "good", "bad"]["equal"], rows["queries", "good", "bad"]["p"]) == (12, 1.0)
    assert rows["queries", "bad", "best"]["mean_difference"] == 9
    corrected = [
        rows["auc_regret", *pair]["p_holm"] for pair in (("good", "bad"), ("good", "best"), ("bad", "best"))
    ]
    raw = [rows["auc_regret", *pair]["p"] for pair in (("good", "bad"), ("good", "best"), ("bad", "best"))]
    assert corrected == pytest.approx(holm(raw))


def test_against_one_strategy_only_its_pairs_are_tested() -> None:
    runs = [
        make_run([seed] * 10, strategy=name, seed=seed, space=space)
        for name in "abc" for seed in range(5) for space in "st"
    ]  # fmt: skip
    rows = compare(group_runs(runs), "b")
    assert {(row["space"], row["strategy"], row["rival"]) for row in rows} == {
        (space, "b", rival) for space in "st" for rival in "ac"
    }


def test_strategies_without_a_common_seed_are_not_tested() -> None:
    assert compare(group_runs([make_run([1], seed=0), make_run([1], strategy="b", seed=1)])) == []
