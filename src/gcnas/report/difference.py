"""What sets one architecture apart from another, in a few words."""

from difflib import SequenceMatcher
from itertools import zip_longest

from gcnas.records import Architecture, Layer
from gcnas.report.layers import describe

SHOWN = 3
"""Differences that are named; more are counted."""


def difference(before: Architecture, after: Architecture) -> str:
    """One line, such as ``layer 3: filters 32 → 24`` or ``max_pool k2 added as layer 2``.

    Layers are numbered as in ``before``, those added as in ``after``.
    """
    old, new = before.layers, after.layers
    keys = [[(layer.type, layer.hyperparameters) for layer in layers] for layers in (old, new)]
    parts: list[str] = []
    for kind, i, j, k, end in SequenceMatcher(a=keys[0], b=keys[1], autojunk=False).get_opcodes():
        if kind != "equal":
            pairs = zip_longest(enumerate(old[i:j], start=i + 1), enumerate(new[k:end], start=k + 1))
            parts += [_changed(*pair) for pair in pairs]
    if len(old) == len(new):
        parts += _connections(before, after)
    if not parts:
        parts = ["other connections"] if before != after else ["nothing"]
    more = len(parts) - SHOWN
    return "; ".join(parts[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _changed(old: tuple[int, Layer] | None, new: tuple[int, Layer] | None) -> str:
    if old is None:
        assert new is not None  # noqa: S101 - one of a pair is there
        return f"{_brief(new[1])} added as layer {new[0]}"
    number, before = old
    if new is None:
        return f"layer {number} removed ({_brief(before)})"
    after = new[1]
    if before.type != after.type:
        return f"layer {number}: {_brief(before)} \u2192 {_brief(after)}"
    changes = [
        f"{name} {value} \u2192 {after.values[name]}"
        for name, value in before.hyperparameters
        if name in after.values and after.values[name] != value
    ]
    return f"layer {number}: {', '.join(changes)}" if changes else f"layer {number}: {_brief(after)}"


def _brief(layer: Layer) -> str:
    """Type and hyper-parameters, without what it reads."""
    return describe(Architecture((Layer(layer.type, layer.hyperparameters, (0,)),)))


def _connections(before: Architecture, after: Architecture) -> list[str]:
    parts = []
    for number, (old, new) in enumerate(zip(before.layers, after.layers, strict=True), start=1):
        gained, lost = set(new.inputs) - set(old.inputs), set(old.inputs) - set(new.inputs)
        parts += [f"layer {number} reads {_node(node)} too" for node in sorted(gained)]
        parts += [f"layer {number} no longer reads {_node(node)}" for node in sorted(lost)]
    return parts


def _node(node: int) -> str:
    return "the stem" if node == 0 else f"layer {node}"
