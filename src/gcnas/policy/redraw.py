"""Re-configuration: each new layer lets the HPPB draw those still inside the window again (Fig. 5 of the paper)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gcnas.graph import TrajectoryBatch, Vocabulary, kept_draws
from gcnas.policy.base import Likelihood, Logits, draw, flip, likelihood
from gcnas.policy.gcn import GCNPolicy, GCNSettings
from gcnas.policy.layer_extraction import BlockState
from gcnas.policy.rollout import GrowthRollout
from gcnas.records import Draw, Trajectory
from gcnas.space import Growth, SearchSpace


class RedrawQueries(nn.Module):
    r"""What the HPPB's heads read for a layer that is drawn again.

    .. math:: q_\delta = q + W_r k_{n-\delta} + r_\delta

    q is the answer to the newest layer n, so a redraw knows what came after; k is what the connection head keeps of the
    older layer, a product of its present embedding; r is learned for each distance. Both terms start at zero.

    Args:
        width: d.
        window: m.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.present = nn.Linear(width, width, bias=False)
        self.distances = nn.Parameter(torch.zeros(window - 1, width))
        nn.init.zeros_(self.present.weight)

    def forward(self, answer: Tensor, products: Tensor) -> Tensor:
        """Of the w layers in the window, oldest first and the newest last: (B, w, d).

        Args:
            answer: (B, d) to the newest layer.
            products: (B, w - 1, d) of the older ones, newest first.
        """
        older = answer[:, None] + self.present(products) + self.distances[: products.shape[1]]
        return torch.cat([older.flip(1), answer[:, None]], 1)


@dataclass(frozen=True)
class _Window:
    """B networks that grow, from before each of their newest layers on.

    The last entry of each is the present; there are min(m, s + 1) after s layers, oldest first.

    Attributes:
        composition: The graphs of the LEB.
        parameters: The graphs of the HPPB, with their anchors (B, m, d).
        types: Codes (B) of the layers between the entries.
    """

    composition: tuple[BlockState, ...]
    parameters: tuple[tuple[BlockState, Tensor], ...]
    types: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class _Drawn:
    """One layer of each network: options (B, K), connections (B, m - 1), features (B, F) of its output."""

    options: Tensor
    connections: Tensor
    features: Tensor


