"""The recurrent controller that the paper replaces (Zoph & Le, 2017): one LSTM step for each decision."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gcnas.graph import ABSENT, TrajectoryBatch
from gcnas.policy.base import Logits, Policy, Rollout, draw, flip
from gcnas.policy.hyperparameter_prediction import ConnectionHead
from gcnas.records import Trajectory
from gcnas.space import SearchSpace

INITIAL_RANGE = 0.08
"""Weights start uniform within this bound, as in Zoph & Le."""


@dataclass(frozen=True)
class RNNSettings:
    """Size of the controller.

    Attributes:
        width: Units of each LSTM layer.
        layers: LSTM layers.
        parallel: Whether all hyper-parameters and connections of a layer are decided in one step, as the HPPB does;
            else each is a step of its own.
    """

    width: int = 35
    layers: int = 2
    parallel: bool = False


@dataclass(frozen=True)
class _Script:
    """The sequence of LSTM steps of known trajectories.

    Shapes:
        - inputs: (B, S, J), codes of the decisions that each step is told; 0 is nothing
        - type_steps: (B, N), the step that decides each type
        - option_steps: (B, N, K), the step that decides each head
        - edge_steps: (B, N), the step that decides the connections
    """

    inputs: Tensor
    type_steps: Tensor
    option_steps: Tensor
    edge_steps: Tensor


class RNNPolicy(Policy):
    """Two-layer LSTM; the embedding of each decision is the input of the next step.

    It has the tokens, masks and STOP of the GCN policy. Connections are chosen by attention to anchors, the hidden
    states at the steps that decided the connections of earlier layers.

    Args:
        space: Fitted space.
        settings: Size, and whether heads are parallel.
    """

    def __init__(self, space: SearchSpace, settings: RNNSettings | None = None) -> None:
        super().__init__(space)
        self.settings = s = settings or RNNSettings()
        v = self.vocabulary
        self._first_option = 2 + v.types
        self._first_edge = self._first_option + len(v.heads) * v.options
        self.inputs = nn.EmbeddingBag(self._first_edge + v.skips, s.width, mode="sum", padding_idx=0)
        self.lstm = nn.LSTM(s.width, s.width, s.layers, batch_first=True)
        self.type_head = nn.Linear(s.width, v.types + 1)
        self.option_heads = nn.Linear(s.width, len(v.heads) * v.options)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INITIAL_RANGE, INITIAL_RANGE)
        self.connections = ConnectionHead(s.width)
        self.input_anchor = nn.Parameter(torch.zeros(s.width))

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """What the controller believes at every decision: one pass of the LSTM over the whole sequence."""
        script = self._script(batch)
        count, steps, _ = script.inputs.shape
        embedded = self.inputs(script.inputs.flatten(0, 1)).reshape(count, steps, -1)
        hidden, _ = self.lstm(embedded)
        at_types, at_edges = _gather(hidden, script.type_steps), _gather(hidden, script.edge_steps)
        asked = script.option_steps
        heads = self._heads(_gather(hidden, asked.flatten(1)))
        heads = heads.reshape(*asked.shape, *heads.shape[2:])
        own = heads.diagonal(dim1=2, dim2=3).permute(0, 1, 3, 2)
        first = self.input_anchor.expand(count, 1, -1)
        products = self.connections.anchor(torch.cat([first, at_edges[:, :-1]], 1))
        anchors = [
            nn.functional.pad(products, (0, 0, distance - 1, 0))[:, : products.shape[1]]
            for distance in range(2, self.vocabulary.window + 1)
        ]
        edges = self.connections(torch.stack(anchors, 2), at_edges) if anchors else at_edges[..., :0]
        return Logits(self.type_head(at_types), own, edges)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> list[Trajectory]:
        """Draw trajectories, one LSTM step after the other."""
        rollout = Rollout(self.space, self.vocabulary, count)
        state: tuple[Tensor, Tensor] | None = None
        told = torch.ones(count, 1, dtype=torch.int64)
        anchors = torch.zeros(count, self.vocabulary.window, self.settings.width)
        anchors[:, 0] = self.connections.anchor(self.input_anchor)
        while any(rollout.alive):
            hidden, state = self._step(told, state)
            types = draw(self.type_head(hidden), rollout.type_mask(), generator)
            option_mask, edge_mask = rollout.open_layers(types)
            if not any(rollout.alive):
                break
            told = types[:, None].clamp(max=self.vocabulary.types - 1) + 2
            decide = self._decide_at_once if self.settings.parallel else self._decide_in_turn
            options, hidden, state, told = decide(types, option_mask, told, state, generator)
            logits = self.connections(anchors[:, 1:], hidden)
            edges = flip(logits, edge_mask, generator)
            anchors = torch.cat([self.connections.anchor(hidden)[:, None], anchors[:, :-1]], 1)
            told = torch.cat([told, self._edge_codes(edges)], 1)
            rollout.add_layers(types, options, edges)
        return rollout.trajectories

    def _decide_at_once(
        self,
        types: Tensor,
        mask: Tensor,
        told: Tensor,
        state: tuple[Tensor, Tensor] | None,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], Tensor]:
        hidden, after = self._step(told, state)
        options = draw(self._heads(hidden), mask, generator)
        codes = torch.zeros_like(options)
        for row, code in enumerate(types.clamp(max=self.vocabulary.types - 1).tolist()):
            heads = list(self.vocabulary.slots[code])
            codes[row, heads] = self._option_codes(options)[row, heads]
        return options, hidden, after, codes

    def _decide_in_turn(
        self,
        types: Tensor,
        mask: Tensor,
        told: Tensor,
        state: tuple[Tensor, Tensor] | None,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], Tensor]:
        """One step for each hyper-parameter; where a type has fewer than others, its state waits."""
        options = torch.zeros(len(types), len(self.vocabulary.heads), dtype=torch.int64)
        slots = [self.vocabulary.slots[code] for code in types.clamp(max=self.vocabulary.types - 1).tolist()]
        rows = torch.arange(len(types))
        for turn in range(max(map(len, slots))):
            here = torch.tensor([len(slot) > turn for slot in slots])
            heads = torch.tensor([slot[turn] if len(slot) > turn else 0 for slot in slots])
            hidden, after = self._step(told, state)
            state = after if state is None else _where(here, after, state)
            picked = draw(self._heads(hidden)[rows, heads], mask[rows, heads], generator)
            options[rows[here], heads[here]] = picked[here]
            code = heads * self.vocabulary.options + picked + self._first_option
            width = max(told.shape[1], 1)
            fresh = nn.functional.pad(code[:, None], (0, width - 1))
            told = torch.where(here[:, None], fresh, told)
        hidden, after = self._step(told, state)
        return options, hidden, after, torch.zeros(len(types), 0, dtype=torch.int64)

    def _step(self, told: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        hidden, after = self.lstm(self.inputs(told)[:, None], state)
        return hidden[:, 0], after

    def _heads(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.option_heads(hidden)
        return logits.reshape(*hidden.shape[:-1], len(self.vocabulary.heads), self.vocabulary.options)

    def _option_codes(self, options: Tensor) -> Tensor:
        """Codes (…, K) of options (…, K); 0 for absent ones."""
        heads = torch.arange(options.shape[-1]) * self.vocabulary.options + self._first_option
        return torch.where(options == ABSENT, 0, options + heads)

    def _edge_codes(self, edges: Tensor) -> Tensor:
        """Codes (…, m - 1) of connections (…, m - 1); 0 for those that are not there."""
        return (edges.to(torch.int64) * (torch.arange(edges.shape[-1]) + self._first_edge)).to(torch.int64)

    def _script(self, batch: TrajectoryBatch) -> _Script:
        """Lay out the steps: type, then its hyper-parameters (one step each, or one for all), then connections."""
        count, _, heads = batch.options.shape
        used = batch.options != ABSENT
        here = batch.layers
        per_layer = torch.ones_like(batch.types) if self.settings.parallel else used.sum(2) + 1
        type_steps = ((per_layer + 1) * here).cumsum(1) - (per_layer + 1) * here
        edge_steps = type_steps + per_layer
        rank = torch.zeros_like(batch.options) if self.settings.parallel else used.cumsum(2) - 1
        option_steps = type_steps[..., None] + 1 + rank.clamp(min=0)
        total = int(edge_steps.max()) + 2
        inputs = torch.zeros(count, total, max(heads + self.vocabulary.skips, 1), dtype=torch.int64)
        inputs[:, 0, 0] = 1
        _put(
            inputs,
            (type_steps + 1)[..., None],
            torch.zeros_like(batch.types)[..., None],
            (batch.types + 2)[..., None],
            here[..., None],
        )
        slot = torch.arange(heads).expand_as(batch.options)
        _put(inputs, option_steps + 1, slot, self._option_codes(batch.options), used & here[..., None])
        edge_slot = (heads + torch.arange(self.vocabulary.skips)).expand_as(batch.connections)
        _put(
            inputs,
            (edge_steps + 1)[..., None].expand_as(batch.connections),
            edge_slot,
            self._edge_codes(batch.connections),
            here[..., None].expand_as(batch.connections),
        )
        limit = total - 1
        return _Script(
            inputs, type_steps.clamp(max=limit), option_steps.clamp(max=limit), edge_steps.clamp(max=limit)
        )


def _put(inputs: Tensor, steps: Tensor, slots: Tensor, codes: Tensor, where: Tensor) -> None:
    rows = torch.arange(len(inputs)).reshape(-1, *([1] * (steps.ndim - 1))).expand_as(steps)
    inputs[rows[where], steps[where], slots[where]] = codes[where]


def _gather(hidden: Tensor, steps: Tensor) -> Tensor:
    return hidden.gather(1, steps[..., None].expand(-1, -1, hidden.shape[-1]))


def _where(rows: Tensor, new: tuple[Tensor, Tensor], old: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    choose = rows[None, :, None]
    return torch.where(choose, new[0], old[0]), torch.where(choose, new[1], old[1])
