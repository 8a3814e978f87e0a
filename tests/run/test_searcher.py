"""Signals in a run: on digits from Python, charged, and the same proposals after a stop."""

import math
from pathlib import Path
from typing import Any

import pytest

import gcnas
from gcnas.config import RunConfig
from gcnas.errors import ConfigurationError
from gcnas.records.evaluation import SIGNAL_SECONDS
from gcnas.run.ledger import LedgerReader
from gcnas.run.observer import Observer
from gcnas.run.policy_of_run import policy_of_run
from gcnas.space.presets import CNN
from gcnas.training.signals import SignalMeter

pytestmark = pytest.mark.slow

OPTIONS: dict[str, Any] = {
    "budget": 13,
    "max_params": "6k",
    "max_macs": "200k",
    "epochs": 1,
    "final_epochs": 1,
    "threads": 1,
    "onnx": False,
    "report": False,
    "references": False,
    "fidelity": "full",
    "signals": "params,naswot,synflow",
}


class Stop(Observer):
    """Interrupts the run after so many trials."""

    def __init__(self, after: int) -> None:
        self._left = after

    def trial_finished(self, trial: Any, best: Any) -> None:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


def proposals(run: Path) -> list[Any]:
    with LedgerReader(run / "run.db") as ledger:
        return [(trial.proposal, trial.score) for trial in ledger.trials()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("signals") / "run"
    gcnas.search("digits", out=run, **OPTIONS)
    return run


def test_signals_are_charged_to_trials(whole: Path) -> None:
    with LedgerReader(whole / "run.db") as ledger:
        evaluations = [trial.evaluation for trial in ledger.trials()]
        policy_of_run(ledger, RunConfig.create(data="digits", **OPTIONS), CNN, None)
    shares = [e.metrics.get(SIGNAL_SECONDS, 0.0) for e in evaluations if e is not None]
    # The first design and the finalists of each round are measured when its first proposal is asked for; what was
    # measured already costs nothing.
    assert shares[0] > 0
    assert sum(share > 0 for share in shares) >= 3
    assert all(e.seconds > e.metrics.get(SIGNAL_SECONDS, 0.0) for e in evaluations if e is not None)


@pytest.mark.parametrize("after", [1, 9])
def test_a_run_that_goes_on_proposes_the_same(
    after: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        gcnas.search("digits", out=tmp_path / "run", observer=Stop(after), **OPTIONS)
    first = proposals(tmp_path / "run")
    assert after <= len(first) < OPTIONS["budget"]
    with pytest.raises(ConfigurationError, match="signals"):
        gcnas.resume(tmp_path / "run", signals="none")
    measured: list[str] = []
    measure = SignalMeter.__call__
    monkeypatch.setattr(
        SignalMeter, "__call__", lambda self, a: measured.append(a.fingerprint) or measure(self, a)
    )
    gcnas.resume(tmp_path / "run")
    assert proposals(tmp_path / "run") == proposals(whole)
    assert not {*measured} & {p.fingerprint for p, score in first if score > -math.inf}
