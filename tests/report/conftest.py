"""Run folders as a search leaves them, made with the real ledger."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from gcnas.config import RunConfig
from gcnas.records import Architecture, Cost, Evaluation, EvaluationState, Fidelity, Limits, Proposal
from gcnas.run.ledger import Ledger
from gcnas.run.trial import Rejection, Trial
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import CNN
from gcnas.space.presets.cnn import resnet8, vgg
from gcnas.strategy import RandomStrategy

IMAGE = InputShape(channels=1, height=28, width=28, classes=3)
CLASSES = ("cat", "dog", "cow")

Outcome = Callable[[Proposal, int], float | tuple[str, str] | None]
"""Score of a proposal with its number, or kind and message of its failure, or None while pending."""


class MakeRun(Protocol):
    def __call__(
        self,
        name: str = ...,
        *,
        trials: int = ...,
        seed: int = ...,
        space: SearchSpace = ...,
        outcome: Outcome = ...,
        best: bool = ...,
        final: bool = ...,
        classes: Sequence[str] = ...,
        config: dict[str, Any] | None = ...,
        meta: dict[str, Any] | None = ...,
        architectures: Sequence[Architecture] = ...,
    ) -> Path: ...


def likely_score(proposal: Proposal, number: int) -> float | tuple[str, str] | None:
    """Deeper is better up to a point, with some noise that the fingerprint decides."""
    noise = int(proposal.fingerprint[:4], 16) / 0xFFFF
    return round(0.95 - 0.12 * math.exp(-proposal.architecture.depth / 4) - 0.06 * noise, 4)


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return CNN.fit(IMAGE, Limits(parameters=80_000))


@pytest.fixture
def make_run(tmp_path: Path, space: SearchSpace) -> MakeRun:
    default_space = space

    def make(
        name: str = "run",
        *,
        trials: int = 11,
        seed: int = 0,
        space: SearchSpace = default_space,
        outcome: Outcome = likely_score,
        best: bool = True,
        final: bool = True,
        classes: Sequence[str] = CLASSES,
        config: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
        architectures: Sequence[Architecture] = (),
    ) -> Path:
        run = tmp_path / name
        run.mkdir()
        (run / "logs").mkdir()
        options = {"strategy": "random", **(config or {})}
        resolved = RunConfig.create(data="pets", budget="40", max_params="80k", **options)
        (run / "config.yaml").write_text(resolved.to_yaml(), encoding="utf-8")
        facts = {
            "space": space.fingerprint,
            "image": vars(space.fitted),
            "data": {
                "name": "pets",
                "fingerprint": "0123456789abcdef",
                "classes": list(classes),
                "counts": {"train": 600, "validation": 150, "test": 200},
                "notices": ["2 images of the test split are also in the training split."],
            },
            "version": "0.1.0",
            "created": "2025-01-02T03:04:05+00:00",
            "platform": {"device": "cpu", "threads": 2},
        } | (meta or {})
        given = [Proposal(a, space.encode(a), "random") for a in architectures]
        finished = _evaluated(_proposals(space, trials, seed, given), space, outcome)
        with Ledger(run / "run.db", facts) as ledger:
            ledger.commit(pending=[replace(t, evaluation=None, elapsed=None) for t in finished])
            ledger.commit(
                finished=[trial for trial in finished if trial.evaluation is not None],
                rejections=[
                    Rejection(1, "f" * 16, "random", "duplicate", "trial 1"),
                    Rejection(2, "e" * 16, "random", "limit", "parameters 91,234 > 80,000"),
                    Rejection(3, "d" * 16, "random", "limit", "parameters 80,001 > 80,000"),
                ],
            )
            if final:
                ledger.event(2.5 * trials, "test-opened", "final evaluation")
        winner = max((t for t in finished if t.complete), key=lambda t: (t.score, -t.number), default=None)
        if best and winner is not None:
            _write_best(run, winner, classes, final)
        return run

    return make


def _proposals(space: SearchSpace, number: int, seed: int, given: Sequence[Proposal]) -> list[Proposal]:
    references = [] if given else [resnet8(space), vgg(space), resnet8(space, (8, 16, 32))]
    designs = [Proposal(a, space.encode(a), "reference") for a in references]
    proposals = {proposal.fingerprint: proposal for proposal in designs}
    proposals |= {proposal.fingerprint: proposal for proposal in given}
    strategy = RandomStrategy(space, seed)
    while len(proposals) < number:
        for proposal in strategy.ask(16):
            proposals.setdefault(proposal.fingerprint, proposal)
    return list(proposals.values())[:number]


def _evaluated(proposals: Sequence[Proposal], space: SearchSpace, outcome: Outcome) -> list[Trial]:
    fidelity, finished = Fidelity(8), []
    for number, proposal in enumerate(proposals, start=1):
        cost: Cost = space.cost(proposal.architecture)
        result = outcome(proposal, number)
        trial = Trial(number, proposal, cost, fidelity)
        if isinstance(result, tuple):
            kind, message = result
            failed = Evaluation(
                proposal, EvaluationState.FAILED, None, fidelity, error_kind=kind, error=message, seconds=0.25
            )
            trial = replace(trial, evaluation=failed, elapsed=2.0 * number)
        elif result is not None:
            done = Evaluation(proposal, EvaluationState.COMPLETE, result, fidelity, {"loss": 0.5}, seconds=1.5)
            trial = replace(trial, evaluation=done, elapsed=2.0 * number)
        finished.append(trial)
    return finished


def _write_best(run: Path, winner: Trial, classes: Sequence[str], final: bool) -> None:
    n = len(classes)
    right, wrong = 60, 2
    confusion = [[right if i == j else wrong * ((i + j) % 2) for j in range(n)] for i in range(n)]
    images = sum(map(sum, confusion))
    metrics = {
        "state": "final" if final else "search",
        "trial": winner.number,
        "fingerprint": winner.proposal.fingerprint,
        "source": winner.proposal.source,
        "parameters": winner.cost.parameters,
        "multiply_adds": winner.cost.multiply_adds,
        "activations": winner.cost.activations,
        "depth": winner.proposal.architecture.depth,
        "classes": list(classes),
        "validation_accuracy": winner.score,
        "validation_balanced_accuracy": winner.score,
        "test_accuracy": n * right / images if final else None,
        "test_balanced_accuracy": n * right / images if final else None,
        "test_images": images if final else None,
        "test_confusion": confusion if final else None,
        "epochs": 40 if final else 8,
        "seconds": 55.5,
    }
    best = run / "best"
    best.mkdir()
    (best / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    for name in ("weights.safetensors", "model.py"):
        (best / name).touch()
    architecture = json.dumps(winner.proposal.architecture.to_json())
    (best / "architecture.json").write_text(architecture, encoding="utf-8")
