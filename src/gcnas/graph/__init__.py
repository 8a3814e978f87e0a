"""What a policy sees: trajectories as tensors, the two graphs of the paper, and the graph convolution."""

from gcnas.graph.batch import ABSENT, TrajectoryBatch, encode, kept_draws, node_features
from gcnas.graph.composition import CompositionNodes
from gcnas.graph.convolution import GraphCache, GraphConvolution, GraphEncoder, Memory, mean_shares
from gcnas.graph.parameter import ParameterNodes
from gcnas.graph.steps import GraphSteps, Window
from gcnas.graph.vocabulary import FEATURES, Vocabulary

__all__ = [
    "ABSENT",
    "FEATURES",
    "CompositionNodes",
    "GraphCache",
    "GraphConvolution",
    "GraphEncoder",
    "GraphSteps",
    "Memory",
    "ParameterNodes",
    "TrajectoryBatch",
    "Vocabulary",
    "Window",
    "encode",
    "kept_draws",
    "mean_shares",
    "node_features",
]
