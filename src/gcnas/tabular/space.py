"""The space of a table: sequences of its tokens, in which equal networks are one architecture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from gcnas.records import Architecture, LayerAction
from gcnas.space import SequenceSpace
from gcnas.tabular.description import Description
from gcnas.tabular.key import KeyCode
from gcnas.tabular.layout import make_layout

MAX_CACHED = 200_000
"""Architectures that are kept decoded."""


@dataclass(frozen=True, kw_only=True)
class TableSpace(SequenceSpace):
    """A space of sequences whose architectures have a key in a table.

    Attributes:
        code: How keys are written.
        representatives: For each key that is the same network as another one that stands for it, that one; decoding
            leads there.
        sizes: Parameters and multiply-adds of each key; nobody knows them if empty.
    """

    code: KeyCode
    representatives: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]

    @property
    def sized(self) -> bool:
        """Whether sizes are known."""
        return bool(self.sizes)

    def size(self, architecture: Architecture) -> tuple[int, int]:
        """Parameters and multiply-adds; 0 where the table has no such network."""
        return self.sizes.get(self.key(architecture), (0, 0))

    @cached_property
    def _decoded(self) -> dict[str, Architecture]:
        return {}

    @cached_property
    def _keys(self) -> dict[str, str]:
        """By the fingerprints of those that are kept decoded."""
        return {}

    def decode(self, actions: Sequence[LayerAction]) -> Architecture:
        """The first architecture of the table that is the same network as that of the decisions.

        Raises:
            SpaceError: If a decision is not open where it stands.
        """
        key = self.code.key(actions)
        key = self.representatives.get(key, key)
        architecture = self._decoded.get(key)
        if architecture is None:
            architecture = super().decode(self.code.actions(key))
            if len(self._decoded) >= MAX_CACHED:
                self._decoded.clear()
                self._keys.clear()
            self._decoded[key] = architecture
            self._keys[architecture.fingerprint] = key
        return architecture

    def key(self, architecture: Architecture) -> str:
        """The key of an architecture.

        Raises:
            SpaceError: If the architecture is no point of the space.
        """
        known = self._keys.get(architecture.fingerprint)
        if known is not None:
            return known
        layers = enumerate(architecture.layers, start=1)
        return self.code.key([self.encode_layer(layer, index) for index, layer in layers])

    def from_key(self, key: str) -> Architecture:
        """The architecture of a key, in canonical form.

        Raises:
            SpaceError: If it is no key of the space.
        """
        return self.decode(self.code.actions(self.code.checked(key)))


def make_space(
    description: Description,
    representatives: Mapping[str, str] | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> TableSpace:
    """The space that a description tells of.

    Args:
        description: The description.
        representatives: Keys of equal networks, see :class:`TableSpace`.
        sizes: Of the networks, likewise.

    Raises:
        ConfigurationError: If layers, connections or lengths do not fit together.
    """
    layout = make_layout(description)
    return TableSpace(
        description.name,
        layout.types,
        min_depth=layout.min_depth,
        max_depth=len(layout.places),
        window=layout.window,
        places=layout.places,
        code=layout.code,
        representatives=representatives or {},
        sizes=sizes or {},
    )
