from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.strategy.spaces import DEEP

from gcnas.graph import encode
from gcnas.policy import GCNPolicy
from gcnas.strategy import RandomStrategy
from gcnas.strategy.edits import allowed
from gcnas.strategy.imitation import Imitation, ImitationSettings


def test_the_policy_moves_to_the_best() -> None:
    torch.manual_seed(0)
    policy = GCNPolicy(DEEP)
    elites = [p.trajectory for p in RandomStrategy(DEEP, 0).ask(4)]
    batch = encode(DEEP, policy.vocabulary, elites)
    before = policy(batch).log_probability.detach()
    Imitation(policy, ImitationSettings(entropy=0.0)).learn(elites, np.array([3.0, 0.0, 0.0, -3.0]), 60)
    gain = policy(batch).log_probability.detach() - before
    assert gain[0] > 5
    assert gain.argmax() == 0
    assert torch.exp(policy(batch).log_probability[0]) > 0.5


def test_entropy_keeps_it_open() -> None:
    entropies = []
    for weight in (0.0, 0.5, 5.0):
        torch.manual_seed(0)
        learner = Imitation(GCNPolicy(DEEP), ImitationSettings(entropy=weight))
        elites = [p.trajectory for p in RandomStrategy(DEEP, 0).ask(4)]
        entropies.append(learner.learn(elites, np.zeros(4), 60).entropy)
    assert entropies == sorted(entropies)
    assert entropies[0] < 0.5 * entropies[-1]


@pytest.mark.parametrize("part", ["types", "hyperparameters", "connections"])
def test_closed_decisions_are_not_allowed(part: str) -> None:
    (proposal,) = RandomStrategy(DEEP, 2).ask(1)
    trajectory = proposal.trajectory
    assert allowed(trajectory)
    masks = list(trajectory.masks)
    place = 2
    action = trajectory.actions[place]
    assert action.hyperparameters
    closed = {
        "types": tuple(code != action.type for code in range(4)),
        "hyperparameters": tuple((False,) * len(flags) for flags in masks[place].hyperparameters),
        "connections": (False, False),
    }[part]
    masks[place] = replace(masks[place], **{part: closed})
    if part == "connections":
        actions = list(trajectory.actions)
        actions[place] = replace(action, connections=(1, 0))
        trajectory = replace(trajectory, actions=tuple(actions))
    assert not allowed(replace(trajectory, masks=tuple(masks)))
