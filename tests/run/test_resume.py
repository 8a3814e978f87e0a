"""A run killed anywhere and gone on with equals one that was never killed."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.run.toy import RUNGS, Doom, Killed, read_run, run_toy

from gcnas.execution import Executor, Job, Outcome
from gcnas.records import Fidelity
from gcnas.run.ledger import LedgerReader
from gcnas.run.trial import Trial

TRIALS = 8
TRANSACTIONS = 1 + TRIALS  # the first proposal; then each trial's result, with the next proposal


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both strategies' runs, never killed."""
    runs = {}
    for strategy in ("learner", "random"):
        folder, doom = tmp_path_factory.mktemp(strategy), Doom()
        run_toy(folder, strategy, doom=doom, trials=TRIALS)
        assert doom.counts["after_commit"] == TRANSACTIONS
        runs[strategy] = read_run(folder)
        assert {rejection.reason for rejection in runs[strategy]["rejections"]} == {"duplicate", "limit"}
        assert {trial[5] for trial in runs[strategy]["trials"]} == {"complete", "failed"}
    return runs


def killed(folder: Path, strategy: str, doom: Doom) -> None:
    with pytest.raises(Killed):
        run_toy(folder, strategy, doom=doom, trials=TRIALS)


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
@pytest.mark.parametrize("number", range(1, TRANSACTIONS + 1))
def test_killed_at_every_transaction(tmp_path: Path, whole: dict[str, Any], moment: str, number: int) -> None:
    killed(tmp_path, "learner", Doom(**{moment: number}))
    run_toy(tmp_path, "learner", trials=TRIALS)
    assert read_run(tmp_path) == whole["learner"]


@pytest.mark.parametrize("number", range(1, TRANSACTIONS + 1))
def test_random_search_killed_at_every_transaction(tmp_path: Path, whole: dict[str, Any], number: int) -> None:
    killed(tmp_path, "random", Doom(after_commit=number))
    run_toy(tmp_path, "random", trials=TRIALS)
    assert read_run(tmp_path) == whole["random"]


@pytest.mark.parametrize("number", range(1, TRIALS + 1))
def test_killed_during_each_evaluation(tmp_path: Path, whole: dict[str, Any], number: int) -> None:
    killed(tmp_path, "learner", Doom(evaluation=number))
    with LedgerReader(tmp_path / "run.db") as ledger:
        assert ledger.trials()[-1].attempts == 1
    run_toy(tmp_path, "learner", trials=TRIALS)
    assert read_run(tmp_path) == whole["learner"]


@pytest.mark.parametrize("number", [1, 2])
def test_killed_between_best_and_commit(tmp_path: Path, whole: dict[str, Any], number: int) -> None:
    """The best is on the disk and its trial is not in the ledger; the resumed run writes it once more."""
    killed(tmp_path, "learner", Doom(best_written=number))
    run_toy(tmp_path, "learner", trials=TRIALS)
    assert read_run(tmp_path) == whole["learner"]


def test_killed_many_times(tmp_path: Path, whole: dict[str, Any]) -> None:
    """Again and again, at a different kind of moment each time, in one run."""
    random = np.random.default_rng(5)
    kills = 0
    for _ in range(100):
        # Three transactions are enough to finish the trial that the kill before may have caught.
        moment = random.choice(["before_commit", "after_commit"])
        try:
            run_toy(tmp_path, "learner", doom=Doom(**{moment: int(random.integers(3, 5))}), trials=TRIALS)
        except Killed:
            kills += 1
        else:
            break
    assert kills >= 3
    assert read_run(tmp_path) == whole["learner"]


def test_killing_candidate_is_given_up(tmp_path: Path, whole: dict[str, Any]) -> None:
    """A process that dies twice in the same evaluation does not die a third time."""
    doom = Doom(evaluation=3)
    killed(tmp_path, "random", doom)
    killed(tmp_path, "random", Doom(evaluation=1))
    trials = [trial for trial in trials_in(tmp_path) if trial.evaluation is None]
    assert [trial.attempts for trial in trials] == [2]
    run_toy(tmp_path, "random", trials=TRIALS)
    found, expected = read_run(tmp_path)["trials"], whole["random"]["trials"]
    assert found[2][5:] == ("failed", None, {}, "crash", [found[2][-1][0]])
    assert "died 2 times" in found[2][-1][0]
    # Random search does not learn, so all others are as they would have been.
    assert found[:2] + found[3:] == expected[:2] + expected[3:]


def test_interrupt_uses_up_no_attempt(tmp_path: Path, whole: dict[str, Any]) -> None:
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            run_toy(tmp_path, "learner", trials=TRIALS, score=interrupted)
    assert [trial.attempts for trial in trials_in(tmp_path)] == [0]
    run_toy(tmp_path, "learner", trials=TRIALS)
    assert read_run(tmp_path) == whole["learner"]


