"""Seconds of signals are charged once, to the trials that they were measured for."""

from dataclasses import replace

import pytest
from tests.run.conftest import MakeTrial
from tests.run.toy import TOY

from gcnas.records import Architecture
from gcnas.records.evaluation import SIGNAL_SECONDS
from gcnas.run.duration import DurationModel
from gcnas.run.signal_clock import SignalClock


class FakeMeter:
    seconds = 0.0

    def __call__(self, architecture: Architecture) -> dict[str, float]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def test_what_was_spent_is_shared_by_the_next_trials(make_trial: MakeTrial) -> None:
    meter = FakeMeter()
    clock = SignalClock(meter)
    clock.charge([make_trial(1)])
    meter.seconds = 3.0
    clock.charge([])
    clock.charge([make_trial(2), make_trial(3)])
    clock.charge([make_trial(4)])
    meter.seconds = 4.0
    clock.charge([make_trial(5)])
    charged = []
    for number in (5, 4, 3, 2, 1):
        evaluation = make_trial(number, 0.5).evaluation
        assert evaluation is not None
        found = clock.with_signals(number, evaluation)
        charged.append(found.seconds - evaluation.seconds)
        assert found.metrics.get(SIGNAL_SECONDS, 0.0) == charged[-1]
        assert found.training_seconds == pytest.approx(evaluation.seconds)
        assert clock.with_signals(number, evaluation) == evaluation
    assert charged == [1.0, 0.0, 1.5, 1.5, 0.0]


def test_durations_are_predicted_from_training_alone(make_trial: MakeTrial) -> None:
    plain, charged = DurationModel(TOY), DurationModel(TOY)
    for number in range(1, 7):
        evaluation = make_trial(number, 0.5).evaluation
        assert evaluation is not None
        plain.learn(evaluation)
        charged.learn(replace(evaluation, seconds=9.5, metrics={**evaluation.metrics, SIGNAL_SECONDS: 8.0}))
    wanted = make_trial(7).proposal.architecture
    assert charged.predict(wanted) == pytest.approx(plain.predict(wanted))
