from collections import Counter

import numpy as np
from scipy.stats import norm
from tests.strategy.spaces import CELL, DEEP, complete

from gcnas.records import Evaluation, EvaluationState, Limits, Proposal
from gcnas.space import InputShape, SequenceSpace, token
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy
from gcnas.strategy.ceim import CEIMSettings, CEIMStrategy

SMALL = CEIMSettings(population=6, damping=0.2)


def ones(proposal: Proposal) -> float:
    """The share of one type among the layers."""
    types = [action.type for action in proposal.trajectory.actions[:-1]]
    return types.count(1) / len(types)


def search(strategy: CEIMStrategy, n: int) -> list[Proposal]:
    asked = []
    for _ in range(n):
        (proposal,) = strategy.ask(1)
        strategy.tell([complete(proposal, ones(proposal))])
        asked.append(proposal)
    return asked


def test_it_finds_the_optimum_faster_than_random_search() -> None:
    settings = CEIMSettings(population=20)
    found = [max(map(ones, search(CEIMStrategy(CELL, s, settings), 150))) == 1.0 for s in range(5)]
    assert sum(found) >= 3
    assert all(max(map(ones, RandomStrategy(CELL, seed).ask(150))) < 1.0 for seed in range(5))


def test_the_first_networks_have_every_type_and_many_depths() -> None:
    asked = CEIMStrategy(DEEP, 0, CEIMSettings(population=400)).ask(300)
    first = Counter(proposal.trajectory.actions[0].type for proposal in asked)
    expected = 300 / len(DEEP.layer_types)
    assert all(abs(count - expected) < 4 * expected**0.5 for count in first.values())
    assert len(first) == len(DEEP.layer_types)
    assert len({len(proposal.trajectory.actions) for proposal in asked}) > 3


def test_it_moves_to_the_better_half_weighted_by_rank() -> None:
    strategy = CEIMStrategy(DEEP, 0, SMALL)
    proposals = strategy.ask(6)
    points = dict(
        zip(strategy.state_dict().values["pending"], strategy.state_dict().tensors["pending"], strict=True)
    )
    strategy.tell([complete(proposal, float(score)) for score, proposal in enumerate(proposals)])
    best = [points[proposal.fingerprint] for proposal in reversed(proposals[3:])]
    shares = [np.log(4 / rank) for rank in (1, 2, 3)]
    mean = np.average(best, axis=0, weights=shares)
    variance = np.average(np.square(best), axis=0, weights=shares) + 0.2  # around the old mean, 0
    tensors = strategy.state_dict().tensors
    np.testing.assert_allclose(tensors["mean"], mean)
    np.testing.assert_allclose(tensors["variance"], variance)


def test_earlier_points_are_kept_as_often_as_the_densities_say() -> None:
    """A point stays with probability min(1, new density / old density)."""
    space = SequenceSpace("one", (token("a"), token("b")), min_depth=1, max_depth=1, window=1)
    strategy, generator = CEIMStrategy(space, 0, CEIMSettings(population=2_000)), np.random.default_rng(0)
    points = generator.standard_normal((1_999, 3))
    strategy._points, strategy._scores = list(points), [float(point[0]) for point in points]
    strategy._join(np.zeros(3), 0.0)
    tensors = strategy.state_dict().tensors
    new = norm.logpdf(points, tensors["mean"], np.sqrt(tensors["variance"])).sum(1)
    expected = np.minimum(1, np.exp(new - norm.logpdf(points).sum(1))).sum()
    assert 0.1 < expected / 2_000 < 0.9
    assert abs(len(tensors["points"]) - expected) < 4 * (2_000 / 4) ** 0.5
    drawn = np.array([strategy._draw() for _ in range(1_000)])
    # The new ones come from where there are too few: further out than the new mean.
    assert drawn.mean(0)[0] > tensors["mean"][0]


def test_nothing_is_proposed_twice() -> None:
    asked = search(CEIMStrategy(CELL, 0, CEIMSettings(population=20)), 200)
    assert len({proposal.fingerprint for proposal in asked}) == 200


def test_a_small_space_is_searched_to_its_end() -> None:
    space = SequenceSpace("short", (token("a"), token("b"), token("c")), min_depth=2, max_depth=2, window=1)
    strategy = CEIMStrategy(space, 0, SMALL)
    assert len({proposal.fingerprint for proposal in search(strategy, 9)}) == 9
    assert strategy.ask(1) == []


def test_failures_alone_move_nothing() -> None:
    strategy = CEIMStrategy(DEEP, 0, SMALL)
    for state in (EvaluationState.FAILED, EvaluationState.INFEASIBLE):
        strategy.tell([Evaluation(proposal, state, error="made up") for proposal in strategy.ask(10)])
    tensors = strategy.state_dict().tensors
    assert not tensors["mean"].any()
    assert (tensors["variance"] == 1).all()


def test_networks_keep_the_limits() -> None:
    space = CNN.fit(InputShape(1, 12, 12, 5), Limits(parameters=20_000))
    asked = CEIMStrategy(space, 0).ask(50)
    within = [space.violation(proposal.architecture) is None for proposal in asked]
    assert sum(within) >= 45