class RedrawPolicy(GCNPolicy):
    """Interleaved blocks whose HPPB also draws again, whenever a layer is added, the older layers in the window.

    The paper says that the HPPB re-configures parameters and connections. The LEB draws the type of a layer from the
    graph as it stands; one pass of the HPPB then gives logits of that layer and of the m - 1 before it, and all are
    drawn from the oldest on. Types are never drawn again, nothing is when the LEB stops, and a layer that has left the
    window stays as it is.

    A trajectory's probability is that of all its draws, those that were overwritten included, since later decisions
    read them. Both graphs are rebuilt inside the window from what was cached before it: a step costs m times that of
    :class:`GCNPolicy`, still the same however deep the networks are. Known trajectories are replayed step by step.

    Args:
        space: Fitted space.
        settings: Size and reading.
    """

    def __init__(self, space: SearchSpace, settings: GCNSettings | None = None) -> None:
        super().__init__(space, settings)
        self.again = RedrawQueries(self.hppb.encoder.width, self.vocabulary.window)

    def forward(self, batch: TrajectoryBatch) -> Likelihood:
        """Log-probability of all draws under their masks, and entropy.

        Where a batch has no overwritten draws, it is that of drawing the same each time.
        """
        draws = batch.draws or kept_draws(batch)
        return likelihood(self._replay(batch, draws), draws)

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """What both blocks believed at each type, and at that draw of each layer which stayed."""
        window = self.vocabulary.window
        found = self._replay(batch, batch.draws or kept_draws(batch))
        layer = torch.arange(batch.types.shape[1])
        depth = batch.layers.sum(1, keepdim=True)
        distance = (depth - 1 - layer).clamp(min=0, max=window - 1)
        last = (layer + distance) * window + distance
        rows = torch.arange(len(last))[:, None]
        return Logits(found.types[:, ::window], found.options[rows, last], found.connections[rows, last])

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> list[Trajectory]:
        """Draw trajectories; a step costs the same however deep the networks are."""
        rollout = _RedrawRollout(self.space, self.vocabulary, count)
        window = self._start(rollout.features)
        while rollout.running:
            types = draw(self.leb.logits(window.composition[-1]), rollout.type_mask(), generator)
            rollout.open_step(types)
            if not rollout.running:
                break
            heads, edges = self._decide(window, types)
            drawn = []
            for layer in range(heads.shape[1]):
                option_mask, connection_mask = rollout.open_layer()
                options = draw(heads[:, layer], option_mask, generator)
                drawn.append(rollout.add_layer(options, flip(edges[:, layer], connection_mask, generator)))
            window = self._rebuild(window, types, drawn)
        return rollout.trajectories

    def _replay(self, batch: TrajectoryBatch, draws: TrajectoryBatch) -> Logits:
        """What the policy believed at every draw: (B, N · m, …) in the order of ``draws``."""
        m = self.vocabulary.window
        window = self._start(batch.features[:, 0])
        types, options, connections = [], [], []
        for step in range(batch.types.shape[1]):
            heads, edges = self._decide(window, batch.types[:, step])
            types.append(self.leb.logits(window.composition[-1]).expand(m, -1, -1))
            missing = m - heads.shape[1]
            options.append(nn.functional.pad(heads.flip(1), (0, 0, 0, 0, 0, missing)))
            connections.append(nn.functional.pad(edges.flip(1), (0, 0, 0, missing)))
            slots = [step * m + distance for distance in reversed(range(heads.shape[1]))]
            drawn = [
                _Drawn(draws.options[:, slot], draws.connections[:, slot], draws.features[:, slot + 1])
                for slot in slots
            ]
            window = self._rebuild(window, batch.types[:, step], drawn)
        return Logits(torch.cat(types).transpose(0, 1), torch.cat(options, 1), torch.cat(connections, 1))

    def _start(self, features: Tensor) -> _Window:
        return _Window((self.leb.start(features),), (self.hppb.start(features),))

    def _decide(self, window: _Window, types: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, w, K, O) and (B, w, m - 1) of the w layers in the window, oldest first, the new one last."""
        present, anchors = window.parameters[-1]
        older = anchors[:, : len(window.parameters) - 1]
        answers = self.again(self.hppb.answer(present, types), older)
        read = torch.stack([anchors[:, 1:] for _, anchors in window.parameters], 1)
        return self.hppb.decide(answers, read)

    def _rebuild(self, window: _Window, types: Tensor, drawn: list[_Drawn]) -> _Window:
        """The networks with one more layer of the given types (B), and all w layers in the window as drawn."""
        m, kinds = self.vocabulary.window, (*window.types, types)
        composition, parameters = [window.composition[0]], [window.parameters[0]]
        for kind, layer in zip(kinds, drawn, strict=True):
            composition.append(self.leb.append(composition[-1], kind, layer.connections))
            state, anchors = parameters[-1]
            parameters.append(
                self.hppb.append(state, anchors, kind, layer.options, layer.connections, layer.features)
            )
        composition, parameters = composition[-m:], parameters[-m:]
        return _Window(tuple(composition), tuple(parameters), kinds[len(kinds) + 1 - len(composition) :])


class _RedrawRollout(GrowthRollout):
    """Networks that grow together and whose newest layers are drawn again at each step.

    A step asks for :meth:`type_mask` and hands in :meth:`open_step`. Then, for each layer in the window from the
    oldest on, it asks for :meth:`open_layer` and hands in :meth:`add_layer`.

    Args:
        space: Fitted space.
        vocabulary: Its vocabulary.
        count: B.
    """

    def __init__(self, space: SearchSpace, vocabulary: Vocabulary, count: int) -> None:
        super().__init__(space, vocabulary, count)
        self._layer = 0
        self._types: list[Tensor] = []
        self._type_masks: list[list[tuple[bool, ...]]] = []
        self._draws: list[list[list[Draw]]] = [[] for _ in range(count)]
        # From before each layer in the window, oldest first.
        self._before: list[list[Growth]] = []

    def open_step(self, types: Tensor) -> None:
        """End the networks whose type (B) is STOP; go back to before the window in the others."""
        self._alive = [code != self._vocabulary.types for code in types.tolist()]
        self._types.append(types)
        self._type_masks.append([growth.type_mask() for growth in self._growths])
        window = [*self._before, self._growths][-self._vocabulary.window :]
        rows = zip(window[0], self._growths, self._alive, strict=True)
        self._growths = [base if alive else growth for base, growth, alive in rows]
        for draws, alive in zip(self._draws, self._alive, strict=True):
            if alive:
                draws.append([])
        self._before, self._layer = [], len(self._types) - len(window)

    def open_layer(self) -> tuple[Tensor, Tensor]:
        """Masks (B, K, O) and (B, m - 1) of the layer drawn next; its type keeps the mask it was chosen under."""
        self._before.append(self._growths)
        masks = self.open_layers(self._codes())
        rows = zip(self._masks, self._type_masks[self._layer], strict=True)
        self._masks = [mask and replace(mask, types=types) for mask, types in rows]
        return masks

    def add_layer(self, options: Tensor, connections: Tensor) -> _Drawn:
        """Add the layer that was drawn."""
        chosen, features = self.add_layers(self._codes(), options, connections)
        for draws, growth, alive in zip(self._draws, self._growths, self._alive, strict=True):
            if alive:
                draws[self._layer].append(_newest(growth))
        self._layer += 1
        return _Drawn(chosen, connections, features)

    def _codes(self) -> Tensor:
        """Types (B) of the layer drawn next, STOP for networks that have stopped."""
        return torch.where(torch.tensor(self._alive), self._types[self._layer], self._vocabulary.types)

    @property
    def trajectories(self) -> list[Trajectory]:
        """What was decided for each network, with what was overwritten."""
        found = []
        for trajectory, draws in zip(super().trajectories, self._draws, strict=True):
            overwritten = (*(tuple(each[:-1]) for each in draws), ())
            found.append(replace(trajectory, overwritten=overwritten if any(overwritten) else ()))
        return found


def _newest(growth: Growth) -> Draw:
    action, mask = growth.actions[-1], growth.masks[-1]
    return Draw(action.hyperparameters, action.connections, mask.hyperparameters, mask.connections)
