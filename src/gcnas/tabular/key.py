"""Keys of a table: from the decisions of a layer to the tokens of a key, and back."""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from gcnas.errors import SpaceError
from gcnas.records import STOP, LayerAction


@dataclass(frozen=True)
class Slot:
    """One token of the key.

    Attributes:
        position: Its position among the tokens.
        name: Name of the decision.
        tokens: The token of each decision: of a type's code, of an option's index, of a connection's flag.
    """

    position: int
    name: str
    tokens: Mapping[int, str]

    @cached_property
    def values(self) -> dict[str, int]:
        """The decision of each token."""
        return {token: value for value, token in self.tokens.items()}


@dataclass(frozen=True)
class Site:
    """The tokens of one layer.

    Attributes:
        name: Name of the layer.
        type: The token of its type; None where that is fixed.
        code: Code of the fixed type.
        options: The token of each hyper-parameter.
        connections: The tokens of connections to the nodes 2, 3, … back, where they are searched.
    """

    name: str
    type: Slot | None
    options: tuple[Slot, ...]
    connections: tuple[Slot, ...]
    code: int = 0

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """All tokens."""
        return (*(() if self.type is None else (self.type,)), *self.options, *self.connections)

    def write(self, action: LayerAction, tokens: list[str]) -> None:
        """Put the tokens of a layer's decisions where they belong."""
        if self.type is not None:
            tokens[self.type.position] = self.type.tokens[action.type]
        elif action.type != self.code:
            raise KeyError(action.type)
        for slot, option in zip(self.options, action.hyperparameters, strict=True):
            tokens[slot.position] = slot.tokens[option]
        for slot, flag in zip(self.connections, action.connections, strict=False):
            tokens[slot.position] = slot.tokens[flag]

    def read(self, tokens: Sequence[str], flags: int) -> LayerAction:
        """The decisions behind tokens, with so many flags of connections."""
        code = self.code if self.type is None else self.type.values[tokens[self.type.position]]
        read = [slot.values[tokens[slot.position]] for slot in self.connections]
        return LayerAction(
            code,
            tuple(slot.values[tokens[slot.position]] for slot in self.options),
            (*read, *(0,) * (flags - len(read))),
        )


@dataclass(frozen=True)
class KeyCode:
    """How a table writes architectures.

    Attributes:
        sites: The layers, in order.
        separator: Between tokens: nothing, or a comma where tokens are longer than a character.
        flags: Flags of connections that every action has, m - 1.
        lengths: Number of layers for each number of tokens that a key may have.
    """

    sites: tuple[Site, ...]
    separator: str
    flags: int
    lengths: Mapping[int, int]

    @cached_property
    def _tokens(self) -> dict[int, int]:
        return {depth: length for length, depth in self._all_lengths.items()}

    @cached_property
    def _all_lengths(self) -> dict[int, int]:
        """Number of layers for the number of tokens of any prefix of whole layers."""
        total, lengths = 0, {0: 0}
        for depth, site in enumerate(self.sites, start=1):
            total += len(site.slots)
            lengths[total] = depth
        return lengths

    @cached_property
    def _slots(self) -> list[Slot]:
        return sorted((slot for site in self.sites for slot in site.slots), key=lambda slot: slot.position)

    def key(self, actions: Sequence[LayerAction]) -> str:
        """The key of decisions, with or without the last STOP.

        Raises:
            SpaceError: If a layer may not stand where it does.
        """
        layers = [action for action in actions if action.type != STOP]
        if len(layers) > len(self.sites):
            raise SpaceError(f"A key has at most {len(self.sites)} layers, not {len(layers)}.")
        tokens = [""] * self._tokens[len(layers)]
        for site, action in zip(self.sites, layers, strict=False):
            try:
                site.write(action, tokens)
            except (LookupError, ValueError):
                raise SpaceError(f"The table knows no decisions {action} for {site.name!r}.") from None
        return self.separator.join(tokens)

    def actions(self, key: str) -> tuple[LayerAction, ...]:
        """The decisions behind a key as :meth:`key` and :meth:`checked` write it."""
        tokens = self._split(key)
        return tuple(site.read(tokens, self.flags) for site in self.sites[: self._all_lengths[len(tokens)]])

    def checked(self, text: str) -> str:
        """A key as :meth:`key` writes it.

        Raises:
            SpaceError: If it has too few or too many tokens, or one that its decision does not have.
        """
        tokens = self._split(text.strip())
        if len(tokens) not in self.lengths:
            allowed = ", ".join(map(str, sorted(self.lengths)))
            raise SpaceError(f"a key has {allowed} tokens, but {reprlib.repr(text)} has {len(tokens)}")
        for slot, token in zip(self._slots, tokens, strict=False):
            if token not in slot.values:
                raise SpaceError(
                    f"{slot.name!r} has the tokens {', '.join(slot.values)}, but {reprlib.repr(text)} has "
                    f"{reprlib.repr(token)} there"
                )
        return self.separator.join(tokens)

    def _split(self, text: str) -> list[str]:
        if self.separator or "," in text:
            return [token.strip() for token in text.split(",")]
        return list(text)
