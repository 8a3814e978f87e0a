"""The layer composition graph (Fig. 6 of the paper): types and connections, no hyper-parameters."""

from typing import TypeAlias

import torch
from torch import Tensor, nn

from gcnas.graph.mixture import Mixture, ones
from gcnas.graph.vocabulary import FEATURES, Vocabulary

Place: TypeAlias = int | slice
"""Position of a layer, or positions of consecutive ones, counted from 1."""


class CompositionNodes(nn.Module):
    """Embeddings of the nodes of the composition graph: a layer's type and its position, no more.

    Types are mapped to numbers, as chapter IV says, and the numbers to vectors; a number itself as a feature would put
    the types in an order that they do not have.

    Args:
        vocabulary: Types and depth.
        width: d.
    """

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        super().__init__()
        self.types = nn.Embedding(vocabulary.types + 1, width)
        self.positions = nn.Embedding(vocabulary.max_depth + 2, width)
        self.input = nn.Linear(FEATURES, width)
        self.query = nn.Parameter(torch.zeros(width))

    def graph(self, types: Tensor, features: Tensor) -> Mixture:
        """The input node, of features (B, F), and layers of types (B, N - 1), to (B, N, d)."""
        kinds, table = self.types.num_embeddings, torch.cat([self.types.weight, self.input.weight.t()])
        weights = features.new_zeros(len(types), types.shape[1] + 1, len(table))
        weights[:, 1:, :kinds] = ones(types, kinds, weights.dtype)
        weights[:, 0, kinds:] = features
        places = self.positions.weight[: weights.shape[1]]
        return Mixture(weights, table, torch.cat([places[:1] + self.input.bias, places[1:]]))

    def first(self, features: Tensor) -> Tensor:
        """Node 0, the input image: (B, F) to (B, d)."""
        embedded: Tensor = self.input(features) + self.positions.weight[0]
        return embedded

    def layers(self, types: Tensor, place: Place) -> Tensor:
        """Nodes of layers of known type: types (B) at one place or (B, N) at N, to (…, d)."""
        embedded: Tensor = self.types(types) + self.positions.weight[place]
        return embedded

    def queries(self, place: Place) -> Tensor:
        """Places whose type is not known yet, the same in all graphs: (d) of one place or (N, d) of N."""
        return self.query + self.positions.weight[place]