def test_interrupt_while_a_result_is_taken_up_uses_up_no_attempt(
    tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("tests.run.toy.Learner.tell", interrupted)
        for _ in range(4):
            with pytest.raises(KeyboardInterrupt):
                run_toy(tmp_path, "learner", trials=TRIALS)
    assert [trial.attempts for trial in trials_in(tmp_path)] == [0]
    run_toy(tmp_path, "learner", trials=TRIALS)
    assert read_run(tmp_path) == whole["learner"]


@pytest.mark.parametrize("first", [1, 5])
def test_larger_budget_goes_on_in_the_same_sequence(tmp_path: Path, whole: dict[str, Any], first: int) -> None:
    run_toy(tmp_path, "learner", trials=first)
    assert len(read_run(tmp_path)["trials"]) == first
    run_toy(tmp_path, "learner", trials=TRIALS)
    assert read_run(tmp_path) == whole["learner"]


def test_finished_run_stays_as_it_is(tmp_path: Path, whole: dict[str, Any]) -> None:
    run_toy(tmp_path, "learner", trials=TRIALS)
    best = run_toy(tmp_path, "learner", trials=3)
    assert read_run(tmp_path) == whole["learner"]
    assert f"{best.number} " in whole["learner"]["best"]


def interrupted(*_: object) -> Any:
    raise KeyboardInterrupt


def trials_in(folder: Path) -> list[Trial]:
    with LedgerReader(folder / "run.db") as ledger:
        return ledger.trials()


# --- on rungs

RUNG_TRIALS = 24


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Runs on three rungs, never killed."""
    runs = {}
    for strategy in ("learner", "all-rungs"):
        folder = tmp_path_factory.mktemp(strategy)
        run_toy(folder, strategy, trials=RUNG_TRIALS, ladder=True)
        runs[strategy] = read_run(folder)
        trials = trials_in(folder)
        assert {trial.fidelity for trial in trials} == {*RUNGS, Fidelity(9, 8)}
        assert [trial.fidelity.seed for trial in trials[-2:]] == [8, 8]
        by_number = {trial.number: trial for trial in trials}
        for trial in trials:
            before = None if trial.continues is None else by_number[trial.continues]
            assert (before is None) == (trial.fidelity in (RUNGS[0], Fidelity(9, 8)))
            assert before is None or before.proposal.fingerprint == trial.proposal.fingerprint
    assert runs["learner"]["values"] != runs["all-rungs"]["values"]
    return runs


@pytest.mark.parametrize("strategy", ["learner", "all-rungs"])
@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
@pytest.mark.parametrize("number", range(1, RUNG_TRIALS + 2, 2))
def test_run_on_rungs_killed_at_transactions(
    tmp_path: Path, climbed: dict[str, Any], strategy: str, moment: str, number: int
) -> None:
    with pytest.raises(Killed):
        run_toy(tmp_path, strategy, doom=Doom(**{moment: number}), trials=RUNG_TRIALS, ladder=True)
    run_toy(tmp_path, strategy, trials=RUNG_TRIALS, ladder=True)
    assert read_run(tmp_path) == climbed[strategy]


def test_lost_checkpoints_cost_no_result(tmp_path: Path, climbed: dict[str, Any]) -> None:
    with pytest.raises(Killed):
        run_toy(tmp_path, "learner", doom=Doom(after_commit=15), trials=RUNG_TRIALS, ladder=True)
    shutil.rmtree(tmp_path / "checkpoints")
    run_toy(tmp_path, "learner", trials=RUNG_TRIALS, ladder=True)
    trials = trials_in(tmp_path)
    assert len(trials) == RUNG_TRIALS
    assert all(trial.evaluation is not None for trial in trials)


def test_deaths_of_isolated_runs_are_not_held_against_the_candidates(
    tmp_path: Path, whole: dict[str, Any]
) -> None:
    """What died elsewhere is tried here; and of those that wait, only the one that began counts."""
    for _ in range(4):
        with pytest.raises(Killed):
            run_toy(tmp_path, "random", trials=TRIALS, executor=Deadly())
    assert [trial.attempts for trial in trials_in(tmp_path)] == [0, 0, 0]
    killed(tmp_path, "random", Doom(evaluation=1))
    assert [trial.attempts for trial in trials_in(tmp_path)] == [1, 0, 0]
    killed(tmp_path, "random", Doom(evaluation=2))
    assert [trial.attempts for trial in trials_in(tmp_path)] == [2, 1, 0]
    run_toy(tmp_path, "random", trials=TRIALS)
    assert read_run(tmp_path)["trials"] == whole["random"]["trials"]


def test_an_interrupted_isolated_run_takes_back_no_death_of_another(tmp_path: Path) -> None:
    killed(tmp_path, "random", Doom(evaluation=1))
    assert [trial.attempts for trial in trials_in(tmp_path)] == [1]
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path, "random", trials=TRIALS, executor=Interrupted())
    assert trials_in(tmp_path)[0].attempts == 1


class Deadly(Executor):
    """Three places for candidates that die with the whole machine."""

    isolated, capacity = True, 3

    def submit(self, job: Job) -> None:
        pass

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        raise Killed


class Interrupted(Deadly):
    """Three places for candidates during which the user ends the run."""

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        raise KeyboardInterrupt
