"""From a description to layer types, places and the code of the keys."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from gcnas.errors import ConfigurationError
from gcnas.records import HyperparameterValue
from gcnas.space import Place, Token, token
from gcnas.tabular.description import Decision, Description
from gcnas.tabular.key import KeyCode, Site, Slot

CHAIN_WINDOW = 4
"""m of a chain whose description names none. What reads what is given there, so it changes no graph."""

MAX_TYPES = 1_000
"""Most kinds of layers."""

Options: TypeAlias = tuple[HyperparameterValue, ...]


@dataclass(frozen=True)
class Layout:
    """What a description makes of a space.

    Attributes:
        types: The layer types.
        places: What may stand where, and what it reads.
        code: How keys are written.
        min_depth: Fewest layers.
        window: m.
    """

    types: tuple[Token, ...]
    places: tuple[Place, ...]
    code: KeyCode
    min_depth: int
    window: int


@dataclass(frozen=True)
class _Group:
    """The decisions of one layer with their positions in the key, and the position after the last of them."""

    name: str
    decisions: tuple[Decision, ...]
    positions: tuple[int, ...]
    end: int

    @cached_property
    def options(self) -> tuple[Options, ...]:
        """Options of each hyper-parameter."""
        return tuple(_options(d) for d in self.decisions if d.kind == "hyperparameter")

    @property
    def meanings(self) -> tuple[str, ...]:
        """What may stand there: one fixed layer where that is no decision."""
        layer = next((d for d in self.decisions if d.kind == "layer"), None)
        return ("layer",) if layer is None else tuple(layer.choices.values())


def make_layout(description: Description) -> Layout:
    """Put the decisions of each layer together and find types, places and connections.

    Raises:
        ConfigurationError: If layers, connections or lengths do not fit together.
    """
    groups = _groups(description)
    reads = _reads(description, groups)
    window = _window(description, reads)
    codes = _codes(groups)
    sites = tuple(_site(group, place, codes, description, window) for place, group in enumerate(groups))
    types = tuple(_type(name, options) for name, (_, options) in zip(_names(codes), codes, strict=True))
    lengths = _lengths(description, sites)
    places = []
    for group, read in zip(groups, reads, strict=True):
        open_codes = {codes[meaning, group.options] for meaning in group.meanings}
        places.append(Place(tuple(code in open_codes for code in range(len(types))), {}, read))
    tokens = [choice for decision in description.decisions for choice in decision.choices]
    separator = "," if any(len(choice) > 1 for choice in tokens) else ""
    code = KeyCode(sites, separator, window - 1, lengths)
    return Layout(types, tuple(places), code, min(lengths.values()), window)


def _groups(description: Description) -> tuple[_Group, ...]:
    kinds = {decision.name: decision.kind for decision in description.decisions}
    members: dict[str, list[Decision]] = {}
    for decision in description.decisions:
        if kinds.get(decision.layer) == "hyperparameter":
            raise ConfigurationError(
                f"{decision.name!r} is 'of: {decision.layer}', which is itself a hyper-parameter; name a layer."
            )
        members.setdefault(decision.layer, []).append(decision)
    in_order = [decision.name for group in members.values() for decision in group]
    apart = in_order != [decision.name for decision in description.decisions]
    if apart and (description.length is not None or description.connections.searched):
        raise ConfigurationError(
            "With 'length' or searched connections the decisions of a layer must follow one another, "
            f"in the order {in_order}."
        )
    return _placed(description, members)


def _placed(description: Description, members: dict[str, list[Decision]]) -> tuple[_Group, ...]:
    """Positions in the key; searched connections come after the other decisions of their layer."""
    flags = description.connections.window if description.connections.searched else None
    index = {decision.name: position for position, decision in enumerate(description.decisions)}
    groups, shift = [], 0
    for place, (name, decisions) in enumerate(members.items()):
        positions = tuple(index[decision.name] + shift for decision in decisions)
        groups.append(_Group(name, tuple(decisions), positions, max(positions) + 1))
        shift += min(flags, place + 1) - 1 if flags else 0
    return tuple(groups)


def _reads(description: Description, groups: Sequence[_Group]) -> tuple[tuple[int, ...] | None, ...]:
    """Distances of the nodes that each layer reads; None where connections are searched."""
    if description.connections.searched:
        return (None,) * len(groups)
    if all(decision.inputs is None for decision in description.decisions):
        return ((1,),) * len(groups)
    places = {decision.name: place for place, group in enumerate(groups) for decision in group.decisions}
    places |= {group.name: place for place, group in enumerate(groups)}
    return tuple(_distances(group, place, places) for place, group in enumerate(groups))


def _distances(group: _Group, place: int, places: dict[str, int]) -> tuple[int, ...]:
    found = set()
    for position, decision in enumerate(group.decisions):
        # A hyper-parameter may name its own layer, or what is decided before it there.
        here = {group.name, *(each.name for each in group.decisions[:position])} if position else set()
        for name in decision.inputs or ():
            source = places.get(name)
            if source is None or source > place or (source == place and name not in here):
                raise ConfigurationError(
                    f"The inputs of {decision.name!r} must be earlier decisions, but {name!r} is none."
                )
            found.add(place - source)
    # What reads no other layer reads the input, node 0.
    return tuple(sorted(found - {0})) or (place + 1,)


def _window(description: Description, reads: Sequence[tuple[int, ...] | None]) -> int:
    given = description.connections.window
    farthest = max((distance for read in reads for distance in read or ()), default=1)
    if given is not None and given < farthest:
        raise ConfigurationError(f"The window must hold all inputs, {farthest} layers back, but it is {given}.")
    if given is None and all(decision.inputs is None for decision in description.decisions):
        return min(CHAIN_WINDOW, len(reads))
    return given or farthest


def _codes(groups: Sequence[_Group]) -> dict[tuple[str, tuple[Options, ...]], int]:
    """Codes of types: layers of one meaning with the same hyper-parameters are one type."""
    codes: dict[tuple[str, tuple[Options, ...]], int] = {}
    for group in groups:
        for meaning in group.meanings:
            codes.setdefault((meaning, group.options), len(codes))
    if len(codes) > MAX_TYPES:
        raise ConfigurationError(
            f"A table has at most {MAX_TYPES:,} kinds of layers, but this has {len(codes):,}."
        )
    return codes


def _names(codes: dict[tuple[str, tuple[Options, ...]], int]) -> list[str]:
    names: dict[str, None] = {}
    numbers: dict[str, int] = {}
    for meaning, _ in codes:
        word = re.sub(r"[^a-z0-9]+", "_", meaning.lower()).strip("_")[:34] or "layer"
        stem = word if word[0].isalpha() else f"layer_{word}"[:34]
        number = numbers.get(stem, 1)
        while (name := stem if number == 1 else f"{stem}_{number}") in names:
            number += 1
        numbers[stem] = number
        names[name] = None
    return list(names)


def _type(name: str, options: tuple[Options, ...]) -> Token:
    # The k-th hyper-parameter has the same name everywhere, so that equal options share a head.
    return token(name, {f"option_{number}": values for number, values in enumerate(options, start=1)})


def _site(
    group: _Group,
    place: int,
    codes: dict[tuple[str, tuple[Options, ...]], int],
    description: Description,
    window: int,
) -> Site:
    kind, options = None, []
    for decision, position in zip(group.decisions, group.positions, strict=True):
        if decision.kind == "layer":
            meanings = {codes[meaning, group.options]: text for text, meaning in decision.choices.items()}
            kind = Slot(position, decision.name, meanings)
        else:
            order = _options(decision)
            values = _meanings(decision)
            tokens = {order.index(value): text for text, value in values.items()}
            options.append(Slot(position, decision.name, tokens))
    searched = min(window, place + 1) - 1 if description.connections.searched else 0
    connections = tuple(
        Slot(group.end + number, f"connection of {group.name} {number + 2} back", {0: "0", 1: "1"})
        for number in range(searched)
    )
    return Site(group.name, kind, tuple(options), connections, codes[group.meanings[0], group.options])


def _meanings(decision: Decision) -> dict[str, HyperparameterValue]:
    """What each token of a hyper-parameter means: numbers if all are numbers."""
    numbers = {text: _number(meaning) for text, meaning in decision.choices.items()}
    values = [value for value in numbers.values() if value is not None]
    if len(set(values)) == len(numbers):
        return {text: value for text, value in numbers.items() if value is not None}
    return dict(decision.choices)


def _options(decision: Decision) -> Options:
    """The options of a hyper-parameter; numbers from small to large, others as they are listed."""
    values = tuple(_meanings(decision).values())
    return values if isinstance(values[0], str) else tuple(sorted(values))


def _number(text: str) -> int | float | None:
    if re.fullmatch(r"[+-]?\d{1,15}", text):
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e15 else None


def _lengths(description: Description, sites: Sequence[Site]) -> dict[int, int]:
    """Number of layers for each number of tokens that a key may have."""
    tokens = [sum(len(site.slots) for site in sites[:depth]) for depth in range(len(sites) + 1)]
    if description.length is None:
        return {tokens[-1]: len(sites)}
    least, most = description.length
    if most == tokens[-1]:
        return {length: depth for depth, length in enumerate(tokens) if depth and length >= least}
    if most == len(sites):
        return {tokens[depth]: depth for depth in range(least, most + 1)}
    raise ConfigurationError(
        f"The largest length must be that of the whole key, {tokens[-1]} tokens (or {len(sites)} layers), but "
        f"it is {most}."
    )
