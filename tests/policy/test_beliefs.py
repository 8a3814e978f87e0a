import math

import pytest
import torch
from tests.policy.toy import TOY, all_trajectories

from gcnas.graph import encode
from gcnas.policy import GCNPolicy, GCNSettings
from gcnas.policy.beliefs import beliefs


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


def test_the_graphs_of_each_step() -> None:
    policy = GCNPolicy(TOY, GCNSettings(width=8))
    deep = max(all_trajectories(), key=lambda t: (len(t.actions), sum(sum(a.connections) for a in t.actions)))
    steps = beliefs(policy, deep)
    assert [step.composition for step in steps] == [(0,), (1, 0), (2, 1, 0), ()]
    assert [step.window for step in steps] == [(0,), (1, 0), (2, 1, 0), (3, 2, 1)]
    assert steps[-1].type.chosen == "STOP"
