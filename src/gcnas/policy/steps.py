"""Both blocks one layer at a time, for sampling: what nodes are made of is looked up, not multiplied."""

import torch
from torch import Tensor

from gcnas.graph import GraphSteps, Window
from gcnas.policy.hyperparameter_prediction import HyperparameterPredictionBlock
from gcnas.policy.layer_extraction import LayerExtractionBlock


class LayerExtractionSteps:
    """The layer extraction block on B networks that grow together; no gradients.

    Args:
        block: The module, which has the weights.
        features: (B, F) of the input node.
        skipping: Whether the block sees edges beside the chain.
    """

    def __init__(self, block: LayerExtractionBlock, features: Tensor, *, skipping: bool = True) -> None:
        nodes = block.nodes
        self._graph = GraphSteps(block.encoder, len(features), skipping=skipping)
        # Of each place and type; and of each place.
        self._layers = self._graph.rows(nodes.types.weight + nodes.positions.weight[:, None])
        self._queries = self._graph.rows(nodes.queries(slice(None)))[:, None]
        self._head, self._bias = block.head.weight.t(), block.head.bias
        self._place = 1
        self._graph.extend(self._graph.rows(nodes.first(features)), None)

    def logits(self) -> Tensor:
        """Logits (B, T + 1) for the next layer."""
        return torch.addmm(self._bias, self._graph.query(self._queries[self._place]), self._head)

    def append(self, types: Tensor, shares: Tensor | None) -> None:
        """One more layer: types (B), and the weights (m - 1, B, 1) of the nodes that it reads by choice."""
        self._graph.extend(self._layers[self._place].index_select(0, types), shares)
        self._place += 1


class HyperparameterPredictionSteps:
    """The hyper-parameter prediction block on B networks that grow together; no gradients.

    A step asks for :meth:`logits`, and then hands in :meth:`append`.

    Args:
        block: The module, which has the weights.
        features: (B, F) of the input node.
    """

    def __init__(self, block: HyperparameterPredictionBlock, features: Tensor) -> None:
        nodes, count = block.nodes, len(features)
        self._graph = graph = GraphSteps(block.encoder, count)
        # Of each place and type, of each fact about a node, and of each option of each head.
        self._known = graph.rows(nodes.types.weight + nodes.positions.weight[:, None] + nodes.features.bias)
        self._fact_rows = graph.rows(nodes.features.weight.t())
        self._option_rows = graph.rows(nodes.hyperparameters)
        self._codes = torch.arange(block.vocabulary.options)
        self._answers = _ReadOut(block, count)
        self._place = 1
        self._layers = self._known[0, :1]
        self._features, self._facts = features, features @ self._fact_rows
        self._answers.keep(graph.append(graph.rows(nodes.first(features)), None))

    def logits(self, types: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K, O) and (B, m - 1) of layers of known types (B)."""
        self._layers = self._known[self._place].index_select(0, types)
        return self._answers.read(self._graph.query(self._layers + self._facts))

    def append(self, options: Tensor, shares: Tensor | None, features: Tensor) -> None:
        """The layers that logits were asked for, now wholly decided.

        Args:
            options: (B, K), index of each option, or absent.
            shares: (m - 1, B, 1), weights of the nodes that they read by choice.
            features: (B, F) of their output.
        """
        if features is not self._features:
            self._features, self._facts = features, features @ self._fact_rows
        chosen = (options[..., None] == self._codes).flatten(1).to(self._facts.dtype)
        rows = torch.addmm(self._layers, chosen, self._option_rows).add_(self._facts)
        self._answers.keep(self._graph.append(rows, shares))
        self._place += 1


class _ReadOut:
    """Heads and connections from the block's answers; all that they multiply an answer with is one matrix."""

    def __init__(self, block: HyperparameterPredictionBlock, count: int) -> None:
        heads, connections = block.heads, block.connections
        self._shape = (count, len(block.vocabulary.heads), block.vocabulary.options)
        self._matrix = torch.cat([heads.weight, 2 * connections.current.weight]).t()
        self._bias = torch.cat([heads.bias, 2 * connections.current.bias])
        self._anchor = 2 * connections.anchor.weight.t()
        self._score = 2 * connections.score.weight[0]
        self._rate = connections.score.bias - connections.score.weight.sum()
        self._anchors = Window(block.vocabulary.window, (count, len(self._score)), self._score)

    def read(self, answers: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K, O) and (B, m - 1) from answers (B, d)."""
        products = torch.addmm(self._bias, answers, self._matrix)
        heads = self._shape[1] * self._shape[2]
        options, current = products[:, :heads], products[:, heads:]
        squashed = (self._anchors.newest[1:] + current).sigmoid_()
        return options.reshape(self._shape), (squashed @ self._score + self._rate).t()

    def keep(self, nodes: Tensor) -> None:
        """Keep what later layers read of nodes of known final embedding (B, d)."""
        torch.mm(nodes, self._anchor, out=self._anchors.push())
