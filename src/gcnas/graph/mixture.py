"""Embeddings that are sums of rows of tables: products with them are products with the tables."""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Mixture:
    """Embeddings before the first convolution, not added up yet.

    A node is what its place gives, and a sum of a table's rows. A linear map of nodes needs a map of the table alone,
    and the gradient stops at the weights.

    Attributes:
        weights: (B, N, C), how much of each row; most are zeros and ones. They have no gradient.
        table: (C, d).
        places: (N, d).
    """

    weights: Tensor
    table: Tensor
    places: Tensor

    @property
    def dense(self) -> Tensor:
        """The embeddings (B, N, d)."""
        return (self.weights @ self.table).add_(self.places)

    @property
    def but_last(self) -> "Mixture":
        """The same without the last node."""
        return Mixture(self.weights[:, :-1].contiguous(), self.table, self.places[:-1])

    def mapped(self, matrix: Tensor) -> Tensor:
        """Products (B, N, J) with a matrix (J, d)."""
        table, places = self.table @ matrix.t(), self.places @ matrix.t()
        return Mixture(self.weights, table, places).dense


Embedded: TypeAlias = Tensor | Mixture
"""Embeddings (B, N, d), added up or not."""


def dense(nodes: Embedded) -> Tensor:
    """The embeddings (B, N, d)."""
    return nodes.dense if isinstance(nodes, Mixture) else nodes


def length(nodes: Embedded) -> int:
    """N, also of embeddings (N, d) that are the same in all graphs."""
    return (nodes.weights if isinstance(nodes, Mixture) else nodes).shape[-2]


def mapped(nodes: Embedded, matrix: Tensor) -> Tensor:
    """Products (B, N, J) of embeddings with a matrix (J, d)."""
    return nodes.mapped(matrix) if isinstance(nodes, Mixture) else nn.functional.linear(nodes, matrix)


def ones(codes: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Codes (…) as rows (…, C) with a one at each code, and without any where it is negative."""
    return (codes[..., None] == torch.arange(count, device=codes.device)).to(dtype)
