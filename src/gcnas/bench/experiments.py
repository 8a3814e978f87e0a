"""The experiments that decide the claims of the paper."""

from dataclasses import dataclass
from typing import Literal

from gcnas.bench import memory
from gcnas.bench.arms import CEIM_TRIED, RATES, RIVALS, rates_tried

TABLES = ("nb201-cifar10", "channel-mobilenet", "nas-bench-macro")
"""Used where the user has them. The settings of ``gcnas`` and :class:`ReinforceSettings` were chosen on the first two,
with other seeds; the rates of E1's arms on none of the three."""

TUNING = "grown-tuning"
LEARNERS = tuple(RATES)
"""Those that go without critics."""


@dataclass(frozen=True)
class Experiment:
    """One experiment: searches by some arms on some spaces, or tasks of memory.

    Attributes:
        name: As in the list of experiments, such as ``E1``.
        claim: What it decides, in a sentence.
        arms: Names of arms or strategies.
        spaces: Names of synthetic problems and of tables; of tasks of :mod:`gcnas.bench.memory`.
        pairs: Arms that are tested against one another.
        measures: What is summarised and tested, names of :data:`~gcnas.bench.measures.MEASURES`, or of
            :data:`~gcnas.bench.memory.MEASURES`.
        kind: ``search``, or ``memory``.
    """

    name: str
    claim: str
    arms: tuple[str, ...]
    spaces: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    measures: tuple[str, ...] = ("auc_regret", "regret_end")
    kind: Literal["search", "memory"] = "search"


def _both(*controllers: str) -> tuple[str, ...]:
    """Arms with both learners that go without critics."""
    return tuple(f"{learner}:{name}" for learner in LEARNERS for name in controllers)


def _against_gcn(*controllers: str, learners: tuple[str, ...] = LEARNERS) -> tuple[tuple[str, str], ...]:
    return tuple((f"{learner}:gcn", f"{learner}:{name}") for learner in learners for name in controllers)


# Critics take seconds a run, and solve the other table within 50 queries.
_FEW = ("grown", "nb201-cifar10", "channel-mobilenet")
_SYNTHETIC = ("grown", "grown-wide", "grown-small")
_OTHERS = tuple(name for name in RIVALS if name != "gcn")
_MS = ("m1", "m2", "m3", "m4")
# Candidates from the policy alone are ``screening:gcn``.
_CHANGES = (
    "no-policy", "no-edits", "no-random", "improvement-alone", "thompson-alone", "critic-alone", "process-alone",
    "no-sizes", "no-large", "three",
)  # fmt: skip
_E5 = ("gcn", "skeleton", "lstm", "lstm-parallel", "table")
_MEMORY = memory.memory_tasks(1)

