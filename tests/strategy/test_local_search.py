from collections import deque

import pytest
from tests.strategy.spaces import CELL, complete

from gcnas.records import Evaluation, EvaluationState, Limits, Proposal
from gcnas.space import InputShape
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy
from gcnas.strategy.local_search import LocalSearchStrategy


def types(proposal: Proposal) -> tuple[int, ...]:
    return tuple(action.type for action in proposal.trajectory.actions[:-1])


def ones(proposal: Proposal) -> float:
    return types(proposal).count(1) / 6


def distance(left: Proposal, right: Proposal) -> int:
    return sum(mine != other for mine, other in zip(types(left), types(right), strict=True))


def search(strategy: LocalSearchStrategy, n: int) -> list[Proposal]:
    asked = []
    for _ in range(n):
        (proposal,) = strategy.ask(1)
        strategy.tell([complete(proposal, ones(proposal))])
        asked.append(proposal)
    return asked


def test_it_climbs_by_single_edits_of_the_best() -> None:
    """Without traps, every proposal of the first climb is a neighbour of the best so far."""
    for seed in range(5):
        asked = search(LocalSearchStrategy(CELL, seed), 60)
        assert asked[0] == RandomStrategy(CELL, seed).ask(1)[0]
        top = next(index for index, proposal in enumerate(asked) if ones(proposal) == 1.0)
        for index in range(1, top + 1):
            # The first of the best: equal ones are not moved to.
            assert distance(asked[index], max(asked[:index], key=ones)) == 1


def test_it_starts_anew_at_the_top() -> None:
    strategy = LocalSearchStrategy(CELL, 0)
    asked = search(strategy, 200)
    top = next(index for index, proposal in enumerate(asked) if ones(proposal) == 1.0)
    restart = next(index for index in range(top + 1, 200) if asked[index].source == "random")
    neighbourhood = {types(proposal) for proposal in asked[:restart] if distance(proposal, asked[top]) == 1}
    assert len(neighbourhood) == 24
    assert asked[restart + 1].source == "edit"
    assert distance(asked[restart + 1], asked[restart]) == 1
    assert len({proposal.fingerprint for proposal in asked}) == 200


def test_a_known_better_neighbour_is_moved_to_at_no_cost() -> None:
    strategy = LocalSearchStrategy(CELL, 0)
    (start,) = strategy.ask(1)
    strategy.tell([complete(start, 0.1)])
    first, second = strategy.ask(2)
    strategy.tell([complete(second, 0.05), complete(first, 0.5)])
    strategy.tell([complete(second, 0.6)])  # told again, as a repeat is
    (following,) = strategy.ask(1)
    assert distance(following, second) == 1


def test_results_of_earlier_climbs_do_not_move_a_later_one() -> None:
    strategy = LocalSearchStrategy(CELL, 0)
    (start,) = strategy.ask(1)
    strategy.tell([complete(start, 0.9)])
    neighbourhood = strategy.ask(24)
    assert {proposal.source for proposal in neighbourhood} == {"edit"}
    # While the last are under way, draws are proposed that belong to the same climb, but nobody waits for them.
    (waiting,) = strategy.ask(1)
    assert waiting.source == "random"
    strategy.tell([complete(proposal, 0.1) for proposal in neighbourhood])
    (second,) = strategy.ask(1)
    assert second.source == "random"
    strategy.tell([complete(second, 0.2), complete(waiting, 0.8)])
    assert distance(strategy.ask(1)[0], second) == 1


def test_a_draw_while_the_last_neighbours_are_under_way_may_be_moved_to() -> None:
    strategy = LocalSearchStrategy(CELL, 0)
    (start,) = strategy.ask(1)
    strategy.tell([complete(start, 0.5)])
    neighbourhood = strategy.ask(24)
    (waiting,) = strategy.ask(1)
    strategy.tell([complete(waiting, 0.8)])
    assert distance(strategy.ask(1)[0], waiting) == 1
    strategy.tell([complete(proposal, 0.1) for proposal in neighbourhood])
    assert distance(strategy.ask(1)[0], waiting) == 1


@pytest.mark.parametrize("design", [True, False])
def test_two_workers_start_anew_at_the_top(design: bool) -> None:
    """One result at a time, and one proposal in its place: the other is always under way.

    A design by people may come first, which is what the first climb starts from.
    """
    strategy = LocalSearchStrategy(CELL, 0)
    if design:
        strategy.tell([complete(RandomStrategy(CELL, 50).ask(1)[0], 0.0)])
    pending = deque(strategy.ask(2))
    asked: list[Proposal] = list(pending)
    for _ in range(300):
        first = pending.popleft()
        strategy.tell([complete(first, ones(first))])
        (found,) = strategy.ask(1)
        pending.append(found)
        asked.append(found)
    top = next(index for index, proposal in enumerate(asked) if ones(proposal) == 1.0)
    later = [index for index in range(top, len(asked)) if asked[index].source == "random"]
    # Draws are those that a climb waits with, one at most, and its start.
    assert len(later) < 60
    edits = [proposal for proposal in asked[later[0] :] if proposal.source == "edit"]
    assert len(edits) > 200


def test_what_is_set_aside_is_not_waited_for() -> None:
    strategy = LocalSearchStrategy(CELL, 0)
    (start,) = strategy.ask(1)
    strategy.tell([complete(start, 0.9)])
    neighbourhood = strategy.ask(24)
    strategy.tell([complete(proposal, 0.1) for proposal in neighbourhood[1:]])
    strategy.set_aside(neighbourhood[:1])
    (second,) = strategy.ask(1)
    assert second.source == "random"
    strategy.tell([complete(second, 0.2)])
    strategy.tell([complete(neighbourhood[0], 0.95)])  # it was taken up again
    assert distance(strategy.ask(1)[0], second) == 1


def test_a_climb_beyond_tighter_limits_ends() -> None:
    free = CNN.fit(InputShape(1, 8, 8, 2))
    strategy = LocalSearchStrategy(free, 0)
    for _ in range(30):
        (proposal,) = strategy.ask(1)
        strategy.tell([complete(proposal, float(free.cost(proposal.architecture).parameters))])
    place = strategy._place
    assert place is not None
    assert place[1] > 2_000
    for bound, stays in ((int(place[1]), True), (2_000, False)):
        resumed = LocalSearchStrategy(CNN.fit(free.fitted, Limits(parameters=bound)), 0)
        resumed.load_state_dict(strategy.state_dict())
        assert (resumed._place is not None) is stays
        (proposal,) = resumed.ask(1)
        assert (proposal.source == "edit") is stays


def test_a_start_that_fails_is_replaced() -> None:
    strategy = LocalSearchStrategy(CELL, 0)
    for _ in range(3):
        (start,) = strategy.ask(1)
        assert start.source == "random"
        strategy.tell([Evaluation(start, EvaluationState.FAILED, error="made up")])
    (start,) = strategy.ask(1)
    strategy.tell([complete(start, 0.5)])
    assert distance(strategy.ask(1)[0], start) == 1


def test_a_better_design_by_people_is_moved_to() -> None:
    strategy = LocalSearchStrategy(CELL, 0)
    search(strategy, 3)
    (reference,) = RandomStrategy(CELL, 50).ask(1)
    strategy.tell([complete(reference, 2.0)])
    assert distance(strategy.ask(1)[0], reference) == 1
