from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.strategy.kit import cases_of_a_slow_strategy
from tests.strategy.spaces import CELL, DEEP, complete
from tests.strategy.test_gcnas import QUICK, cell_reward, search

from gcnas.errors import ConfigurationError
from gcnas.records import Architecture, Layer, Limits, Proposal
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy, create_strategy
from gcnas.strategy.experience import Experience
from gcnas.strategy.gcnas import GCNASStrategy
from gcnas.strategy.history import ELITES, FORGOTTEN, LEAST_KNOWN, History, PastRun
from gcnas.strategy.targets import normal_scores
from gcnas.strategy.tokens import Tokens
from gcnas.testing.strategy import NETWORKS, SEARCHED, StrategyTestCase

LARGE = CNN.fit(InputShape(3, 32, 32, 10), Limits(parameters=200_000))


def past(proposals: list[Proposal], scores: list[float], name: str = "past") -> PastRun:
    order = np.argsort(-np.array(scores), kind="stable").tolist()
    targets = normal_scores(np.array(scores))
    return PastRun(
        name, tuple(proposals[i].architecture for i in order), tuple(float(targets[i]) for i in order)
    )


def of_cells(sign: int = 1, seed: int = 100) -> PastRun:
    """What a search of the cells has seen, or the contrary."""
    proposals = search(GCNASStrategy(CELL, seed, QUICK), 30)
    return past(proposals, [sign * cell_reward(p.architecture) for p in proposals])


def made_up_past(space: SearchSpace) -> PastRun:
    proposals = RandomStrategy(space, 9).ask(12)
    return past(proposals, [float(p.architecture.depth) for p in proposals])


def experience(space: SearchSpace, proposals: list[Proposal], scores: list[float]) -> Experience:
    told = Experience(space, Tokens(space))
    for proposal, score in zip(proposals, scores, strict=True):
        told.add(complete(proposal, score))
    return told


def warm(space: SearchSpace, seed: int) -> GCNASStrategy:
    return GCNASStrategy(space, seed, QUICK, history=(made_up_past(space),))


@pytest.mark.parametrize(
    "space", [SEARCHED, pytest.param(NETWORKS, marks=pytest.mark.slow)], ids=lambda s: s.name
)
@pytest.mark.parametrize("case", cases_of_a_slow_strategy())
def test_the_conformance_kit(case: str, space: SearchSpace) -> None:
    class Case(StrategyTestCase):
        create = partial(warm)
        spaces = (space,)
        told = 12

    getattr(Case(), case)()


def test_layers_of_another_space_are_left_out() -> None:
    (inside,) = RandomStrategy(LARGE, 0).ask(1)
    outside = Architecture((Layer("other", (), (0,)),))
    deep = Architecture(
        tuple(Layer("max_pool", (("kernel_size", 2), ("merge", "add")), (i,)) for i in range(21))
    )
    run = PastRun("run", (outside, inside.architecture, deep, Architecture(())), (1.0, 0.5, -0.5, -1.0))
    assert run.within(CNN) == PastRun("run", (inside.architecture,), (0.5,))


def test_the_best_come_first_and_fit_the_new_limits() -> None:
    small = CNN.fit(InputShape(1, 8, 8, 10), Limits(parameters=20_000, activations=5_000))
    proposals = RandomStrategy(LARGE, 0).ask(60)
    run = past(proposals, [float(-index) for index in range(60)])
    elites = History(small, Tokens(small), [run]).elites
    assert 4 < len(elites) <= ELITES
    architectures = [small.decode(elite.trajectory.actions) for elite in elites]
    assert all(small.violation(architecture) is None for architecture in architectures)
    assert len({a.fingerprint for a in architectures}) == len(elites)
    again = History(small, Tokens(small), [run]).elites
    assert [e.trajectory.actions for e in again] == [e.trajectory.actions for e in elites]


