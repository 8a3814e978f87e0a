"""What a policy believed at each step of one architecture."""

from dataclasses import dataclass

import torch

from gcnas.graph import encode
from gcnas.policy.base import Policy
from gcnas.records import STOP, Trajectory


@dataclass(frozen=True)
class Belief:
    """One decision.

    Attributes:
        name: ``type``, the name of a hyper-parameter, or ``reads node j``.
        options: Names of the open options with their probabilities, the most probable first. Designs by people may
            pass where masks are closed; what they took is not among them then.
        chosen: Name of the option that was taken.
    """

    name: str
    options: tuple[tuple[str, float], ...]
    chosen: str

    @property
    def probability(self) -> float:
        """Probability of the option that was taken."""
        return dict(self.options).get(self.chosen, 0.0)


@dataclass(frozen=True)
class StepBeliefs:
    """All decisions of one step: the layer extraction block's type, then what the other block decided at once.

    Attributes:
        type: The type, or STOP.
        others: Hyper-parameters and connections; empty for STOP.
        window: Nodes of the parameter graph that the new node may read, after deletion beyond m; those that it does
            read where the space gives the connections.
    """

    type: Belief
    others: tuple[Belief, ...]
    window: tuple[int, ...]


@torch.no_grad()
def beliefs(policy: Policy, trajectory: Trajectory) -> list[StepBeliefs]:
    """What the policy believes at every step of a trajectory, under its masks.

    Where layers were drawn again, it is what was believed at the draw that stayed.
    """
    space = policy.space
    batch = encode(space, policy.vocabulary, [trajectory])
    logits = policy.logits(batch)
    names = (*(kind.name for kind in space.layer_types), "STOP")
    types = logits.types[0].masked_fill(~batch.type_mask[0], float("-inf")).softmax(-1)
    heads = logits.options[0].masked_fill(~batch.option_mask[0], float("-inf")).softmax(-1)
    edges = torch.sigmoid(logits.connections[0])
    steps = []
    for step, (action, mask) in enumerate(zip(trajectory.actions, trajectory.masks, strict=True)):
        kind = _belief("type", names, types[step].tolist(), mask.types, names[action.type])
        others: list[Belief] = []
        if action.type != STOP:
            choices = space.layer_types[action.type].choices
            slots = policy.vocabulary.slots[action.type]
            for choice, head, flags, index in zip(
                choices, slots, mask.hyperparameters, action.hyperparameters, strict=True
            ):
                options = tuple(str(option) for option in choice.options)
                others.append(_belief(choice.name, options, heads[step, head].tolist(), flags, options[index]))
            for offset, (flag, taken) in enumerate(zip(mask.connections, action.connections, strict=True)):
                if flag or taken:
                    node, probability = step - 1 - offset, float(edges[step, offset]) if flag else 0.0
                    answers = (("yes", probability), ("no", 1 - probability))
                    ranked = tuple(sorted(answers, key=lambda answer: -answer[1]))
                    others.append(Belief(f"reads node {node}", ranked, "yes" if taken else "no"))
        steps.append(StepBeliefs(kind, tuple(others), _window(policy, step)))
    return steps


def _window(policy: Policy, step: int) -> tuple[int, ...]:
    """Nodes that the node after this step may read, the newest first."""
    given = policy.vocabulary.given
    if given is not None and step < len(given):
        return tuple(step + 1 - distance for distance in given[step])
    return tuple(range(step, max(-1, step - policy.space.window), -1))


def _belief(
    name: str, options: tuple[str, ...], probabilities: list[float], flags: tuple[bool, ...], chosen: str
) -> Belief:
    padded = zip(options, probabilities[: len(options)], flags, strict=True)
    ranked = sorted(((option, p) for option, p, flag in padded if flag), key=lambda pair: -pair[1])
    return Belief(name, tuple(ranked), chosen)
