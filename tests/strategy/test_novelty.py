from dataclasses import replace

import numpy as np
from tests.strategy.spaces import CELL, complete

from gcnas.records import Evaluation, EvaluationState
from gcnas.space import SequenceSpace, token
from gcnas.strategy import RandomStrategy, StrategyState
from gcnas.strategy.novelty import NOTHING, Novelty

SMALL = SequenceSpace("small", tuple(token(name) for name in "abc"), min_depth=1, max_depth=3, window=1)


def test_it_begins_with_the_draws_of_random_search() -> None:
    novelty = Novelty(CELL, 3)
    drawn = [novelty.draw() for _ in range(20)]
    assert drawn == RandomStrategy(CELL, 3).ask(20)


def test_every_point_is_drawn_once_and_then_none() -> None:
    novelty = Novelty(SMALL, 0)
    drawn = [novelty.draw() for _ in range(3 + 9 + 27)]
    assert len({proposal.fingerprint for proposal in drawn if proposal is not None}) == 39
    assert novelty.draw() is None


def test_the_last_point_of_a_large_table_is_found() -> None:
    """A hundred uniform draws would mostly miss it."""
    space = replace(SMALL, max_depth=6, min_depth=6)
    everything = Novelty(space, 1)
    found = {}
    while (proposal := everything.draw()) is not None:
        found[proposal.fingerprint] = proposal
    assert len(found) == 3**6
    novelty = Novelty(space, 0)
    last, *others = found.values()
    for proposal in others:
        novelty.note(proposal)
    assert novelty.draw() == replace(last, trajectory=last.trajectory, source="random")
    assert novelty.draw() is None


def test_scores_are_remembered() -> None:
    novelty = Novelty(SMALL, 0)
    first, second, third = (novelty.draw() for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert novelty.score(first) == NOTHING
    assert novelty.tell(complete(first, 0.25)) == 0.25
    assert novelty.tell(Evaluation(second, EvaluationState.FAILED)) is None
    assert novelty.tell(complete(third, float("nan"))) is None
    assert [novelty.score(proposal) for proposal in (first, second, third)] == [0.25, NOTHING, NOTHING]
    assert not novelty.note(first)
    other = Novelty(SMALL, 9)
    state = novelty.state_dict()
    assert state.tensors["known"].dtype == np.uint64
    other.load_state_dict(StrategyState(state.values, state.tensors))
    assert other.score(first) == 0.25
    assert [other.draw() for _ in range(5)] == [novelty.draw() for _ in range(5)]
