"""The parameter graph (Fig. 7 of the paper): types, hyper-parameters and connections of the newest layers."""

import torch
from torch import Tensor, nn

from gcnas.graph.composition import Place
from gcnas.graph.mixture import Mixture, ones
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
        self.hyperparameters = nn.Parameter(torch.randn(len(vocabulary.heads) * vocabulary.options, width))
        self.features = nn.Linear(FEATURES, width)
        self.depth = nn.Linear(1, width, bias=False)
        self._options, self._max_depth = vocabulary.options, vocabulary.max_depth

    def graph(self, types: Tensor, options: Tensor, features: Tensor) -> tuple[Mixture, Mixture]:
        """All nodes and queries of known networks.

        Args:
            types: (B, N) codes.
            options: (B, N, K) index of each option, or absent.
            features: (B, N + 1, F) of the input node and of each layer's output.

        Returns:
            The input node and the layers, wholly decided, (B, N + 1, d), and the layers before their hyper-parameters
            were known, (B, N, d).
        """
        kinds, length = self.types.num_embeddings, features.shape[1]
        table = torch.cat([self.types.weight, self.features.weight.t(), self.hyperparameters])
        known = kinds + features.shape[2]
        weights = features.new_zeros(len(types), length, len(table))
        weights[:, 1:, :kinds] = ones(types, kinds, weights.dtype)
        weights[:, :, kinds:known] = features
        weights[:, 1:, known:] = self._chosen(options)
        before = torch.cat([weights[:, 1:, :kinds], features[:, :-1]], 2)
        places = self.positions.weight[:length] + self.features.bias
        return Mixture(weights, table, places), Mixture(before, table[:known], places[1:])

    def first(self, features: Tensor) -> Tensor:
        """Node 0, the input image: (B, F) to (B, d)."""
        embedded: Tensor = self.features(features) + self.positions.weight[0]
        return embedded

    def layers(self, types: Tensor, place: Place, options: Tensor, features: Tensor) -> Tensor:
        """Layers that are wholly decided: (B), their place, (B, K), (B, F) of their output, to (B, d)."""
        return self.queries(types, place, features) + self.star(options)

    def queries(self, types: Tensor, place: Place, features: Tensor) -> Tensor:
        """Layers whose hyper-parameters are not known: (B), their place, (B, F) of the layer before, to (B, d)."""
        embedded: Tensor = self.types(types) + self.positions.weight[place] + self.features(features)
        return embedded

    def star(self, options: Tensor) -> Tensor:
        """The hyper-parameters around their layers: index of each option (…, K), or absent, to the sum (…, d)."""
        # As a product with ones and zeros, since a sum of looked-up rows has a slow gradient.
        return self._chosen(options) @ self.hyperparameters

    def _chosen(self, options: Tensor) -> Tensor:
        """Options (…, K) as ones and zeros (…, K O)."""
        return ones(options, self._options, self.hyperparameters.dtype).flatten(-2)

    def skeleton(self, types: Tensor, final_depth: Tensor, features: Tensor) -> Mixture:
        """All nodes of known skeletons: types (B, N), final depths (B, 1), features (B, F) of the input node."""
        kinds = self.types.num_embeddings
        table = torch.cat([self.types.weight, self.depth.weight.t(), self.features.weight.t()])
        weights = features.new_zeros(len(types), types.shape[1] + 1, len(table))
        weights[:, 1:, :kinds] = ones(types, kinds, weights.dtype)
        weights[:, 1:, kinds] = final_depth / self._max_depth
        weights[:, 0, kinds + 1 :] = features
        places = self.positions.weight[: weights.shape[1]]
        return Mixture(weights, table, torch.cat([places[:1] + self.features.bias, places[1:]]))