_LIST = (
    Experiment(
        "E1",
        "A graph-convolution controller can replace the recurrent one (C1), with everything else equal.",
        (*_both(*RIVALS), "reinforce-rnn", "random"),
        ("grown", "grown-small", *TABLES),
        (*_against_gcn(*_OTHERS), ("reinforce:gcn", "random"), ("reinforce:gcn", "reinforce-rnn")),
        ("auc_regret", "regret_end", "found", "seconds"),
    ),
    Experiment(
        "E1-screening",
        "The same when critics choose among candidates that the controller draws (C1).",
        (*(f"screening:{name}" for name in RIVALS), "random"),
        ("grown", "channel-mobilenet"),
        (*_against_gcn(*_OTHERS, learners=("screening",)), ("screening:gcn", "random")),
        ("auc_regret", "regret_end", "found", "seconds"),
    ),
    Experiment(
        "E2",
        "The layer extraction block searches depth (C2).",
        _both("gcn", "deepest", "growing-depth"),
        _SYNTHETIC,
        _against_gcn("deepest", "growing-depth"),
        ("auc_regret", "regret_end", "depth_last", "depth_gap"),
    ),
    # Layers of the tables have at most one hyper-parameter, or fixed types.
    Experiment(
        "E3",
        "Hyper-parameters can be searched in parallel (C3).",
        _both("gcn", "skeleton", "mixture-heads", "sequential-heads"),
        ("grown", "grown-wide"),
        _against_gcn("skeleton", "mixture-heads", "sequential-heads"),
        ("auc_regret", "regret_end", "seconds"),
    ),
    Experiment(
        "E4",
        "The search profits from depth information (C3, C7).",
        _both("gcn", "no-depth", "position-only", "summary-only", "skeleton"),
        ("grown", "grown-wide", "nas-bench-macro"),
        tuple(
            (f"{learner}:no-depth", f"{learner}:{name}")
            for learner in LEARNERS
            for name in ("position-only", "summary-only", "gcn", "skeleton")
        ),
    ),
    Experiment(
        "E5",
        "The search region is wider (C4) and its purpose clear (C5).",
        (*_both(*_E5), "random"),
        ("grown", "grown-small", *TABLES),
        (*_against_gcn(*_E5[1:]), ("reinforce:gcn", "random"), ("imitation:gcn", "random")),
        ("unique_share", "depth_entropy", "top5_first", "top5_middle", "top5_last"),
    ),
    Experiment(
        "E6",
        "No trouble with a long time axis (C6), and distant layers depend on one another (C7).",
        tuple(dict.fromkeys(task.arm for task in _MEMORY)),
        tuple(dict.fromkeys(task.space for task in _MEMORY)),
        # Three seeds decide nothing by a paired test.
        (),
        memory.MEASURES,
        "memory",
    ),
    Experiment(
        "E7",
        "Better than GCN-NAS (C8): than the cross-entropy method with importance mixing that it searches with.",
        (*_both("gcn"), "ceim", "random"),
        ("grown", "grown-wide", "grown-small", *TABLES),
        (*((f"{learner}:gcn", "ceim") for learner in LEARNERS), ("ceim", "random")),
        ("auc_regret", "regret_end", "found", "seconds"),
    ),
    Experiment(
        "E8",
        "Deleting connections beyond the m newest costs no quality (C9); layers are re-configured in the window.",
        tuple(f"imitation:{name}" for name in (*_MS, "m8", "m1-plain", "m2-plain", "m4-plain", "m8-plain")),
        ("grown-wide",),
        (
            *(("imitation:m8", f"imitation:{name}") for name in _MS),
            *(("imitation:m8-plain", f"imitation:{name}-plain") for name in ("m1", "m2", "m4")),
        ),
        ("auc_regret", "regret_end"),
    ),
    Experiment(
        "E8-redraw",
        "Drawing the layers inside the window again helps (C9), and so does the recurrent memory.",
        _both("gcn", "redraw", "recurrent"),
        ("grown",),
        _against_gcn("redraw", "recurrent"),
        ("auc_regret", "regret_end", "seconds"),
    ),
    Experiment(
        "E9",
        "Two blocks with a graph each are better than one (C10).",
        _both("gcn", "shared-trunk", "fused"),
        ("grown", "grown-wide"),
        _against_gcn("shared-trunk", "fused"),
    ),
    Experiment(
        "E10",
        "Each part of the strategy gcnas contributes.",
        ("gcnas", *(f"gcnas:{change}" for change in _CHANGES), "random"),
        _FEW,
        (*(("gcnas", f"gcnas:{change}") for change in _CHANGES), ("gcnas", "random")),
        ("auc_regret", "regret_end", "found", "seconds"),
    ),
    Experiment(
        "tuning",
        "Learning rates of the crossed comparison and settings of ceim, by problems that no other experiment uses.",
        (
            *(
                f"{learner}:{name}@{rate:g}"
                for learner in LEARNERS
                for name in RIVALS
                for rate in rates_tried(name)
            ),
            *(f"ceim:{population}@{damping:g}" for population, damping in CEIM_TRIED),
        ),
        (TUNING, "channel-resnet"),
        (),
        ("auc_regret", "regret_end"),
    ),
)

EXPERIMENTS = {experiment.name: experiment for experiment in _LIST}
"""By name. E7 compares how GC-NAS and GCN-NAS search, in the same spaces; what
GCN-NAS searches, graph networks for skeletons, is no space here."""

DEFAULT = tuple(name for name in EXPERIMENTS if name != "tuning")
