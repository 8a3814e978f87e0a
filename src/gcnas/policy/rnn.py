"""The recurrent controller that the paper replaces (Zoph & Le, 2017): one LSTM step for each decision."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from gcnas.graph import ABSENT, TrajectoryBatch
from gcnas.policy.base import Logits, Policy, draw, flip
from gcnas.policy.hyperparameter_prediction import ConnectionHead, option_heads
from gcnas.policy.lstm import LSTMState, LSTMSteps
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
        - told: (B, S, C), ones for the decisions that each step is told
        - type_steps: (B, N), the step that decides each type
        - option_steps: (B, N, K), the step that decides each head
        - edge_steps: (B, N), the step that decides the connections
    """

    told: Tensor
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
        # Codes of what a step is told: nothing, the start, types, options, connections.
        self._first_option = 2 + v.types
        self._first_edge = self._first_option + len(v.heads) * v.options
        self.inputs = nn.Embedding(self._first_edge + v.skips, s.width)
        self.lstm = nn.LSTM(s.width, s.width, s.layers, batch_first=True)
        self.type_head = nn.Linear(s.width, v.types + 1)
        self.option_heads = option_heads(v, s.width)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INITIAL_RANGE, INITIAL_RANGE)
        self.connections = ConnectionHead(s.width)
        self.input_anchor = nn.Parameter(torch.zeros(s.width))

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """What the controller believes at every decision: one pass of the LSTM over the whole sequence."""
        script = self._script(batch)
        hidden, _ = self.lstm(script.told.to(self.inputs.weight.dtype) @ self.inputs.weight)
        at_types, at_edges = _gather(hidden, script.type_steps), _gather(hidden, script.edge_steps)
        first = self.input_anchor.expand(len(hidden), 1, -1)
        anchors = torch.cat([first, at_edges[:, :-1]], 1)
        edges = self.connections.along(anchors, at_edges, self.vocabulary.window)
        options = self._heads(at_edges) if self.settings.parallel else self._each_head(hidden, script)
        return Logits(self.type_head(at_types), options, edges)

    def _each_head(self, hidden: Tensor, script: _Script) -> Tensor:
        """Logits (B, N, K, O), each head from the hidden state of its own step."""
        shape = script.option_steps.shape
        states = _gather(hidden, script.option_steps.flatten(1)).reshape(*shape, -1)
        weights = self.option_heads.weight.reshape(shape[2], self.vocabulary.options, -1)
        biases = self.option_heads.bias.reshape(shape[2], self.vocabulary.options)
        return torch.einsum("bnkw,kow->bnko", states, weights) + biases

    @torch.inference_mode()
    def sample(self, count: int, generator: torch.Generator) -> list[Trajectory]:
        """Draw trajectories, one LSTM step after the other."""
        rollout, lstm = self.start(count), LSTMSteps(self.lstm, self.inputs.weight)
        state, gates = lstm.start(count), lstm.codes[1].expand(count, -1)
        anchors = torch.zeros(count, self.vocabulary.window, self.settings.width)
        anchors[:, 0] = self.connections.anchors(self.input_anchor)
        decide = self._decide_at_once if self.settings.parallel else self._decide_in_turn
        while True:
            hidden, state = lstm.step(gates, state)
            types = draw(self.type_head(hidden), rollout.type_mask(), generator)
            option_mask, edge_mask = rollout.open_layers(types)
            if not rollout.running:
                break
            options, hidden, state = decide(lstm, types, option_mask, state, generator)
            edges = flip(self.connections(anchors[:, 1:], hidden), edge_mask, generator)
            options, _ = rollout.add_layers(types, options, edges)
            if not rollout.running:
                break
            anchors = torch.cat([self.connections.anchors(hidden)[:, None], anchors[:, :-1]], 1)
            gates = self._told(lstm, options, edges)
        return rollout.trajectories

    def _decide_at_once(
        self, lstm: LSTMSteps, types: Tensor, mask: Tensor, state: LSTMState, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, LSTMState]:
        hidden, state = lstm.step(lstm.codes[types + 2], state)
        return draw(self._heads(hidden), mask, generator), hidden, state

    def _decide_in_turn(
        self, lstm: LSTMSteps, types: Tensor, mask: Tensor, state: LSTMState, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, LSTMState]:
        """One step for each hyper-parameter; where a type has fewer than others, its state waits."""
        v = self.vocabulary
        kinds = types.clamp(max=v.types - 1)
        heads, gates = v.slot_heads[kinds], lstm.codes[types + 2]
        options = torch.zeros(len(types), len(v.heads), dtype=torch.int64)
        for turn in range(heads.shape[1]):
            head = heads[:, turn, None]
            hidden, after = lstm.step(gates, state)
            where = head[:, None].expand(-1, -1, v.options)
            logits = self._heads(hidden).gather(1, where).squeeze(1)
            picked = draw(logits, mask.gather(1, where).squeeze(1), generator)[:, None]
            told = lstm.codes[(head * v.options + picked)[:, 0] + self._first_option]
            if turn >= self._fewest:
                here = v.slot_counts[kinds, None] > turn
                picked = torch.where(here, picked, options.gather(1, head))
                told, after = torch.where(here, told, gates), _where(here, after, state)
            options.scatter_(1, head, picked)
            gates, state = told, after
        hidden, state = lstm.step(gates, state)
        return options, hidden, state

    def _told(self, lstm: LSTMSteps, options: Tensor, edges: Tensor) -> Tensor:
        """What the connections of a layer, and with parallel heads its options, add to the gates: (B, 4 w)."""
        if not self.settings.parallel:
            return lstm.gates(edges, slice(self._first_edge, None))
        chosen = (options[..., None] == torch.arange(self.vocabulary.options)).flatten(1).to(edges.dtype)
        return lstm.gates(torch.cat([chosen, edges], 1), slice(self._first_option, None))

    @cached_property
    def _turns(self) -> Tensor:
        """When each type decides each head (T + 1, K): in the order of its own hyper-parameters, not of the heads."""
        turns = torch.zeros(self.vocabulary.types + 1, len(self.vocabulary.heads), dtype=torch.int64)
        for code, heads in enumerate(self.vocabulary.slots):
            turns[code, list(heads)] = torch.arange(len(heads))
        return turns

    @cached_property
    def _fewest(self) -> int:
        """Hyper-parameters that every type has."""
        return min(map(len, self.vocabulary.slots))

    def _heads(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.option_heads(hidden)
        return torch.unflatten(logits, -1, (len(self.vocabulary.heads), self.vocabulary.options))

    def _script(self, batch: TrajectoryBatch) -> _Script:
        """Lay out the steps: type, then its hyper-parameters (one step each, or one for all), then connections."""
        used, here = batch.options != ABSENT, batch.layers
        per_layer = torch.ones_like(batch.types) if self.settings.parallel else used.sum(2) + 1
        type_steps = ((per_layer + 1) * here).cumsum(1) - (per_layer + 1) * here
        edge_steps = type_steps + per_layer
        turns = torch.zeros_like(batch.options) if self.settings.parallel else self._turns[batch.types]
        option_steps = type_steps[..., None] + 1 + turns
        limit = int(edge_steps.max()) + 1
        steps = torch.cat(
            [(type_steps + 1)[..., None], option_steps + 1, self._edge_steps(batch, edge_steps)], 2
        )
        codes = torch.cat([(batch.types + 2)[..., None], self._option_codes(batch), self._edge_codes(batch)], 2)
        there = torch.cat([torch.ones_like(here)[..., None], used, batch.connections > 0], 2) & here[..., None]
        told = torch.zeros(len(here), (limit + 1) * self.inputs.num_embeddings)
        told[:, 1] = 1
        # What is not there is told to step 0 under the code of nothing, which is wiped out.
        places = torch.where(there, steps * self.inputs.num_embeddings + codes, 0).flatten(1)
        told.scatter_(1, places, 1.0)[:, 0] = 0
        return _Script(
            torch.unflatten(told, 1, (limit + 1, -1)),
            type_steps.clamp(max=limit),
            option_steps.clamp(max=limit),
            edge_steps.clamp(max=limit),
        )

    def _edge_steps(self, batch: TrajectoryBatch, edge_steps: Tensor) -> Tensor:
        return (edge_steps + 1)[..., None].expand_as(batch.connections)

    def _option_codes(self, batch: TrajectoryBatch) -> Tensor:
        """Code (B, N, K) of each option."""
        return (
            batch.options + torch.arange(batch.options.shape[2]) * self.vocabulary.options + self._first_option
        )

    def _edge_codes(self, batch: TrajectoryBatch) -> Tensor:
        """Code (B, N, m - 1) of each connection."""
        return (torch.arange(self.vocabulary.skips) + self._first_edge).expand(batch.connections.shape)


def _gather(hidden: Tensor, steps: Tensor) -> Tensor:
    return hidden.gather(1, steps[..., None].expand(-1, -1, hidden.shape[-1]))


def _where(rows: Tensor, new: LSTMState, old: LSTMState) -> LSTMState:
    """States of the rows (B, 1) that went on, and of those that wait."""
    return tuple(
        (torch.where(rows, hidden, waiting_hidden), torch.where(rows, cell, waiting_cell))
        for (hidden, cell), (waiting_hidden, waiting_cell) in zip(new, old, strict=True)
    )
