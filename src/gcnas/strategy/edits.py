"""Edits of decisions: the architectures one step away, in any space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gcnas.records import STOP, Architecture, LayerAction, LayerMask, Trajectory
from gcnas.space import Growth, SearchSpace, SequenceSpace
from gcnas.strategy.drawing import any_open

UNDECIDED = -1
"""An option that is still to be drawn."""


def neighbours(space: SearchSpace, trajectory: Trajectory, random: np.random.Generator) -> Iterator[Trajectory]:
    """All trajectories that one edit leads to, in random order, each made when it is asked for.

    An edit changes the type of a layer (options of the same name and value stay, others are drawn), changes one
    option, flips one connection, inserts a layer or removes one. The layers after it are grown again: what their
    masks no longer allow is replaced by a draw among what they do, and an edit after which nothing fits is left
    out. Connections of later layers go on reading the same nodes when a layer is inserted or removed before them,
    as far as the window reaches. In a space of L places and T types, without more, there are L (T - 1) neighbours.

    Args:
        space: Fitted space.
        trajectory: Where to start; decisions that its masks forbid are first brought into them.
        random: Draws the order and what an edit leaves open; it must not be used otherwise in the meantime.
    """
    start = legal(space, trajectory, random)
    if start is None:
        return
    editor = _Editor(space, start, random)
    edits = [edit for edits in editor.edits.values() for edit in edits]
    longer: set[tuple[LayerAction, ...]] = set()
    for index in random.permutation(len(edits)):
        found = editor.apply(edits[index])
        if found is None:
            continue
        if len(found.actions) != len(start.actions):
            # A layer put before or after its like gives the same sequence; so does removing either of two.
            if found.actions in longer:
                continue
            longer.add(found.actions)
        yield found


class Sketches:
    """Some edits of a trajectory whose later layers are not grown again yet: cheap to judge before it is done.

    Args:
        space: Fitted space.
        trajectory: Where to start, as in :func:`neighbours`.
        random: Draws the edits and what they leave open.
        count: Most edits.

    Attributes:
        actions: Decisions of each edited network; the masks may not allow all of them.
    """

    def __init__(
        self, space: SearchSpace, trajectory: Trajectory, random: np.random.Generator, count: int
    ) -> None:
        start = legal(space, trajectory, random)
        self._places: list[int] = []
        self.actions: list[tuple[LayerAction, ...]] = []
        if start is None:
            return
        self._editor = _Editor(space, start, random)
        edits = [edit for edits in self._editor.edits.values() for edit in edits]
        for index in random.permutation(len(edits))[:count]:
            place, after = self._editor.sketch(edits[index])
            after = [*map(self._editor.decided, after[:1]), *after[1:]]
            self._places.append(place)
            self.actions.append((*start.actions[:place], *after))

    def grown(self, index: int) -> Trajectory | None:
        """The edited network, brought into the masks; None if the layers after the edit find no place."""
        place = self._places[index]
        return self._editor.grow(place, self.actions[index][place:])


def mutate(
    space: SearchSpace, trajectory: Trajectory, random: np.random.Generator, edits: int = 1
) -> Trajectory:
    """A trajectory some random edits away.

    Each edit first draws its kind (type, option, connection, insertion, removal), each equally likely among those
    that the trajectory admits, and then one edit of this kind, all equally likely. So hyper-parameters do not crowd
    out types by their number, and depth has no drift. Where nothing can be edited the trajectory stays.

    Args:
        space: Fitted space.
        trajectory: Where to start.
        random: Draws the edits.
        edits: How many, one after the other.
    """
    for _ in range(edits):
        trajectory = _edited(space, trajectory, random)
    return trajectory


def _edited(space: SearchSpace, trajectory: Trajectory, random: np.random.Generator) -> Trajectory:
    start = legal(space, trajectory, random)
    if start is None:
        return trajectory
    editor = _Editor(space, start, random)
    kinds = [edits for edits in editor.edits.values() if edits]
    for kind in random.permutation(len(kinds)):
        for index in random.permutation(len(kinds[kind])):
            found = editor.apply(kinds[kind][index])
            if found is not None:
                return found
    return start


def allowed(trajectory: Trajectory) -> bool:
    """Whether every decision is open under its mask: designs by people may pass where the masks are closed."""
    return all(map(_allows, trajectory.masks, trajectory.actions))


def legal(space: SearchSpace, trajectory: Trajectory, random: np.random.Generator) -> Trajectory | None:
    """The trajectory, or if its masks forbid a decision or a draw was taken back, one regrown from its decisions."""
    if not trajectory.overwritten and allowed(trajectory):
        return trajectory
    return regrown(space, trajectory.actions, random)


def regrown(
    space: SearchSpace, actions: Sequence[LayerAction], random: np.random.Generator
) -> Trajectory | None:
    """Decisions brought into the masks of a space, with these masks.

    Args:
        space: Fitted space.
        actions: Decisions, with or without the last STOP; options may be :data:`UNDECIDED`.
        random: Draws what replaces decisions that the masks forbid.

    Returns:
        The trajectory; it ends early where no layer fits any more. None if it cannot end.
    """
    path = _start(space)
    for action in actions:
        longer = None if action.type == STOP else _extended(path, action, random)
        if longer is None:
            break
        path = longer
    return _ended(path, random)


def architecture_of(space: SearchSpace, trajectory: Trajectory) -> Architecture:
    """The canonical architecture of a trajectory, faster than by decoding: its masks are not computed again."""
    if trajectory.architecture is not None:
        return trajectory.architecture
    if isinstance(space, SequenceSpace):
        return space.decode(trajectory.actions)
    growth = space.start()
    for action, mask in zip(trajectory.actions[:-1], trajectory.masks, strict=False):
        growth = growth.add(action, mask)
    return growth.architecture


@dataclass(frozen=True, slots=True)
class _Sequence:
    """A sequence under construction where masks depend on the place alone: decisions only, no layers."""

    space: SequenceSpace
    actions: tuple[LayerAction, ...] = ()
    masks: tuple[LayerMask, ...] = ()

    @property
    def depth(self) -> int:
        return len(self.actions)

    def layer_mask(self, code: int) -> LayerMask:
        if code == STOP:
            return LayerMask(self.space.type_masks[self.depth])
        return self.space.layer_masks[self.depth][code]

    def add(self, action: LayerAction, mask: LayerMask) -> "_Sequence":
        return _Sequence(self.space, (*self.actions, action), (*self.masks, mask))


_Path = Growth | _Sequence


class _Kind(Enum):
    TYPE = auto()
    OPTION = auto()
    CONNECTION = auto()
    INSERTION = auto()
    REMOVAL = auto()


class _Edit(NamedTuple):
    """One edit.

    Attributes:
        kind: What is edited.
        place: Index of the layer, or of the layer before which one is inserted.
        slot: Index of the hyper-parameter or connection.
        value: The new type or option.
    """

    kind: _Kind
    place: int
    slot: int = 0
    value: int = 0


class _Editor:
    """The edits of one legal trajectory."""

    def __init__(self, space: SearchSpace, trajectory: Trajectory, random: np.random.Generator) -> None:
        self._space, self._random = space, random
        self._actions, self._masks = trajectory.actions[:-1], trajectory.masks
        self._paths: list[_Path] = [_start(space)]
        self._end = (trajectory.actions[-1],), trajectory.masks[-1:]

    @cached_property
    def edits(self) -> dict[_Kind, list[_Edit]]:
        """All edits that the masks allow, as far as the edited layer itself goes."""
        edits: dict[_Kind, list[_Edit]] = {kind: [] for kind in _Kind}
        for place, (action, mask) in enumerate(zip(self._actions, self._masks, strict=False)):
            edits[_Kind.TYPE] += [
                _Edit(_Kind.TYPE, place, 0, code)
                for code, flag in enumerate(mask.types[:-1])
                if flag and code != action.type
            ]
            for slot, flags in enumerate(mask.hyperparameters):
                chosen = action.hyperparameters[slot]
                options = [option for option, flag in enumerate(flags) if flag and option != chosen]
                edits[_Kind.OPTION] += [_Edit(_Kind.OPTION, place, slot, option) for option in options]
            open_connections = [slot for slot, flag in enumerate(mask.connections) if flag]
            edits[_Kind.CONNECTION] += [_Edit(_Kind.CONNECTION, place, slot) for slot in open_connections]
        if len(self._actions) < self._space.max_depth:
            for place, mask in enumerate(self._masks):
                codes = [code for code, flag in enumerate(mask.types[:-1]) if flag]
                edits[_Kind.INSERTION] += [_Edit(_Kind.INSERTION, place, 0, code) for code in codes]
        if len(self._actions) > self._space.min_depth:
            edits[_Kind.REMOVAL] = [_Edit(_Kind.REMOVAL, place) for place in range(len(self._actions))]
        return edits

    def apply(self, edit: _Edit) -> Trajectory | None:
        """The edited trajectory; None if the layers after the edit find no place."""
        if isinstance(self._space, SequenceSpace) and edit.kind not in (_Kind.INSERTION, _Kind.REMOVAL):
            # Masks depend on the place alone: what comes after stays legal.
            path, later = self._added(self._path(edit.place), self._changed(edit)), edit.place + 1
            actions = (*path.actions, *self._actions[later:], *self._end[0])
            return Trajectory(actions, (*path.masks, *self._masks[later:-1], *self._end[1]))
        return self.grow(*self.sketch(edit))

    def sketch(self, edit: _Edit) -> tuple[int, Sequence[LayerAction]]:
        """How many layers stay, and what comes after them, before the masks have seen it."""
        place, after = edit.place, self._actions[edit.place + 1 :]
        if edit.kind is _Kind.REMOVAL:
            return place, [_closed_up(a, offset) for offset, a in enumerate(after, start=1)]
        if edit.kind is _Kind.INSERTION:
            moved = [_moved_apart(a, offset) for offset, a in enumerate(self._actions[place:], start=1)]
            return place, [_undecided(self._space, edit.value), *moved]
        return place, [self._changed(edit), *after]

    def grow(self, place: int, after: Sequence[LayerAction]) -> Trajectory | None:
        """So many layers as they are, then others as far as the masks allow them."""
        return self._completed(self._path(place), after)

    def decided(self, action: LayerAction) -> LayerAction:
        """The layer with every option drawn that is still open."""
        if UNDECIDED not in action.hyperparameters:
            return action
        choices = self._space.layer_types[action.type].choices
        options = tuple(
            int(self._random.integers(len(choice))) if chosen == UNDECIDED else chosen
            for chosen, choice in zip(action.hyperparameters, choices, strict=True)
        )
        return LayerAction(action.type, options, action.connections)

    def _changed(self, edit: _Edit) -> LayerAction:
        action = self._actions[edit.place]
        if edit.kind is _Kind.TYPE:
            return _retyped(self._space, action, edit.value)
        if edit.kind is _Kind.OPTION:
            options = _with(action.hyperparameters, edit.slot, edit.value)
            return LayerAction(action.type, options, action.connections)
        flags = _with(action.connections, edit.slot, 1 - action.connections[edit.slot])
        return LayerAction(action.type, action.hyperparameters, flags)

    def _added(self, path: _Path, action: LayerAction) -> _Path:
        mask = path.layer_mask(action.type)
        return path.add(_within(action, mask, self._random), mask)

    def _path(self, place: int) -> _Path:
        """The network before a layer."""
        if isinstance(self._space, SequenceSpace):
            return _Sequence(self._space, self._actions[:place], self._masks[:place])
        while len(self._paths) <= place:
            depth = len(self._paths) - 1
            self._paths.append(self._paths[-1].add(self._actions[depth], self._masks[depth]))
        return self._paths[place]

    def _completed(self, path: _Path, after: Sequence[LayerAction]) -> Trajectory | None:
        for action in after:
            longer = _extended(path, action, self._random)
            if longer is None:
                return None
            path = longer
        return _ended(path, self._random)


def _start(space: SearchSpace) -> _Path:
    return _Sequence(space) if isinstance(space, SequenceSpace) else space.start()


def _extended(path: _Path, action: LayerAction, random: np.random.Generator) -> _Path | None:
    """The path with one more layer: the one given, or what the masks allow instead of it."""
    if path.depth == path.space.max_depth:
        return None
    mask = path.layer_mask(action.type)
    if not mask.types[action.type]:
        if not any(mask.types[:-1]):
            return None
        action = _retyped(path.space, action, any_open(mask.types[:-1], random))
        mask = path.layer_mask(action.type)
    return path.add(_within(action, mask, random), mask)


def _ended(path: _Path, random: np.random.Generator) -> Trajectory | None:
    """The path with STOP; layers are drawn first as long as STOP is closed."""
    while not (mask := path.layer_mask(STOP)).types[-1]:
        types = mask.types[:-1]
        drawn = _undecided(path.space, any_open(types, random)) if any(types) else None
        longer = None if drawn is None else _extended(path, drawn, random)
        if longer is None:
            return None
        path = longer
    actions, masks = (*path.actions, LayerAction(STOP)), (*path.masks, mask)
    return Trajectory(actions, masks, architecture=path.architecture if isinstance(path, Growth) else None)


def _undecided(space: SearchSpace, code: int) -> LayerAction:
    """A layer of a type with all options open and no connection beside the one to the newest node."""
    return LayerAction(code, (UNDECIDED,) * len(space.layer_types[code].choices), (0,) * (space.window - 1))


def _retyped(space: SearchSpace, action: LayerAction, code: int) -> LayerAction:
    """The layer with another type; options of the same name and value stay."""
    old, new = space.layer_types[action.type], space.layer_types[code]
    if not new.choices:
        return LayerAction(code, (), action.connections)
    values = {
        choice.name: choice.options[chosen]
        for choice, chosen in zip(old.choices, action.hyperparameters, strict=True)
        if chosen != UNDECIDED
    }
    kept = tuple(
        choice.options.index(values[choice.name]) if values.get(choice.name) in choice.options else UNDECIDED
        for choice in new.choices
    )
    return LayerAction(code, kept, action.connections)


def _within(action: LayerAction, mask: LayerMask, random: np.random.Generator) -> LayerAction:
    """The layer with options and connections that the mask allows; only those that it forbids are drawn."""
    if _options_open(action, mask) and _connections_open(action, mask):
        return action
    options = tuple(
        chosen if chosen != UNDECIDED and flags[chosen] else any_open(flags, random)
        for chosen, flags in zip(action.hyperparameters, mask.hyperparameters, strict=True)
    )
    flags = tuple(
        int(flag and chosen) for chosen, flag in zip(action.connections, mask.connections, strict=True)
    )
    return LayerAction(action.type, options, flags)


def _allows(mask: LayerMask, action: LayerAction) -> bool:
    return mask.types[action.type] and _options_open(action, mask) and _connections_open(action, mask)


def _options_open(action: LayerAction, mask: LayerMask) -> bool:
    pairs = zip(action.hyperparameters, mask.hyperparameters, strict=True)
    return all(chosen != UNDECIDED and flags[chosen] for chosen, flags in pairs)


def _connections_open(action: LayerAction, mask: LayerMask) -> bool:
    return all(flag or not chosen for chosen, flag in zip(action.connections, mask.connections, strict=True))


def _moved_apart(action: LayerAction, offset: int) -> LayerAction:
    """The ``offset``-th layer after an inserted one: it reads the nodes that it read, now further back."""
    flags = (0, *action.connections)  # for distances 1, 2, … m
    moved = (*flags[: offset - 1], 0, *flags[offset - 1 :])[1 : len(flags)]
    return LayerAction(action.type, action.hyperparameters, moved)


def _closed_up(action: LayerAction, offset: int) -> LayerAction:
    """The ``offset``-th layer after a removed one: it reads the nodes that are left, now nearer."""
    flags = (0, *action.connections)
    moved = (*flags[: offset - 1], *flags[offset:], 0)[1 : len(flags)]
    return LayerAction(action.type, action.hyperparameters, moved)


def _with(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return (*values[:index], value, *values[index + 1 :])