def test_what_needs_no_change_comes_before_what_does() -> None:
    small = CNN.fit(InputShape(3, 32, 32, 10), Limits(parameters=20_000))
    large = [p for p in RandomStrategy(LARGE, 0).ask(100) if LARGE.size(p.architecture)[0] > 60_000][:4]
    fitting = RandomStrategy(small, 0).ask(6)
    run = past([*large[:2], *fitting, *large[2:]], [float(-index) for index in range(10)])
    elites = History(small, Tokens(small), [run]).elites
    kept = [small.decode(elite.trajectory.actions) for elite in elites]
    # Of the better half of ten the two best are too large.
    assert kept[:3] == [p.architecture for p in fitting[:3]]
    for architecture, elite in zip(kept[3:], elites[3:], strict=True):
        assert elite.target < 0 or architecture not in run.architectures


def test_several_runs_take_turns() -> None:
    proposals = RandomStrategy(CELL, 0).ask(8)
    runs = [past(proposals[:4], [4, 3, 2, 1]), past(proposals[4:], [4, 3, 2, 1])]
    elites = History(CELL, Tokens(CELL), runs).elites
    kept = [CELL.decode(elite.trajectory.actions) for elite in elites]
    assert kept[:4] == [proposals[i].architecture for i in (0, 4, 1, 5)]


def test_trust_follows_agreement() -> None:
    proposals = RandomStrategy(CELL, 1).ask(20)
    scores = [cell_reward(p.architecture) for p in proposals]
    tokens = Tokens(CELL)
    history = History(CELL, tokens, [of_cells(), of_cells(-1)])
    rows = experience(CELL, proposals, scores)
    assert not history.trusted
    assert np.array_equal(history.predict(rows.tokens), np.zeros(20))
    history.weigh(rows)
    agreeing, contrary = history.trust
    assert agreeing > 0.3
    assert contrary == 0.0
    predicted = history.predict(rows.tokens)
    assert np.corrcoef(predicted, rows.targets)[0, 1] > 0.5
    assert predicted.mean() == pytest.approx(0.0, abs=1e-9)
    history.weigh(experience(CELL, proposals, [-score for score in scores]))
    assert history.trust[0] == 0.0 < history.trust[1]


@pytest.mark.parametrize("count", [0, LEAST_KNOWN - 1, FORGOTTEN])
def test_too_little_and_enough_of_its_own(count: int) -> None:
    found = {p.fingerprint: p for p in RandomStrategy(CELL, 1).ask(2 * count)}
    proposals = list(found.values())[:count]
    history = History(CELL, Tokens(CELL), [of_cells()])
    history.weigh(experience(CELL, proposals, [cell_reward(p.architecture) for p in proposals]))
    assert not history.trusted


def test_equal_scores_say_nothing() -> None:
    proposals = RandomStrategy(CELL, 1).ask(10)
    history = History(CELL, Tokens(CELL), [of_cells()])
    history.weigh(experience(CELL, proposals, [0.5] * 10))
    assert not history.trusted


def best_after(queries: int, seed: int, history: tuple[PastRun, ...]) -> float:
    proposed = search(GCNASStrategy(CELL, seed, QUICK, history=history), queries)
    return max(cell_reward(p.architecture) for p in proposed)


@pytest.mark.slow
def test_it_helps_early_and_never_ends_worse() -> None:
    good, contrary = of_cells(), of_cells(-1)
    cold, warm = (np.mean([best_after(9, seed, past) for seed in range(3)]) for past in ((), (good,)))
    assert warm > cold
    for history in ((contrary,), (contrary, good)):
        assert [best_after(40, seed, history) for seed in range(2)] == [6.0, 6.0]


def test_the_first_design_and_no_repeat() -> None:
    run = of_cells()
    proposed = search(GCNASStrategy(CELL, 0, QUICK, history=(run,)), 30)
    assert [p.source for p in proposed[:11]] == ["history"] * 3 + ["start"] * 8
    # What a search without history would begin with, so that a history that misleads costs three queries.
    assert [p.architecture for p in proposed[3:11]] == [
        p.architecture for p in search(GCNASStrategy(CELL, 0, QUICK), 8)
    ]
    assert [p.architecture for p in proposed[:3]] == list(run.architectures[:3])
    assert len({p.fingerprint for p in proposed}) == 30


