"""The model of how long a candidate takes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gcnas.errors import TimeLimitError
from gcnas.records import Architecture, Evaluation, EvaluationState, Fidelity, Proposal
from gcnas.records.evaluation import SIGNAL_SECONDS
from gcnas.run.duration import MIN_OBSERVATIONS, DurationModel
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy

SPACE = CNN.fit(InputShape(3, 16, 16, 10))


def work(space: SearchSpace, architecture: Architecture) -> tuple[int, int]:
    """Multiply-adds, and numbers written by all layers."""
    plans = space.plan(architecture)
    written = sum(plan.output.numbers + plan.merge.output.numbers + plan.cost.activations for plan in plans)
    return sum(plan.cost.multiply_adds for plan in plans), written


@pytest.fixture(scope="module")
def architectures() -> list[Architecture]:
    return [proposal.architecture for proposal in RandomStrategy(SPACE, 0).ask(80)]


@pytest.mark.parametrize(
    "truth",
    [
        lambda macs, written: 0.3 + 2e-8 * macs + 1e-6 * written,
        lambda macs, _: 0.001 + 5e-8 * macs,
        lambda _, written: 0.1 + 3e-6 * written,
        lambda *_: 2.0,
    ],
    ids=["all three", "multiply-adds", "memory", "constant"],
)
def test_linear_times_are_predicted(
    architectures: list[Architecture], truth: Callable[[int, int], float]
) -> None:
    """Exactly where they are exact, and within the noise where they are not."""
    random = np.random.default_rng(0)
    for noise, tolerance in ((0.0, 1e-6), (0.1, 0.15)):
        model = DurationModel(SPACE)
        for architecture in architectures[:40]:
            factor = float(np.exp(random.normal(0, noise)))
            model.observe(architecture, truth(*work(SPACE, architecture)) * factor)
        true = np.array([truth(*work(SPACE, architecture)) for architecture in architectures[40:]])
        predicted = np.array([model.predict(architecture) for architecture in architectures[40:]])
        assert np.abs(predicted / true - 1).max() < tolerance


def test_nothing_is_predicted_from_too_little(architectures: list[Architecture]) -> None:
    model = DurationModel(SPACE)
    for count, architecture in enumerate(architectures[:MIN_OBSERVATIONS], start=1):
        assert model.predict(architecture) is None
        model.observe(architecture, 1.0)
        assert (model.predict(architecture) is None) == (count < MIN_OBSERVATIONS)


def test_predictions_are_never_negative(architectures: list[Architecture]) -> None:
    """Times that have nothing to do with the networks, some of them zero."""
    random = np.random.default_rng(1)
    for _ in range(20):
        model = DurationModel(SPACE)
        for architecture in architectures[:6]:
            model.observe(architecture, float(random.choice([0.0, 0.01, 1.0, 300.0])))
        for architecture in architectures:
            seconds = model.predict(architecture)
            assert seconds is not None
            assert np.isfinite(seconds)
            assert seconds >= 0


def test_later_observations_count(architectures: list[Architecture]) -> None:
    model = DurationModel(SPACE)
    for architecture in architectures[:10]:
        model.observe(architecture, 1.0)
    assert model.predict(architectures[20]) == pytest.approx(1.0)
    for architecture in architectures[:10]:
        model.observe(architecture, 2.0)
    assert 1.1 < (model.predict(architectures[20]) or 0) < 2


def test_a_time_out_teaches_the_least_that_a_network_takes(architectures: list[Architecture]) -> None:
    """It had 60 s for three epochs; where a network is known to take longer than that anyway, nothing is learnt."""
    slow = Evaluation(
        Proposal(architectures[9], SPACE.encode(architectures[9]), "random"),
        EvaluationState.FAILED,
        fidelity=Fidelity(3, 7),
        error_kind=TimeLimitError.kind,
        error="The time limit was reached.",
        seconds=60.0,
    )
    for usual, grows in ((1.0, True), (30.0, False)):
        model = DurationModel(SPACE)
        for architecture in architectures[:8]:
            model.observe(architecture, usual)
        before = model.predict(architectures[9])
        assert before == pytest.approx(usual)
        model.learn(slow)
        after = model.predict(architectures[9])
        assert after is not None
        assert (after > before) is grows
        assert after >= before
    model.learn(replace(slow, seconds=100.0, metrics={SIGNAL_SECONDS: 40.0}))
    assert model.predict(architectures[9]) == after  # 60 s were training
    fresh = DurationModel(SPACE)
    for count in range(1, MIN_OBSERVATIONS + 1):
        fresh.learn(replace(slow, seconds=60.0 * count))
    assert (fresh.predict(architectures[9]) or 0.0) > 20.0


@pytest.mark.parametrize("kind", ["crash", "out-of-memory", None])
def test_other_failures_teach_nothing_about_time(architectures: list[Architecture], kind: str | None) -> None:
    model = DurationModel(SPACE)
    proposal = Proposal(architectures[0], SPACE.encode(architectures[0]), "random")
    failed = Evaluation(
        proposal, EvaluationState.FAILED, fidelity=Fidelity(3, 7), error_kind=kind, seconds=60.0
    )
    for _ in range(MIN_OBSERVATIONS):
        model.learn(failed)
    assert model.predict(architectures[0]) is None
