"""What may be built: choices, layer types, search spaces, shapes and costs."""

from gcnas.records import Architecture, Cost, Layer, Limits
from gcnas.space.choice import Choice
from gcnas.space.frame import Head, InputShape, Stem
from gcnas.space.growth import Growth
from gcnas.space.latency import LatencyModel
from gcnas.space.layer_type import LayerType, Values
from gcnas.space.load import load_space
from gcnas.space.plan import LayerPlan, MergePlan
from gcnas.space.search_space import SearchSpace
from gcnas.space.sequence import Place, SequenceSpace, Token, token
from gcnas.space.shape import Shape

__all__ = [
    "Architecture",
    "Choice",
    "Cost",
    "Growth",
    "Head",
    "InputShape",
    "LatencyModel",
    "Layer",
    "LayerPlan",
    "LayerType",
    "Limits",
    "MergePlan",
    "Place",
    "SearchSpace",
    "SequenceSpace",
    "Shape",
    "Stem",
    "Token",
    "Values",
    "load_space",
    "token",
]
