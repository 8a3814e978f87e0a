from collections.abc import Callable
from dataclasses import replace

from tests.strategy.spaces import CELL, DEEP, complete

from gcnas.records import Evaluation, EvaluationState, Proposal
from gcnas.space import SequenceSpace, token
from gcnas.strategy import RandomStrategy
from gcnas.strategy.evolution import EvolutionSettings, EvolutionStrategy

SMALL = EvolutionSettings(population=6, tournament=3)


def ones(proposal: Proposal) -> float:
    """The share of one type among the layers."""
    types = [action.type for action in proposal.trajectory.actions[:-1]]
    return types.count(1) / len(types)


def search(strategy: EvolutionStrategy, n: int, score: Callable[[Proposal], float] = ones) -> list[Proposal]:
    asked = []
    for _ in range(n):
        (proposal,) = strategy.ask(1)
        strategy.tell([complete(proposal, score(proposal))])
        asked.append(proposal)
    return asked


def distance(left: Proposal, right: Proposal) -> int:
    pairs = zip(left.trajectory.actions, right.trajectory.actions, strict=True)
    return sum(mine != other for mine, other in pairs)


def test_it_begins_with_random_search() -> None:
    asked = search(EvolutionStrategy(CELL, 4, SMALL), 7)
    assert asked[:6] == RandomStrategy(CELL, 4).ask(6)
    assert [proposal.source for proposal in asked] == ["random"] * 6 + ["edit"]


def test_children_are_edits_of_the_best_of_the_population() -> None:
    """With a tournament of all, the parent is the best of the newest six."""
    strategy = EvolutionStrategy(CELL, 0, EvolutionSettings(population=6, tournament=6))
    asked = search(strategy, 6)
    for _ in range(15):
        best = max(asked[-6:], key=ones)
        (child,) = strategy.ask(1)
        # Equal scores: any of the best may be the parent.
        assert min(distance(child, p) for p in asked[-6:] if ones(p) == ones(best)) == 1
        strategy.tell([complete(child, ones(child))])
        asked.append(child)


def test_it_finds_the_optimum_faster_than_random_search() -> None:
    for seed in range(5):
        assert max(map(ones, search(EvolutionStrategy(CELL, seed), 150))) == 1.0
        assert max(map(ones, RandomStrategy(CELL, seed).ask(150))) < 1.0


def test_nothing_is_proposed_twice() -> None:
    asked = search(EvolutionStrategy(CELL, 0, SMALL), 200)
    assert len({proposal.fingerprint for proposal in asked}) == 200


def test_known_children_join_the_population_at_no_cost() -> None:
    """Around the only good point all is known: the population fills with it, and no child is asked for twice."""
    space = SequenceSpace("short", (token("a"), token("b"), token("c")), min_depth=2, max_depth=2, window=1)
    strategy = EvolutionStrategy(space, 0, EvolutionSettings(population=3, tournament=3))
    assert len({proposal.fingerprint for proposal in search(strategy, 9)}) == 9
    assert strategy.ask(1) == []


def test_failures_do_not_join() -> None:
    strategy = EvolutionStrategy(DEEP, 0, SMALL)
    for state in (EvaluationState.FAILED, EvaluationState.INFEASIBLE):
        strategy.tell([Evaluation(proposal, state, error="made up") for proposal in strategy.ask(10)])
    assert {proposal.source for proposal in strategy.ask(6)} == {"random"}


def test_a_design_by_people_becomes_a_parent() -> None:
    strategy = EvolutionStrategy(CELL, 0, EvolutionSettings(population=6, tournament=6))
    search(strategy, 6)
    best = max(RandomStrategy(CELL, 77).ask(500), key=ones)
    strategy.tell([complete(replace(best, source="reference"), 2.0)])
    assert distance(strategy.ask(1)[0], best) == 1
