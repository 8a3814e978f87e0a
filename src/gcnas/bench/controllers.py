"""The controllers that the experiments compare: policies by name."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from gcnas.bench.variants.blocks import FusedPolicy, SharedTrunkPolicy
from gcnas.bench.variants.depth import GrowingDepthPolicy, without_depth, without_places, without_summary
from gcnas.bench.variants.heads import MixturePolicy, SequentialHeadsPolicy
from gcnas.bench.variants.softmax_table import SoftmaxTablePolicy
from gcnas.bench.variants.window import NarrowPolicy
from gcnas.policy import (
    GCNPolicy,
    GCNSettings,
    Policy,
    RedrawPolicy,
    RNNPolicy,
    RNNSettings,
    SkeletonFirstPolicy,
)
from gcnas.space import SearchSpace

MakePolicy: TypeAlias = Callable[[SearchSpace], Policy]

WIDEST = 256
"""Most units of an LSTM that is to have as many parameters as another policy."""


def lstm(space: SearchSpace) -> Policy:
    """The controller of Zoph & Le: two layers of 35 units, a step for each decision."""
    return RNNPolicy(space)


def lstm_parallel(space: SearchSpace) -> Policy:
    """The same with one step for everything but the type of a layer."""
    return RNNPolicy(space, RNNSettings(parallel=True))


def lstm_matched(space: SearchSpace) -> Policy:
    """The same as :func:`lstm`, as wide as it must be to have the parameters of the GCN policy."""
    wanted = count_parameters(GCNPolicy(space))
    fewer, enough = 1, WIDEST
    while enough - fewer > 1:
        width = (fewer + enough) // 2
        if count_parameters(RNNPolicy(space, RNNSettings(width=width))) < wanted:
            fewer = width
        else:
            enough = width
    return RNNPolicy(space, RNNSettings(width=enough))


def count_parameters(policy: Policy) -> int:
    """Number of weights that are learnt."""
    return sum(parameter.numel() for parameter in policy.parameters() if parameter.requires_grad)


def gcn_recurrent(space: SearchSpace) -> Policy:
    """The paper's sentence on memory: messages come from final embeddings; nothing else reaches beyond m."""
    return GCNPolicy(space, GCNSettings(memory="recurrent", summary=False))


CONTROLLERS: dict[str, MakePolicy] = {
    "gcn": GCNPolicy,
    "skeleton": SkeletonFirstPolicy,
    "lstm": lstm,
    "lstm-parallel": lstm_parallel,
    "lstm-matched": lstm_matched,
    "table": SoftmaxTablePolicy,
    "growing-depth": GrowingDepthPolicy,
    "mixture-heads": MixturePolicy,
    "sequential-heads": SequentialHeadsPolicy,
    "no-depth": without_depth,
    "position-only": without_summary,
    "summary-only": without_places,
    "redraw": RedrawPolicy,
    "recurrent": gcn_recurrent,
    "shared-trunk": SharedTrunkPolicy,
    "fused": FusedPolicy,
    **{f"m{kept}": partial(NarrowPolicy, kept=kept) for kept in (1, 2, 3, 4, 8)},
    **{
        f"m{kept}-plain": partial(NarrowPolicy, kept=kept, settings=GCNSettings(summary=False))
        for kept in (1, 2, 4, 8)
    },
}
"""Policies by name; ``m2`` keeps two connections, ``-plain`` is without the summary of older nodes."""
