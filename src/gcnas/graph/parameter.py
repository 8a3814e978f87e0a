"""The parameter graph (Fig. 7 of the paper): types, hyper-parameters and connections of the newest layers."""

import torch
from torch import Tensor, nn

from gcnas.graph.batch import ABSENT
from gcnas.graph.vocabulary import FEATURES, Vocabulary


class ParameterNodes(nn.Module):
    """Embeddings of the nodes of the parameter graph.

    Each hyper-parameter is a node of its own, a first-order neighbour of its layer; the sum of their embeddings is one
    aggregation over that star. Besides, a node knows its type, its position, the shape of its output, and what is
    used up of the limits.

    Args:
        vocabulary: Types, heads and depth.
        width: d.
    """

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        super().__init__()
        self.types = nn.Embedding(vocabulary.types + 1, width)
        self.positions = nn.Embedding(vocabulary.max_depth + 2, width)
        self.hyperparameters = nn.EmbeddingBag(
            len(vocabulary.heads) * vocabulary.options + 1, width, mode="sum", padding_idx=0
        )
        self.features = nn.Linear(FEATURES, width)
        self.depth = nn.Linear(1, width, bias=False)
        self._options, self._max_depth = vocabulary.options, vocabulary.max_depth

    def first(self, features: Tensor) -> Tensor:
        """Node 0, the input image: (B, F) to (B, d)."""
        embedded: Tensor = self.features(features) + self.positions.weight[0]
        return embedded

    def layers(self, types: Tensor, positions: Tensor, options: Tensor, features: Tensor) -> Tensor:
        """Nodes of layers that are wholly decided.

        Args:
            types: (…) codes.
            positions: (…) counted from 1.
            options: (…, K) index of each option, or absent.
            features: (…, F) of the layer's output.

        Returns:
            (…, d).
        """
        heads = torch.arange(options.shape[-1], device=options.device) * self._options + 1
        codes = torch.where(options == ABSENT, 0, options + heads)
        star = self.hyperparameters(codes.flatten(0, -2)).unflatten(0, options.shape[:-1])
        embedded: Tensor = self.types(types) + self.positions(positions) + star + self.features(features)
        return embedded

    def queries(self, types: Tensor, positions: Tensor, features: Tensor) -> Tensor:
        """Layers of known type whose hyper-parameters are not: (…), (…), (…, F) of the layer before, to (…, d)."""
        embedded: Tensor = self.types(types) + self.positions(positions) + self.features(features)
        return embedded

    def skeleton(self, types: Tensor, positions: Tensor, final_depth: Tensor) -> Tensor:
        """Layers of a known skeleton: types and positions (…), and the final depth (…), to (…, d)."""
        share = (final_depth / self._max_depth).unsqueeze(-1)
        embedded: Tensor = self.types(types) + self.positions(positions) + self.depth(share)
        return embedded
