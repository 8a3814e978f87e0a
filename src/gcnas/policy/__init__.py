"""Policies: distributions over architectures."""

from gcnas.policy.base import Likelihood, Logits, Policy, likelihood
from gcnas.policy.gcn import GCNPolicy, GCNSettings
from gcnas.policy.hyperparameter_prediction import HyperparameterPredictionBlock
from gcnas.policy.layer_extraction import LayerExtractionBlock
from gcnas.policy.redraw import RedrawPolicy
from gcnas.policy.rnn import RNNPolicy, RNNSettings
from gcnas.policy.skeleton_first import SkeletonFirstPolicy

__all__ = [
    "GCNPolicy",
    "GCNSettings",
    "HyperparameterPredictionBlock",
    "LayerExtractionBlock",
    "Likelihood",
    "Logits",
    "Policy",
    "RNNPolicy",
    "RNNSettings",
    "RedrawPolicy",
    "SkeletonFirstPolicy",
    "likelihood",
]
