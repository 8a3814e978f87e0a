"""An ensemble of graph convolutions on complete networks that predicts how good they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gcnas.space import SearchSpace, SequenceSpace
from gcnas.strategy.tokens import Tokens

Floats = NDArray[np.float64]

ORDER = 0.84
"""Half the standard deviation of the first gap between the least and the greatest of ordered tokens."""


@dataclass(frozen=True)
class CriticSettings:
    """Size and training of the ensemble.

    Attributes:
        members: E.
        width: d.
        convolutions: L.
        hidden: Units between the nodes and the prediction.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        batch: Evaluations in a step, drawn for each member on its own.
    """

    members: int = 5
    width: int = 32
    convolutions: int = 2
    hidden: int = 32
    learning_rate: float = 5e-3
    weight_decay: float = 1e-3
    batch: int = 32


class Critic(nn.Module):
    r"""E networks of bidirectional graph convolutions on the complete graph, side by side in one.

    .. math:: H' = \mathrm{relu}(H S + \bar A H W + b)

    with :math:`\bar A` the row-normalised edges in both directions. All nodes together are read out by a hidden layer,
    so that the place of a layer counts, and their mean, so that it need not. Members differ in their initial weights
    and in the order in which they see the evaluations.

    Args:
        tokens: The columns of the space.
        extras: Number of facts about a network as a whole.
        settings: Size.
    """

    def __init__(self, tokens: Tokens, extras: int, settings: CriticSettings | None = None) -> None:
        super().__init__()
        self.settings = s = settings or CriticSettings()
        space, sizes = tokens.space, tokens.sizes
        self._offsets = torch.tensor(np.cumsum([0, *sizes[:-1]]))
        self._vocabulary = sum(sizes)
        self._graph = Adjacency(space, len(sizes))
        nodes = space.max_depth + 1
        e, d = s.members, s.width
        self.tokens = _normal(0.7, e, self._vocabulary, d)
        self._order_tokens(tokens.ranks)
        self.places = _normal(0.3, e, nodes, 1, d)
        self.extras = _normal(0.7, e, extras, d) if extras else None
        self.own = nn.ParameterList(_normal(d**-0.5, e, d, d) for _ in range(s.convolutions))
        self.messages = nn.ParameterList(_normal(d**-0.5, e, d, d) for _ in range(s.convolutions))
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(e, 1, d)) for _ in range(s.convolutions))
        fan = nodes * d
        self.hidden = _normal(fan**-0.5, e, fan, s.hidden)
        self.pooled = _normal(d**-0.5, e, d, s.hidden) if space.min_depth < nodes - 1 else None
        self.hidden_bias = nn.Parameter(torch.zeros(e, 1, s.hidden))
        self.head = _normal(s.hidden**-0.5, e, s.hidden, 1)

    @torch.no_grad()
    def _order_tokens(self, ranks: Sequence[Sequence[int] | None]) -> None:
        """Let the vectors of ordered tokens start along a line, in their order."""
        members, _, width = self.tokens.shape
        for offset, order in zip(self._offsets.tolist(), ranks, strict=True):
            if order is not None:
                rows = slice(offset + 1, offset + 1 + len(order))
                along = 2 * torch.tensor(order) / max(order) - 1
                line = torch.randn(members, 1, width) * along[:, None]
                self.tokens[:, rows] = 0.5 * self.tokens[:, rows] + ORDER * line

    def forward(self, tokens: Tensor, extras: Tensor) -> Tensor:
        """Predictions (E, B) for tokens (E, B, N, J) or (1, B, N, J), and facts (E, B, F) or (1, B, F)."""
        edges, present = self._graph(tokens)
        h = self._embed(tokens, extras) * present
        for own, message, bias in zip(self.own, self.messages, self.biases, strict=True):
            read = edges @ h
            h = torch.relu(_each(h, own) + _each(read, message) + bias[:, :, None]) * present
        hidden = h.flatten(2) @ self.hidden + self.hidden_bias
        if self.pooled is not None:
            hidden = hidden + (h.sum(2) / present.sum(2)) @ self.pooled
        return (torch.relu(hidden) @ self.head).squeeze(-1)

    def _embed(self, tokens: Tensor, extras: Tensor) -> Tensor:
        """Nodes (E, B, N + 1, d); node 0 is the input and carries the facts."""
        codes = tokens + self._offsets
        # Sums of token vectors as one product: the absent token has no vector.
        hot = torch.zeros(*tokens.shape[:-1], self._vocabulary)
        hot.scatter_(-1, codes, (tokens > 0).float())
        layers = _each(hot, self.tokens)
        first = torch.zeros(*layers.shape[:2], 1, layers.shape[-1])
        if self.extras is not None:
            first = (extras @ self.extras)[:, :, None]
        return torch.cat([first, layers], 2) + self.places.squeeze(2)[:, None]


class Adjacency:
    """Edges of complete graphs in both directions, row-normalised.

    A layer is joined to the d-th one before it with weight 1/d for d up to m, and to those it reads with weight 1 more.
    Where the space gives the connections there are only these; layers that are read by the same layer, or by none, are
    joined with weight 1/2, and those that read the same one with weight 1/4.

    Args:
        space: Fitted space.
        slots: J.
    """

    def __init__(self, space: SearchSpace, slots: int) -> None:
        self._window, self._slots = space.window, slots
        self._given = isinstance(space, SequenceSpace) and space.given is not None
        given = _given_edges(space) if self._given else _chain_edges(space)
        self._base = torch.tensor(given, dtype=torch.float32)
        self._fixed = self._normalised(self._base[None, None])
        self._searched = not self._given and self._window > 1
        self._constant = space.min_depth == space.max_depth and not self._searched

    def __call__(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Edges (E or 1, B or 1, N + 1, N + 1) and which nodes there are, (E or 1, B or 1, N + 1, 1)."""
        if self._constant:
            return self._fixed, torch.ones(1, 1, len(self._base), 1)
        here = nn.functional.pad((tokens[..., 0] > 0).float(), (1, 0), value=1.0)
        edges = self._base.expand(*here.shape, -1)
        if self._searched:
            edges = edges + self._connections(tokens)
        edges = edges * here[..., None] * here[..., None, :]
        return self._normalised(edges), here[..., None]

    def _connections(self, tokens: Tensor) -> Tensor:
        read = (tokens[..., self._slots - self._window + 1 :] == 2).float()
        nodes = tokens.shape[-2] + 1
        edges = torch.zeros(*tokens.shape[:-2], nodes, nodes)
        for distance in range(2, min(self._window, nodes - 1) + 1):
            flags = read[..., distance - 1 :, distance - 2]
            edges = edges + torch.diag_embed(flags, -distance)
        return edges

    def _normalised(self, edges: Tensor) -> Tensor:
        both = edges + edges.transpose(-1, -2)
        return both / both.sum(-1, keepdim=True).clamp(min=1e-6)


