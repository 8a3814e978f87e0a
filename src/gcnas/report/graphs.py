"""The two graphs that a policy saw at each step of one network (Fig. 6 to 8 of the paper)."""

from collections.abc import Sequence
from dataclasses import dataclass

from gcnas.policy import GCNPolicy, Policy, RedrawPolicy, SkeletonFirstPolicy
from gcnas.records import STOP, Draw, LayerAction, Trajectory
from gcnas.space import SearchSpace
from gcnas.strategy import JUDGED
from gcnas.strategy.reinforce import SOURCE

Edge = tuple[int, int]
"""From the older node to the newer one."""
Draws = tuple[Draw | LayerAction, ...]
"""Of one layer, the one that stayed last."""
Parameter = tuple[str, str, str | None]
"""Name, value, and the value before where this step drew another one."""


@dataclass(frozen=True)
class Graphs:
    """The two graphs at one step, with what the step changes in them.

    Attributes:
        new: Number of the new node; 0 is the input, 1 the first layer.
        types: Codes of the types of nodes 1, 2, … new; :data:`STOP` may be the last.
        window: The nodes that the new one reads, newest first; older connections are deleted.
        kept: Edges that were there and stay.
        added: Edges decided at this step.
        removed: Edges that were drawn anew and vanished.
        parameters: Hyper-parameters of the new node and of those in the window that the HPPB knows.
    """

    new: int
    types: tuple[int, ...]
    window: tuple[int, ...]
    kept: frozenset[Edge]
    added: frozenset[Edge]
    removed: frozenset[Edge]
    parameters: dict[int, tuple[Parameter, ...]]


def reading(policy: Policy) -> str:
    """In one or two sentences, the graphs that a policy has, if it has any."""
    if not isinstance(policy, GCNPolicy):
        return "This policy is recurrent: it has no graphs, so there is only what it believed."
    if isinstance(policy, SkeletonFirstPolicy):
        return (
            "Skeleton first: all types were drawn before anything else, from graphs of types and chain edges; one pass "
            "then decided the hyper-parameters and connections of all layers, and saw none of them."
        )
    if isinstance(policy, RedrawPolicy):
        return (
            "Interleaved, with redraws: each new layer lets the HPPB draw those inside the window again (a \u2192 b). "
            "The graphs are those of their moment, the beliefs those of the draw that stayed in the end."
        )
    sentence = "Interleaved: for each layer the LEB chooses the type, then the HPPB everything else."
    if policy.summary:
        sentence += (
            " Of what is deleted from the graphs both read directly the mean alone; some of it reaches them through "
            "the nodes of the window."
        )
    return sentence


def chooser(source: str, strategy: str) -> str:
    """One sentence on who chose a network, where it was not the policy alone.

    Args:
        source: Of the proposal.
        strategy: Name of the run's strategy.
    """
    if source != SOURCE:
        return f"Not the blocks but {source!r} chose this network: what is shown is what they believe of it."
    if strategy in JUDGED:
        return (
            "The blocks drew this network, or one that it is an edit or two away from, among others, and the critics "
            "of the strategy chose it."
        )
    return ""


def graphs(policy: Policy, trajectory: Trajectory) -> list[Graphs]:
    """The graphs at each step, with what the step adds; empty if the policy has none."""
    if not isinstance(policy, GCNPolicy):
        return []
    earlier: tuple[Draws, ...] = trajectory.overwritten or ((),) * len(trajectory.actions)
    draws: list[Draws] = [(*old, action) for old, action in zip(earlier, trajectory.actions, strict=True)]
    return [_graphs(policy, trajectory.actions, draws, step) for step in range(len(draws))]


def _graphs(policy: GCNPolicy, actions: Sequence[LayerAction], draws: Sequence[Draws], step: int) -> Graphs:
    new, blind = step + 1, isinstance(policy, SkeletonFirstPolicy)
    before, after = _edges(draws, step - 1), _edges(draws, step)
    added = after - before
    if blind:
        # Types alone were known: neither block saw a connection beside the chain.
        before = after = frozenset((node - 1, node) for node in range(1, new))
    window = tuple(range(step, max(-1, step - policy.space.window), -1))
    stops = actions[step].type == STOP
    return Graphs(
        new=new,
        types=tuple(action.type for action in actions[:new]),
        window=window,
        kept=before & after,
        added=added,
        removed=before - after,
        parameters={
            node: _parameters(policy.space, actions[node - 1].type, draws[node - 1], new - node)
            for node in (new, *window)
            if node and not stops and (node == new or not blind)
        },
    )


def _edges(draws: Sequence[Draws], last: int) -> frozenset[Edge]:
    """All edges between the nodes of layers 0 to ``last``, as drawn when the last one was added."""
    found: set[Edge] = set()
    for layer, drawn in enumerate(draws[: last + 1]):
        now = drawn[min(last - layer, len(drawn) - 1)]
        if not isinstance(now, LayerAction) or now.type != STOP:
            skips = {(layer - 1 - offset, layer + 1) for offset, taken in enumerate(now.connections) if taken}
            found |= {(layer, layer + 1)} | skips
    return frozenset(found)


def _parameters(space: SearchSpace, code: int, drawn: Draws, again: int) -> tuple[Parameter, ...]:
    """Of one layer after it was drawn again a number of times."""
    now = drawn[min(again, len(drawn) - 1)].hyperparameters
    before = drawn[min(max(again - 1, 0), len(drawn) - 1)].hyperparameters
    return tuple(
        (choice.name, str(choice.options[index]), None if index == old else str(choice.options[old]))
        for choice, index, old in zip(space.layer_types[code].choices, now, before, strict=True)
    )
