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
        options: Names of the open options with their probabilities, the most probable first.
        chosen: Name of the option that was taken.
    """

    name: str
    options: tuple[tuple[str, float], ...]
    chosen: str

    @property
    def probability(self) -> float:
        """Probability of the option that was taken."""
        return dict(self.options)[self.chosen]


@dataclass(frozen=True)
class StepBeliefs:
    """All decisions of one step: the layer extraction block's type, then what the other block decided at once.

    Attributes:
        type: The type, or STOP.
        others: Hyper-parameters and connections; empty for STOP.
        composition: Edges of the composition graph that end in the new node.
        window: Nodes of the parameter graph that the new node may read, after deletion beyond m.
    """

    type: Belief
    others: tuple[Belief, ...]
    composition: tuple[int, ...]
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
        nodes = [step]
        if action.type != STOP:
            choices = space.layer_types[action.type].choices
            slots = policy.vocabulary.slots[action.type]
            for choice, head, flags, index in zip(
                choices, slots, mask.hyperparameters, action.hyperparameters, strict=True
            ):
                options = tuple(str(option) for option in choice.options)
                others.append(_belief(choice.name, options, heads[step, head].tolist(), flags, options[index]))
            for offset, (flag, taken) in enumerate(zip(mask.connections, action.connections, strict=True)):
                if flag:
                    node, probability = step - 1 - offset, float(edges[step, offset])
                    answers = (("yes", probability), ("no", 1 - probability))
                    ranked = tuple(sorted(answers, key=lambda answer: -answer[1]))
                    others.append(Belief(f"reads node {node}", ranked, "yes" if taken else "no"))
                    nodes += [node] if taken else []
        window = tuple(range(step, max(-1, step - space.window), -1))
        steps.append(StepBeliefs(kind, tuple(others), tuple(nodes) if action.type != STOP else (), window))
    return steps


def _belief(
    name: str, options: tuple[str, ...], probabilities: list[float], flags: tuple[bool, ...], chosen: str
) -> Belief:
    padded = zip(options, probabilities[: len(options)], flags, strict=True)
    ranked = sorted(((option, p) for option, p, flag in padded if flag), key=lambda pair: -pair[1])
    return Belief(name, tuple(ranked), chosen)
