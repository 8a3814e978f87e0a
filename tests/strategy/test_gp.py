"""The Gaussian process with Hamming distances, against formulas written out."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from tests.strategy.spaces import CELL, complete
from tests.strategy.test_gcnas import cell_reward

from gcnas.records import Evaluation, EvaluationState, Limits, Proposal
from gcnas.space import InputShape
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy
from gcnas.strategy.gaussian_process import GaussianProcess
from gcnas.strategy.gp import GPStrategy
from gcnas.strategy.observations import Observations
from gcnas.strategy.targets import normal_scores
from gcnas.strategy.tokens import LISTED, Tokens, all_rows

TOKENS = Tokens(CELL)


def row(proposal: Proposal) -> np.ndarray:
    return TOKENS.encode(proposal.trajectory.actions)


def hamming(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.array([[float((a != b).sum()) for b in right] for a in left])


def failed(proposal: Proposal) -> Evaluation:
    return Evaluation(proposal, EvaluationState.FAILED, error_kind="crash", error="made up")


def test_regression_is_that_of_the_formulas() -> None:
    random = np.random.default_rng(0)
    points, others = random.normal(size=(9, 2)), random.normal(size=(5, 2))
    covariance = np.exp(-np.abs(points[:, None] - points[None]).sum(-1))
    cross = np.exp(-np.abs(others[:, None] - points[None]).sum(-1))
    targets, noise = random.normal(size=9), 0.1
    process = GaussianProcess(covariance, targets, noise)
    whole = covariance + noise * np.eye(9)
    inverse = np.linalg.inv(whole)
    scale = targets @ inverse @ targets / 9
    assert process.scale == pytest.approx(scale)
    assert process.log_likelihood == pytest.approx(
        multivariate_normal(np.zeros(9), scale * whole).logpdf(targets)
    )
    single = cross.astype(np.float32)
    assert process.mean(single) == pytest.approx(cross @ inverse @ targets, abs=1e-5)
    expected = np.sqrt(scale * (1 - np.einsum("ij,jk,ik->i", cross, inverse, cross)))
    assert process.deviation(single) == pytest.approx(expected, abs=1e-3)


def test_the_next_point_has_the_greatest_expected_improvement() -> None:
    """The second one too, with the first under way: its deviations are less, its means are as before."""
    strategy, told = GPStrategy(CELL, 0), RandomStrategy(CELL, 3).ask(14)
    scores = np.array([cell_reward(proposal.architecture) for proposal in told])
    strategy.tell([complete(proposal, float(score)) for proposal, score in zip(told, scores, strict=True)])
    picks = strategy.ask(2)
    everything = all_rows(TOKENS, LISTED)
    assert everything is not None
    seen, targets = np.array([row(proposal) for proposal in told]), normal_scores(scores)
    length, noise = strategy._length, strategy._noise
    known = np.exp(-hamming(seen, seen) / length) + noise * np.eye(len(seen))
    mean = np.exp(-hamming(everything, seen) / length) @ np.linalg.solve(known, targets)
    scale = targets @ np.linalg.solve(known, targets) / len(seen)
    open_to_all = ~(hamming(everything, seen) == 0).any(1)
    for number, pick in enumerate(picks):
        both = np.concatenate([seen, [row(each) for each in picks[:number]]]) if number else seen
        inside = np.exp(-hamming(both, both) / length) + noise * np.eye(len(both))
        cross = np.exp(-hamming(everything, both) / length)
        explained = np.einsum("ij,ji->i", cross, np.linalg.solve(inside, cross.T))
        deviation = np.sqrt(scale * np.maximum(1 - explained, 1e-9))
        z = (mean - targets.max()) / deviation
        improvement = np.where(open_to_all, deviation * (z * norm.cdf(z) + norm.pdf(z)), -np.inf)
        index = int(np.flatnonzero((everything == row(pick)).all(1))[0])
        assert improvement[index] == pytest.approx(improvement.max(), rel=1e-3)
        assert improvement[index] > np.median(improvement[open_to_all])
        open_to_all[index] = False


def test_what_failed_counts_as_the_worst() -> None:
    strategy, proposals = GPStrategy(CELL, 0), RandomStrategy(CELL, 3).ask(4)
    strategy.tell([failed(proposals[0]), complete(proposals[1], 0.8), failed(proposals[2])])
    strategy.tell([complete(proposals[3], 0.3)])
    assert strategy._observed.scores.tolist() == [0.3, 0.8, 0.3, 0.3]
    assert strategy._observed.best(1).tolist() == [row(proposals[1]).tolist()]
    other = GPStrategy(CELL, 1)
    other.load_state_dict(strategy.state_dict())
    (more,) = RandomStrategy(CELL, 4).ask(1)
    for each in (strategy, other):
        each.tell([complete(more, 0.1)])
        assert each._observed.scores.tolist() == [0.1, 0.8, 0.1, 0.3, 0.1]


def test_the_best_and_the_newest_are_kept() -> None:
    observed = Observations(1, 4)
    for score in (0.1, 0.9, 0.5, 0.7, 0.2, None, 0.3):
        observed.add(np.array([len(observed)], np.int16), score)
    assert observed.scores.tolist() == [0.9, 0.7, 0.3, 0.3]
    assert observed.rows.ravel().tolist() == [1, 3, 5, 6]
    assert observed.total == 7


def test_parents_are_within_limits_that_are_tighter_now() -> None:
    """A search of ever larger networks goes on, within tighter limits, from the best that keep to them."""
    free = CNN.fit(InputShape(1, 8, 8, 2))
    strategy = GPStrategy(free, 0)
    told = RandomStrategy(free, 1).ask(40)
    sizes = [free.cost(proposal.architecture).parameters for proposal in told]
    strategy.tell([complete(proposal, float(size)) for proposal, size in zip(told, sizes, strict=True)])
    ordered = sorted(sizes, reverse=True)
    for bound, expected in ((ordered[0], ordered), (ordered[20], ordered[20:]), (min(sizes) - 1, [])):
        resumed = GPStrategy(CNN.fit(free.fitted, Limits(parameters=bound)), 0)
        resumed.load_state_dict(strategy.state_dict())
        found = [resumed._novelty.propose(parent, "gp").architecture for parent in resumed._parents()]
        assert [free.cost(architecture).parameters for architecture in found] == expected


def test_what_is_set_aside_is_under_way_no_longer() -> None:
    strategy = GPStrategy(CELL, 0)
    asked = strategy.ask(3)
    strategy.set_aside(asked[:1])
    (row,) = {tuple(row) for row in strategy._row(asked[0]).reshape(1, -1).tolist()}
    left = {tuple(pending) for pending in strategy.state_dict().tensors["pending"].tolist()}
    assert len(left) == 2
    assert row not in left
