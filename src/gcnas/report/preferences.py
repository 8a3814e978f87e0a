"""Which layer types a policy prefers at each position, over all networks that it would draw."""

from dataclasses import dataclass

import torch

from gcnas.graph import encode
from gcnas.policy import Policy

SAMPLES = 128
MOST_POSITIONS, LEAST_REACHED = 20, 0.05
"""Positions further back, or reached by fewer networks, are left out."""


@dataclass(frozen=True)
class Preferences:
    """Type probabilities by position.

    Attributes:
        names: Of the T types, then STOP.
        probabilities: For each position, T + 1 numbers that sum to 1: the mean of what the policy believes over the
            networks drawn that reach it.
        reached: Share of the networks drawn that reach each position.
    """

    names: tuple[str, ...]
    probabilities: tuple[tuple[float, ...], ...]
    reached: tuple[float, ...]


@torch.no_grad()
def preferences(policy: Policy, samples: int = SAMPLES) -> Preferences:
    """Draw networks from a policy, always the same ones, and average its beliefs about types at each position."""
    trajectories = policy.sample(samples, torch.Generator().manual_seed(0))
    batch = encode(policy.space, policy.vocabulary, trajectories)
    types = policy.logits(batch).types.masked_fill(~batch.type_mask, float("-inf")).softmax(-1)
    depths = torch.tensor([len(trajectory.actions) for trajectory in trajectories])
    rows, reached = [], []
    for position in range(min(int(depths.max()), MOST_POSITIONS)):
        there = depths > position
        if there.float().mean() < LEAST_REACHED:
            break
        rows.append(tuple(types[there, position].mean(0).tolist()))
        reached.append(float(there.float().mean()))
    names = (*(kind.name for kind in policy.space.layer_types), "STOP")
    return Preferences(names, tuple(rows), tuple(reached))
