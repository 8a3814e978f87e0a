"""Results that share a transaction: which do, and what a kill then costs."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.run.conftest import MakeTrial
from tests.run.toy import Doom, Killed, evaluate, row, run_toy

from gcnas.errors import WorkerError
from gcnas.execution import Executor, Job, Outcome
from gcnas.execution.serial import attempt
from gcnas.run.driver import FIRST_FAILURES, Clock
from gcnas.run.group import GROUP_RESULTS, GROUP_SECONDS, Group
from gcnas.run.ledger import LedgerReader
from gcnas.run.observer import Observer
from gcnas.run.trial import Trial

TRIALS = 30


class Hand(Clock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Quick(Executor):
    """Four workers that finish in the order in which they began, each so many seconds after the one before."""

    capacity = 4
    isolated = True

    def __init__(self, clock: Hand, seconds: float = 0.0, breaks_at: int | None = None) -> None:
        self._clock, self._seconds, self._breaks_at = clock, seconds, breaks_at
        self._jobs: list[Job] = []
        self._quiet = 0.0
        self.evaluated: list[int] = []

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        if len(self.evaluated) == self._breaks_at:
            raise WorkerError("all workers are gone")
        left = self._seconds - self._quiet
        if seconds is not None and seconds < left:
            self._clock.now += seconds
            self._quiet += seconds
            return []
        self._clock.now += left
        self._quiet = 0.0
        self.evaluated.append(self._jobs[0].trial)
        return [attempt(evaluate, self._jobs.pop(0))]


class Improvements(Observer):
    """The trials that were the best when they finished."""

    def __init__(self) -> None:
        self.best: set[int] = set()

    def trial_finished(self, trial: Trial, best: Trial | None) -> None:
        self.best |= {trial.number} if trial is best else set()


def trials_of(folder: Path) -> list[Trial]:
    with LedgerReader(folder / "run.db") as ledger:
        return ledger.trials()


def finished(trials: Iterable[Trial]) -> dict[int, Trial]:
    return {trial.number: trial for trial in trials if trial.evaluation is not None}


def run(folder: Path, executor: Executor, clock: Clock, doom: Doom, observer: Observer | None = None) -> None:
    run_toy(
        folder,
        "random",
        trials=TRIALS,
        executor=executor,
        clock=clock,
        doom=doom,
        observer=observer or Observer(),
    )


@pytest.fixture
def serial(tmp_path: Path) -> list[object]:
    """The table of the same proposals, evaluated one after the other."""
    (tmp_path / "serial").mkdir()
    run_toy(tmp_path / "serial", "random", trials=TRIALS)
    return list(map(row, trials_of(tmp_path / "serial")))


# --- the group alone


def test_the_first_result_is_due_and_others_wait_for_half_a_second(make_trial: MakeTrial) -> None:
    clock = Hand()
    group = Group(clock)
    assert group.due
    assert group.patience is None  # nothing waits
    group.written()
    assert not group.due
    group.add([make_trial(1, 0.5)], [make_trial(2)], [], [])
    clock.now = 0.75 * GROUP_SECONDS
    assert not group.due
    assert group.patience == pytest.approx(0.25 * GROUP_SECONDS)
    clock.now = GROUP_SECONDS
    assert group.due
    assert group.patience == 0.0
    group.written()
    assert not group


def test_a_group_is_bounded(make_trial: MakeTrial) -> None:
    group = Group(Hand())
    group.written()
    group.add([make_trial(1, 0.5)] * (GROUP_RESULTS - 1), [], [], [])
    assert not group.due
    group.add([make_trial(1, 0.5)], [], [], [])
    assert group.due


def test_alone_every_result_is_due() -> None:
    group = Group(Hand(), alone=True)
    group.written()
    assert group.due


# --- in a run


def test_fast_results_share_transactions(tmp_path: Path, serial: list[object]) -> None:
    """The table is the serial one; the first results and every improvement are written at once."""
    doom, clock, watch = Doom(), Hand(), Improvements()
    run(tmp_path, Quick(clock), clock, doom, watch)
    assert list(map(row, trials_of(tmp_path))) == serial
    at_once = watch.best | set(range(1, FIRST_FAILURES + 1))
    # The first proposals, what is written at once, and what is left at the end.
    assert doom.counts["after_commit"] == 1 + len(at_once) + (TRIALS not in at_once)
    assert doom.counts["after_commit"] < TRIALS / 2
    assert all(trial.attempts == 0 for trial in trials_of(tmp_path))


@pytest.mark.parametrize(("seconds", "grouped"), [(GROUP_SECONDS, False), (GROUP_SECONDS / 4, True)])
def test_slow_results_are_written_one_by_one(tmp_path: Path, seconds: float, grouped: bool) -> None:
    doom, clock = Doom(), Hand()
    run(tmp_path, Quick(clock, seconds), clock, doom)
    assert (doom.counts["after_commit"] < TRIALS) == grouped


def test_a_result_does_not_wait_for_the_next_one(tmp_path: Path) -> None:
    """It is in the ledger half a second later, although nothing else finishes for an hour."""
    clock = Hand()

    class Bursts(Quick):
        """Eight results at once, then an hour of nothing."""

        def wait(self, seconds: float | None = None) -> list[Outcome]:
            self._seconds = 0.0 if len(self.evaluated) % 8 else 3600.0
            outcomes = super().wait(seconds)
            if outcomes and self._seconds:
                known = finished(trials_of(tmp_path))
                assert set(known) >= set(self.evaluated[:-1])
            return outcomes

    run(tmp_path, Bursts(clock), clock, Doom())
    assert len(finished(trials_of(tmp_path))) == TRIALS


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_killed_at_every_transaction(tmp_path: Path, serial: list[object], moment: str) -> None:
    """What was written stays; what waited is evaluated again, and nothing else."""
    for number in range(1, 40):
        folder, clock, doom = tmp_path / str(number), Hand(), Doom(**{moment: number})
        folder.mkdir()
        first = Quick(clock)
        try:
            run(folder, first, clock, doom)
        except Killed:
            pass
        else:
            break
        before = finished(trials_of(folder))
        again = Quick(clock)
        run(folder, again, clock, Doom())
        after = trials_of(folder)
        assert list(map(row, after)) == serial
        assert before.items() <= finished(after).items()
        assert sorted([*before, *again.evaluated]) == list(range(1, TRIALS + 1))
    assert number > 5


def test_what_ends_the_run_leaves_what_was_finished(tmp_path: Path) -> None:
    clock = Hand()
    executor = Quick(clock, breaks_at=TRIALS - 5)
    with pytest.raises(WorkerError):
        run(tmp_path, executor, clock, Doom())
    assert sorted(finished(trials_of(tmp_path))) == executor.evaluated