def _chain_edges(space: SearchSpace) -> Floats:
    nodes = space.max_depth + 1
    edges = np.zeros((nodes, nodes))
    for distance in range(1, space.window + 1):
        edges += np.eye(nodes, k=-distance) / distance
    return edges


def _given_edges(space: SearchSpace) -> Floats:
    assert isinstance(space, SequenceSpace) and space.given is not None  # noqa: S101, PT018
    nodes = space.max_depth + 1
    reads = np.zeros((nodes, nodes))
    for node, distances in enumerate(space.given, start=1):
        reads[node, [node - distance for distance in distances]] = 1.0
    outputs = np.append(reads[1:].sum(0)[1:] == 0, [])
    readers = np.vstack([reads[:, 1:], outputs])
    read_together = np.zeros_like(reads)
    read_together[1:, 1:] = (readers.T @ readers) > 0
    reading_together = np.zeros_like(reads)
    reading_together[1:, 1:] = (reads[1:] @ reads[1:].T) > 0
    joined = np.maximum(0.5 * read_together, 0.25 * reading_together)
    return np.tril(np.maximum(reads, joined), k=-1)


def _normal(scale: float, *shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * scale)


def _each(nodes: Tensor, weights: Tensor) -> Tensor:
    """Nodes (E or 1, B, N, d) times each member's weights (E, d, d')."""
    return nodes @ weights[:, None]


class CriticTrainer:
    """Keeps an ensemble fitted to a growing set of evaluations; goes on from the last weights.

    Args:
        critic: The ensemble.
        generator: Draws the evaluations of each step.
    """

    def __init__(self, critic: Critic, generator: torch.Generator) -> None:
        s = critic.settings
        self.critic, self._generator = critic, generator
        self.optimizer = torch.optim.AdamW(critic.parameters(), s.learning_rate, weight_decay=s.weight_decay)

    def fit(self, tokens: Tensor, extras: Tensor, targets: Tensor, steps: int) -> None:
        """Take some steps towards the least squared error.

        Args:
            tokens: (n, N, J).
            extras: (n, F).
            targets: (n).
            steps: Number of gradient steps.
        """
        s = self.critic.settings
        size = min(s.batch, len(tokens))
        for _ in range(steps):
            rows = torch.randint(len(tokens), (s.members, size), generator=self._generator)
            predicted = self.critic(tokens[rows], extras[rows])
            error = (predicted - targets[rows]).square().mean(1).sum()
            self.optimizer.zero_grad(set_to_none=True)
            error.backward()
            self.optimizer.step()

    @torch.no_grad()
    def predict(self, tokens: Tensor, extras: Tensor) -> Floats:
        """Predictions (E, n) of tokens (n, N, J) and facts (n, F)."""
        predicted: Floats = self.critic(tokens[None], extras[None]).double().numpy()
        return predicted
