"""Other ways to decide the hyper-parameters and connections of a layer than all at once and independently."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from gcnas.bench.variants.stepwise import Partial, StepwisePolicy
from gcnas.graph import ABSENT, TrajectoryBatch
from gcnas.policy import GCNPolicy, HyperparameterPredictionBlock, Likelihood, Logits, likelihood
from gcnas.policy.base import draw, flip
from gcnas.space import SearchSpace

CLOSED = -1e9
"""Logit of an option that is not open."""


def read_graph(block: HyperparameterPredictionBlock, batch: TrajectoryBatch) -> tuple[Tensor, Tensor]:
    """What the block's graph says of each layer, (B, N, d), and of the node before it, (B, N, d)."""
    nodes, queries = block.nodes.graph(batch.types, batch.options, batch.features)
    nodes, answers = block.encoder(nodes, queries, batch.connections)
    return answers, nodes[:, :-1]


class SequentialHeadsPolicy(StepwisePolicy, GCNPolicy):
    r"""The heads of a layer in turn, each knowing the options before it, and the connections last.

    .. math:: \ell_k = W_k (a + \tanh \sum_{j<k} E_{j, o_j}), \qquad a = \text{answer of the parameter graph}

    Args:
        space: Fitted space.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        v, width = self.vocabulary, self.hppb.encoder.width
        self.told = nn.Parameter(0.3 * torch.randn(len(v.heads), v.options, width))

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """What is believed at every step, each head knowing those before it."""
        v = self.vocabulary
        answers, older = read_graph(self.hppb, batch)
        hot = (batch.options[..., None] == torch.arange(v.options)).to(answers.dtype)
        told = torch.einsum("bnko,kod->bnkd", hot, self.told).cumsum(2)
        before = nn.functional.pad(told[:, :, :-1], (0, 0, 1, 0))
        states = answers[:, :, None] + torch.tanh(before)
        weights = self.hppb.heads.weight.reshape(len(v.heads), v.options, -1)
        biases = self.hppb.heads.bias.reshape(len(v.heads), v.options)
        options = torch.einsum("bnkd,kod->bnko", states, weights) + biases
        last = answers + torch.tanh(told[:, :, -1])
        edges = self.hppb.connections.along(older, last, v.window)
        return Logits(self.leb(batch, batch.connections), options, edges)

    def draw_layer(
        self, partial: Partial, types: Tensor, masks: tuple[Tensor, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Options and connections, one head after the other."""
        v = self.vocabulary
        options = torch.full((len(types), len(v.heads)), ABSENT)
        for head in range(len(v.heads)):
            logits = self.logits(partial.asking(types, options)).options[:, -1, head]
            drawn = draw(logits, masks[0][:, head], generator)
            options[:, head] = torch.where(v.has_head[types, head], drawn, ABSENT)
        edges = self.logits(partial.asking(types, options)).connections[:, -1]
        return options.clamp(min=0), flip(edges, masks[1], generator)


@dataclass(frozen=True)
class JointLikelihood(Likelihood):
    """How probable trajectories are whose decisions are not independent within a layer.

    Attributes:
        joint: (B), log-probability of all decisions together.
    """

    joint: Tensor

    @cached_property
    def log_probability(self) -> Tensor:
        """(B), of all stored actions under their stored masks."""
        return self.joint


class MixturePolicy(StepwisePolicy, GCNPolicy):
    """A layer draws one of M sets of heads, which then decide everything at once: decisions of a layer may depend.

    Args:
        space: Fitted space.
        components: M.
    """

    def __init__(self, space: SearchSpace, components: int = 4) -> None:
        super().__init__(space)
        v, width = self.vocabulary, self.hppb.encoder.width
        self._shapes = ((components, len(v.heads), v.options), (components, v.skips))
        self.mixing = nn.Linear(width, components)
        self.option_offsets = nn.Linear(width, components * len(v.heads) * v.options)
        self.edge_offsets = nn.Linear(width, components * max(v.skips, 1))
        for layer in (self.mixing, self.option_offsets, self.edge_offsets):
            nn.init.zeros_(layer.weight)
            # Equal components would stay equal for ever.
            nn.init.normal_(layer.bias, std=0.3)
        nn.init.zeros_(self.mixing.bias)

    def components(self, batch: TrajectoryBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights (B, N, M), logits (B, N, M, K, O) and (B, N, M, m - 1)."""
        v = self.vocabulary
        answers, older = read_graph(self.hppb, batch)
        options = torch.unflatten(self.hppb.heads(answers), -1, (len(v.heads), v.options))
        edges = self.hppb.connections.along(older, answers, v.window)
        offsets = torch.unflatten(self.option_offsets(answers), -1, self._shapes[0])
        shifts = torch.unflatten(self.edge_offsets(answers), -1, (self._shapes[1][0], -1))[..., : v.skips]
        return self.mixing(answers).log_softmax(-1), options[:, :, None] + offsets, edges[:, :, None] + shifts

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """Marginal beliefs: logarithms of the mixed probabilities."""
        weights, options, edges = self.components(batch)
        # Finite, since the sum of nothing but zero probabilities has no gradient.
        options = options.masked_fill(~batch.option_mask[:, :, None], CLOSED).log_softmax(-1)
        mixed = torch.logsumexp(weights[..., None, None] + options, 2)
        taken = torch.logsumexp(weights[..., None] + nn.functional.logsigmoid(edges), 2)
        left = torch.logsumexp(weights[..., None] + nn.functional.logsigmoid(-edges), 2)
        return Logits(self.leb(batch, batch.connections), mixed, taken - left)

    def forward(self, batch: TrajectoryBatch) -> Likelihood:
        """Joint probability of each layer's decisions, mixed; the entropy is that of the single decisions."""
        marginal = self.logits(batch)
        types = marginal.types.masked_fill(~batch.type_mask, float("-inf")).log_softmax(-1)
        chosen = types.gather(-1, batch.types[..., None])[..., 0]
        weights, options, edges = self.components(batch)
        used = (batch.options != ABSENT) & batch.layers[..., None]
        open_options = batch.option_mask | ~used[..., None]
        options = options.masked_fill(~open_options[:, :, None], float("-inf")).log_softmax(-1)
        index = batch.options.clamp(min=0)[:, :, None, :, None].expand(*options.shape[:4], 1)
        picked = torch.where(used[:, :, None], options.gather(-1, index)[..., 0], 0.0).sum(-1)
        signs = (2 * batch.connections - 1)[:, :, None]
        free = (batch.connection_mask & batch.layers[..., None])[:, :, None]
        taken = torch.where(free, nn.functional.logsigmoid(signs * edges), 0.0).sum(-1)
        joint = torch.logsumexp(weights + picked + taken, -1)
        total = torch.where(batch.present, chosen, 0.0) + torch.where(batch.layers, joint, 0.0)
        single = likelihood(marginal, batch)
        return JointLikelihood(single.types, single.options, single.connections, batch, total.sum(1))

    def draw_layer(
        self, partial: Partial, types: Tensor, masks: tuple[Tensor, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Options and connections of one drawn component."""
        weights, options, edges = (part[:, -1] for part in self.components(partial.asking(types)))
        component = draw(weights, torch.ones_like(weights, dtype=torch.bool), generator)
        rows = torch.arange(len(types))
        return draw(options[rows, component], masks[0], generator), flip(
            edges[rows, component], masks[1], generator
        )
