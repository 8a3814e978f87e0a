"""Networks that grow together: the bookkeeping between a policy's tensors and the decision process."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from gcnas.graph import ABSENT, Vocabulary, node_features
from gcnas.policy.tables import MaskTables
from gcnas.records import LayerAction, LayerMask, Trajectory
from gcnas.space import SearchSpace


class Rollout(ABC):
    """B networks under construction, each of which grows until it draws STOP.

    A step asks for :meth:`type_mask`, then for :meth:`open_layers`, and then hands in :meth:`add_layers`.

    Attributes:
        features: (B, F), facts about the newest node of each network.
    """

    features: Tensor

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether any network may get another layer."""

    @abstractmethod
    def type_mask(self) -> Tensor:
        """(B, T + 1); networks that have stopped may only stop."""

    @abstractmethod
    def open_layers(self, types: Tensor) -> tuple[Tensor, Tensor]:
        """End the networks whose type is STOP; masks (B, K, O) and (B, m - 1) for the others' decisions."""

    @abstractmethod
    def add_layers(self, types: Tensor, options: Tensor, connections: Tensor) -> tuple[Tensor, Tensor]:
        """Add the layers that were decided; their options with absent ones marked, (B, K), and features (B, F)."""

    @property
    @abstractmethod
    def trajectories(self) -> list[Trajectory]:
        """What was decided for each network."""


class TableRollout(Rollout):
    """Where masks depend on the place alone and all nodes are alike: everything is done for the batch at once.

    Args:
        tables: The masks.
        features: (B, F), of every node.
    """

    def __init__(self, tables: MaskTables, features: Tensor) -> None:
        self.features = features
        self._tables, self._vocabulary = tables, tables.vocabulary
        self._alive = torch.ones(len(features), dtype=torch.bool)
        self._all_alive = self._any_alive = True
        self._decided: list[tuple[Tensor, Tensor, Tensor]] = []
        self._only_stop = torch.arange(self._vocabulary.types + 1) == self._vocabulary.types

    @property
    def running(self) -> bool:
        """Whether any network may get another layer; the deepest ones can only stop."""
        return self._any_alive and len(self._decided) < self._tables.max_depth

    def type_mask(self) -> Tensor:
        """(B, T + 1); networks that have stopped may only stop."""
        mask = self._tables.types[len(self._decided)].expand(len(self.features), -1)
        return mask if self._all_alive else torch.where(self._alive[:, None], mask, self._only_stop)

    def open_layers(self, types: Tensor) -> tuple[Tensor, Tensor]:
        """End the networks whose type is STOP; masks (B, K, O) and (B, m - 1) for the others' decisions."""
        depth = len(self._decided)
        if self._tables.may_stop[depth] or not self._all_alive:
            self._alive = types != self._vocabulary.types
            self._all_alive, self._any_alive = bool(self._alive.all()), bool(self._alive.any())
        connections = self._tables.connections[depth].expand(len(types), -1)
        return self._tables.options[depth].index_select(0, types), connections

    def add_layers(self, types: Tensor, options: Tensor, connections: Tensor) -> tuple[Tensor, Tensor]:
        """Add the layers that were decided; their options with absent ones marked, (B, K), and features (B, F)."""
        self._decided.append((types, options, connections))
        if self._all_alive and self._vocabulary.all_heads:
            return options, self.features
        return options.masked_fill(~self._vocabulary.has_head[types], ABSENT), self.features

    @property
    def trajectories(self) -> list[Trajectory]:
        """What was decided for each network."""
        types, options, connections = (torch.stack(parts, 1) for parts in zip(*self._decided, strict=True))
        return self._tables.trajectories(types, options, connections)


class GrowthRollout(Rollout):
    """Where the masks depend on what was built: every network is asked.

    Args:
        space: Fitted space.
        vocabulary: Its vocabulary.
        count: B.
    """

    def __init__(self, space: SearchSpace, vocabulary: Vocabulary, count: int) -> None:
        self._vocabulary = vocabulary
        self._growths = [space.start()] * count
        self._alive = [True] * count
        self.features = torch.tensor(node_features(space.start())).expand(count, -1)
        self._masks: list[LayerMask | None] = [None] * count
        self._packed: dict[tuple[int, tuple[tuple[bool, ...], ...]], bytes] = {}

    @property
    def running(self) -> bool:
        """Whether any network may get another layer."""
        return any(self._alive)

    def type_mask(self) -> Tensor:
        """(B, T + 1); networks that have stopped may only stop."""
        stopped = (False,) * self._vocabulary.types + (True,)
        rows = zip(self._growths, self._alive, strict=True)
        return torch.tensor([growth.type_mask() if alive else stopped for growth, alive in rows])

    def open_layers(self, types: Tensor) -> tuple[Tensor, Tensor]:
        """End the networks whose type is STOP; masks (B, K, O) and (B, m - 1) for the others' decisions."""
        codes: list[int] = types.tolist()
        self._alive = [code != self._vocabulary.types for code in codes]
        rows = zip(self._growths, codes, self._alive, strict=True)
        self._masks = [growth.layer_mask(code) if alive else None for growth, code, alive in rows]
        shape = (len(codes), len(self._vocabulary.heads), self._vocabulary.options)
        flags = bytearray().join(self._pack(code, mask) for code, mask in zip(codes, self._masks, strict=True))
        options = torch.frombuffer(flags, dtype=torch.bool) if flags else torch.ones(0, dtype=torch.bool)
        # Those that grow are equally deep, and on that alone the open connections depend.
        edges = next((mask.connections for mask in self._masks if mask), (False,) * self._vocabulary.skips)
        return options.reshape(shape), torch.tensor(edges, dtype=torch.bool).expand(len(codes), -1)

    def _pack(self, code: int, mask: LayerMask | None) -> bytes:
        """Flags (K, O) of one network, one byte each; all are open in heads that the type does not have."""
        key = (code, mask.hyperparameters if mask else ())
        if key not in self._packed:
            rows = [b"\1" * self._vocabulary.options] * len(self._vocabulary.heads)
            for head, flags in zip(self._vocabulary.slots[code] if mask else (), key[1], strict=True):
                rows[head] = bytes(flags).ljust(self._vocabulary.options, b"\0")
            self._packed[key] = b"".join(rows)
        return self._packed[key]

    def add_layers(self, types: Tensor, options: Tensor, connections: Tensor) -> tuple[Tensor, Tensor]:
        """Add the layers that were decided; their options with absent ones marked, (B, K), and features (B, F)."""
        decided = zip(types.tolist(), options.tolist(), connections.to(torch.int64).tolist(), strict=True)
        grown = []
        for growth, mask, (code, chosen, edges) in zip(self._growths, self._masks, decided, strict=True):
            if mask is not None:
                heads = self._vocabulary.slots[code]
                action = LayerAction(code, tuple(chosen[head] for head in heads), tuple(edges))
                growth = growth.add(action, mask)
            grown.append(growth)
        self._growths = grown
        self.features = torch.tensor([node_features(growth) for growth in grown])
        return options.masked_fill(~self._vocabulary.has_head[types], ABSENT), self.features

    @property
    def trajectories(self) -> list[Trajectory]:
        """What was decided for each network."""
        return [growth.stop() for growth in self._growths]
