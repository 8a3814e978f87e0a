"""Immutable records that cross the folders of the package."""

from gcnas.records.architecture import Architecture, HyperparameterValue, Layer
from gcnas.records.evaluation import DECAY, TRAINED_EPOCHS, Evaluation, EvaluationState, Fidelity, Proposal
from gcnas.records.limits import METRICS, Cost, Limits
from gcnas.records.soft import Soft
from gcnas.records.trajectory import STOP, Draw, LayerAction, LayerMask, Trajectory

__all__ = [
    "DECAY",
    "METRICS",
    "STOP",
    "TRAINED_EPOCHS",
    "Architecture",
    "Cost",
    "Draw",
    "Evaluation",
    "EvaluationState",
    "Fidelity",
    "HyperparameterValue",
    "Layer",
    "LayerAction",
    "LayerMask",
    "Limits",
    "Proposal",
    "Soft",
    "Trajectory",
]
