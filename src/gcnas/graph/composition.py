"""The layer composition graph (Fig. 6 of the paper): types and connections, no hyper-parameters."""

import torch
from torch import Tensor, nn

from gcnas.graph.vocabulary import FEATURES, Vocabulary


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

    def first(self, features: Tensor) -> Tensor:
        """Node 0, the input image: (B, F) to (B, d)."""
        embedded: Tensor = self.input(features) + self.positions.weight[0]
        return embedded

    def layers(self, types: Tensor, positions: Tensor) -> Tensor:
        """Nodes of layers of known type; types (…), positions (…) counted from 1, to (…, d)."""
        embedded: Tensor = self.types(types) + self.positions(positions)
        return embedded

    def queries(self, positions: Tensor) -> Tensor:
        """Places whose type is not known yet: positions (…) to (…, d)."""
        embedded: Tensor = self.query + self.positions(positions)
        return embedded