def test_what_an_earlier_run_with_the_same_seed_began_with_comes_first_all_the_same() -> None:
    begun = search(GCNASStrategy(CELL, 0, QUICK), 8)
    run = past(begun, [float(number) for number in range(8)])
    proposed = search(GCNASStrategy(CELL, 0, QUICK, history=(run,)), 8)
    assert [p.source for p in proposed] == ["history"] * 3 + ["start"] * 5
    assert [p.architecture for p in proposed[:3]] == list(run.architectures[:3])
    assert {p.fingerprint for p in proposed} == {p.fingerprint for p in begun}


def test_what_was_tried_is_not_inherited_again() -> None:
    run = of_cells()
    strategy = GCNASStrategy(CELL, 0, QUICK, history=(run,))
    told = Proposal(run.architectures[0], CELL.encode(run.architectures[0]), "reference")
    strategy.tell([complete(told, 6.0)])
    assert [p.architecture for p in strategy.ask(3)] == list(run.architectures[1:4])


@pytest.mark.parametrize("sign", [1, -1])
def test_the_policy_learns_from_those_that_are_trusted(sign: int) -> None:
    proposals = RandomStrategy(CELL, 1).ask(20)
    scores = [cell_reward(p.architecture) for p in proposals]
    history = History(CELL, Tokens(CELL), [of_cells()])
    history.weigh(experience(CELL, proposals, [sign * score for score in scores]))
    own = [p.trajectory for p in proposals[:5]]
    elites, targets = history.joined(own, np.arange(5.0), 12)
    assert elites[:5] == own
    assert targets[:5].tolist() == [0, 1, 2, 3, 4]
    assert len(elites) == len(targets) == (12 if sign > 0 else 5)
    if sign > 0:
        assert targets[5] == pytest.approx(history.trust[0] * history.elites[0].target)
        assert [len(each) for each in history.joined(own, np.arange(5.0), 5)] == [5, 5]


def test_nothing_is_learnt_from_a_run_that_is_not_trusted_beside_one_that_is() -> None:
    proposals = RandomStrategy(CELL, 1).ask(20)
    history = History(CELL, Tokens(CELL), [of_cells(-1), of_cells()])
    history.weigh(experience(CELL, proposals, [cell_reward(p.architecture) for p in proposals]))
    assert history.trust[0] == 0 < history.trust[1]
    assert {elite.run for elite in history.elites} == {0, 1}
    assert {elite.run for elite in history.trusted_elites} == {1}
    elites, targets = history.joined([], np.array([]), 6)
    assert elites == [elite.trajectory for elite in history.trusted_elites[:6]]
    assert targets == pytest.approx([history.trust[1] * elite.target for elite in history.trusted_elites[:6]])


def test_a_network_of_several_runs_counts_for_one_that_is_trusted() -> None:
    proposals = RandomStrategy(CELL, 1).ask(20)
    shared, contrary = of_cells(), of_cells(-1)
    contrary = PastRun(
        "contrary",
        (shared.architectures[0], *contrary.architectures),
        (max(contrary.targets), *contrary.targets),
    )
    history = History(CELL, Tokens(CELL), [contrary, shared])
    history.weigh(experience(CELL, proposals, [cell_reward(p.architecture) for p in proposals]))
    assert history.trust[0] == 0 < history.trust[1]
    best = CELL.decode(history.trusted_elites[0].trajectory.actions)
    assert best == shared.architectures[0]
    alone = History(CELL, Tokens(CELL), [shared])
    assert len(history.trusted_elites) == len(alone.elites)


def test_a_strategy_that_cannot_says_so() -> None:
    assert isinstance(create_strategy("gcnas", DEEP, 0, (made_up_past(DEEP),)), GCNASStrategy)
    with pytest.raises(ConfigurationError, match="'random' cannot start from earlier runs"):
        create_strategy("random", DEEP, 0, (made_up_past(DEEP),))


def test_the_state_needs_no_history() -> None:
    """Readers of a policy load the state without it."""
    strategy = GCNASStrategy(DEEP, 0, QUICK, history=(made_up_past(DEEP),))
    for proposal in strategy.ask(10):
        strategy.tell([complete(proposal, float(proposal.architecture.depth))])
    strategy.ask(1)
    other = GCNASStrategy(DEEP, 1, replace(QUICK))
    state: Any = strategy.state_dict()
    other.load_state_dict(state)
    assert other.state_dict().values == state.values
