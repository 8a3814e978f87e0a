import math
from dataclasses import replace

import pytest
import torch
from tests.policy.toy import TOY, all_trajectories

from gcnas.errors import SpaceError
from gcnas.graph import encode
from gcnas.policy import GCNPolicy, GCNSettings
from gcnas.policy.beliefs import beliefs
from gcnas.records import LayerMask
from gcnas.space import Place, SequenceSpace, token


def test_beliefs_multiply_to_the_probability() -> None:
    torch.manual_seed(0)
    policy = GCNPolicy(TOY, GCNSettings(width=12))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape))
    for trajectory in all_trajectories()[::211]:
        steps = beliefs(policy, trajectory)
        assert len(steps) == len(trajectory.actions)
        decisions = [belief for step in steps for belief in (step.type, *step.others)]
        total = sum(math.log(belief.probability) for belief in decisions)
        stated = policy(encode(TOY, policy.vocabulary, [trajectory])).log_probability.item()
        assert total == pytest.approx(stated, abs=1e-4)
        for belief in decisions:
            assert sum(probability for _, probability in belief.options) == pytest.approx(1, abs=1e-5)
            assert [p for _, p in belief.options] == sorted((p for _, p in belief.options), reverse=True)


def test_what_was_taken_although_it_was_closed_has_no_probability() -> None:
    """Designs by people may pass where masks are closed."""
    policy = GCNPolicy(TOY, GCNSettings(width=8))
    deep = max(all_trajectories(), key=lambda t: (len(t.actions), sum(sum(a.connections) for a in t.actions)))
    closed = [
        LayerMask(
            tuple(flag and code != action.type for code, flag in enumerate(mask.types)),
            tuple(
                tuple(number != taken for number in range(len(flags)))
                for flags, taken in zip(mask.hyperparameters, action.hyperparameters, strict=True)
            ),
            (False,) * len(mask.connections),
        )
        for action, mask in zip(deep.actions, deep.masks, strict=True)
    ]
    steps = beliefs(policy, replace(deep, masks=tuple(closed)))
    taken = [belief for step in steps[:-1] for belief in (step.type, *step.others)]
    assert {belief.probability for belief in taken} == {0.0}
    assert "reads node 0" in {belief.name for belief in taken}


def test_the_window_is_what_is_read_where_the_space_gives_it() -> None:
    reads = [(1,), (1, 2), (3,)]
    places = tuple(Place((True,), {}, read) for read in reads)
    space = SequenceSpace("given", (token("a"),), min_depth=3, max_depth=3, window=3, places=places)
    policy = GCNPolicy(space, GCNSettings(width=8))
    (drawn,) = policy.sample(1, torch.Generator().manual_seed(0))
    assert [step.window for step in beliefs(policy, drawn)[:-1]] == [(0,), (1, 0), (0,)]


def test_a_trajectory_that_does_not_fit_is_no_trajectory_of_the_space() -> None:
    policy, good = GCNPolicy(TOY, GCNSettings(width=8)), all_trajectories()[-1]
    first, *others = good.masks
    for mask in (
        replace(first, types=first.types[:2]),
        replace(first, hyperparameters=(*first.hyperparameters, (True,))),
        replace(first, connections=(*first.connections, True)),
    ):
        with pytest.raises(SpaceError, match="does not fit"):
            beliefs(policy, replace(good, masks=(mask, *others)))


def test_the_graphs_of_each_step() -> None:
    policy = GCNPolicy(TOY, GCNSettings(width=8))
    deep = max(all_trajectories(), key=lambda t: (len(t.actions), sum(sum(a.connections) for a in t.actions)))
    steps = beliefs(policy, deep)
    assert [step.window for step in steps] == [(0,), (1, 0), (2, 1, 0), (3, 2, 1)]
    assert steps[-1].type.chosen == "STOP"
