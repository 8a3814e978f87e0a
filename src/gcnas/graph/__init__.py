"""What a policy sees: trajectories as tensors, the two graphs of the paper, and the graph convolution."""

from gcnas.graph.batch import ABSENT, TrajectoryBatch, encode, kept_draws, node_features
from gcnas.graph.composition import CompositionNodes
from gcnas.graph.convolution import GraphCache, GraphConvolution, GraphEncoder, Memory
from gcnas.graph.parameter import ParameterNodes
from gcnas.graph.vocabulary import FEATURES, Vocabulary

__all__ = [
    "ABSENT",
    "FEATURES",
    "CompositionNodes",
    "GraphCache",
    "GraphConvolution",
    "GraphEncoder",
    "Memory",
    "ParameterNodes",
    "TrajectoryBatch",
    "Vocabulary",
    "encode",
    "kept_draws",
    "node_features",
]
