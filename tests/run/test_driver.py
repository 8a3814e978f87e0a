"""The driver: what it does with results, failures, interrupts and budgets."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from tests.run.toy import IMAGE, RUNGS, SPACE, TOY, Learner, evaluate, luck, read_run, run_toy

from gcnas.errors import (
    DataError,
    LimitsTooTightError,
    OutOfMemoryError,
    RunFolderError,
    SearchFailedError,
    TimeLimitError,
    WorkerError,
)
from gcnas.execution import Evaluated, Executor, Job, Outcome, SerialExecutor
from gcnas.execution.serial import attempt
from gcnas.records import Evaluation, EvaluationState, Fidelity, LayerAction, Limits, Proposal
from gcnas.run import driver as driving
from gcnas.run import group
from gcnas.run.amounts import GRACE
from gcnas.run.checkpoints import Checkpoints
from gcnas.run.driver import FIRST_FAILURES, Clock, Driver, Stop
from gcnas.run.halving import Ladder, SuccessiveHalving
from gcnas.run.ledger import Ledger, LedgerReader
from gcnas.run.middleware import MAX_REJECTIONS, ReferencesFirst, Unique, WithinLimits
from gcnas.run.observer import Observer
from gcnas.run.recommendation import time_limit
from gcnas.run.repeats import Repeats
from gcnas.run.session import delivery_seconds, elapsed
from gcnas.run.trial import Rejection, Trial
from gcnas.strategy import RandomStrategy

ONCE = Fidelity(1, 7)


class FakeClock(Clock):
    """Stands still unless it is moved."""

    def __init__(self, elapsed: float = 0.0) -> None:
        super().__init__()
        self.now = elapsed

    def __call__(self) -> float:
        return self.now


class Witness(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.started_trials: list[int] = []
        self.finished_trials: list[tuple[int, int | None]] = []
        self.notes: list[str] = []

    def trial_started(self, trial: Trial) -> None:
        self.started_trials.append(trial.number)

    def trial_finished(self, trial: Trial, best: Trial | None) -> None:
        self.finished_trials.append((trial.number, None if best is None else best.number))

    def note(self, message: str) -> None:
        self.notes.append(message)


def trials_in(folder: Path) -> list[Trial]:
    with LedgerReader(folder / "run.db") as ledger:
        return ledger.trials()


def rejections_in(folder: Path) -> list[Rejection]:
    with LedgerReader(folder / "run.db") as ledger:
        return ledger.rejections()


def fail(job: Job) -> Evaluated:
    raise ValueError(f"candidate {job.trial} is odd")


# --- the way of a trial


def test_best_is_the_highest_score_and_the_first_of_equals(tmp_path: Path) -> None:
    scores = [0.2, 0.7, 0.1, 0.7, 0.3]
    witness = Witness()

    def score(job: Job) -> Evaluated:
        return scores[job.trial - 1], {}, {"weight": np.array([job.trial])}

    best = run_toy(tmp_path, "random", trials=5, score=score, observer=witness)
    assert best.number == 2
    assert best == trials_in(tmp_path)[1]
    assert witness.started_trials == [1, 2, 3, 4, 5]
    assert witness.finished_trials == [(1, 1), (2, 2), (3, 2), (4, 2), (5, 2)]
    assert (tmp_path / "best.txt").read_text().split()[0] == "2"


def test_every_proposal_is_told_once_and_before_the_next_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history: list[str] = []
    ask, tell = Learner.ask, Learner.tell

    def asked(self: Learner, n: int) -> list[Proposal]:
        proposals = ask(self, n)
        history.extend(f"asked {proposal.fingerprint}" for proposal in proposals)
        return proposals

    def told(self: Learner, evaluations: Sequence[Evaluation]) -> None:
        history.extend(f"told {evaluation.proposal.fingerprint}" for evaluation in evaluations)
        tell(self, evaluations)

    monkeypatch.setattr(Learner, "ask", asked)
    monkeypatch.setattr(Learner, "tell", told)
    run_toy(tmp_path, "learner", trials=12)
    references, history = history[:2], history[2:]
    assert [line.split()[0] for line in references] == ["told", "told"]
    assert len(history) == 2 * (12 - 2 + len(rejections_in(tmp_path)))
    for question, answer in zip(history[::2], history[1::2], strict=True):
        assert question.replace("asked", "told") == answer


def test_jobs_carry_what_was_proposed(tmp_path: Path) -> None:
    jobs: list[Job] = []

    def score(job: Job) -> Evaluated:
        jobs.append(job)
        return evaluate(job)

    run_toy(tmp_path, trials=5, score=score)
    trials = trials_in(tmp_path)
    assert [(job.trial, job.proposal, job.fidelity, job.seconds) for job in jobs] == [
        (trial.number, trial.proposal, trial.fidelity, None) for trial in trials
    ]
    assert [trial.attempts for trial in trials] == [1] * 5


def test_rejections_are_numbered_by_the_trials_before_them(tmp_path: Path) -> None:
    run_toy(tmp_path, "learner", trials=12)
    references = {trial.number for trial in trials_in(tmp_path) if trial.proposal.source == "reference"}
    assert references == {1, 2}
    rejections = rejections_in(tmp_path)
    assert rejections[0].trials_before == 2  # right after the two references, before the third trial
    assert max(rejection.trials_before for rejection in rejections) < 12


def test_without_weights_there_is_no_best_to_keep(tmp_path: Path) -> None:
    run_toy(tmp_path, trials=3, score=lambda _: (0.5, {}, None))
    assert not (tmp_path / "best.txt").exists()


# --- failures


def test_failures_are_recorded_and_cost_one_trial(tmp_path: Path) -> None:
    def score(job: Job) -> Evaluated:
        if job.trial == 2:
            raise OutOfMemoryError("Memory ran out: 3 GiB")
        if job.trial == 3:
            return fail(job)
        if job.trial == 4:
            return float("nan"), {}, None
        return luck(job.proposal.architecture), {}, None

    run_toy(tmp_path, trials=6, score=score)
    evaluations = [trial.evaluation for trial in trials_in(tmp_path)]
    kinds = [None if e is None else e.error_kind for e in evaluations]
    assert kinds == [None, "out-of-memory", "crash", "not-finite", None, None]
    assert evaluations[1] is not None
    assert evaluations[1].error == "Memory ran out: 3 GiB"
    crash = (evaluations[2] and evaluations[2].error) or ""
    assert "Traceback" in crash
    assert crash.strip().endswith("ValueError: candidate 3 is odd")


def test_search_ends_if_the_first_all_fail(tmp_path: Path) -> None:
    with pytest.raises(
        SearchFailedError, match=r"(?s)All 5 candidates failed.*crash.*candidate 1 is odd"
    ) as raised:
        run_toy(tmp_path, trials=50, score=fail)
    assert "candidate 2" not in str(raised.value)
    finished = [trial for trial in trials_in(tmp_path) if trial.evaluation is not None]
    assert len(finished) == FIRST_FAILURES == 5


@pytest.mark.parametrize("good", [1, FIRST_FAILURES])
def test_one_success_among_the_first_is_enough(tmp_path: Path, good: int) -> None:
    def score(job: Job) -> Evaluated:
        return (0.5, {}, None) if job.trial == good else fail(job)

    assert run_toy(tmp_path, trials=9, score=score).number == good
    assert len(trials_in(tmp_path)) == 9


def test_where_everything_is_too_slow_the_ways_out_are_said(tmp_path: Path) -> None:
    def slow(_: Job) -> Evaluated:
        raise TimeLimitError("The time limit was reached at step 1,100, 47% of the training.")

    with pytest.raises(SearchFailedError, match=r"training\. Give a larger --budget or --candidate-seconds"):
        run_toy(tmp_path, "random", trials=9, seconds=1_000, score=slow)


def test_small_budget_of_failures(tmp_path: Path) -> None:
    with pytest.raises(SearchFailedError, match=r"(?s)All 2 candidates failed.*candidate 1 is odd"):
        run_toy(tmp_path, trials=2, score=fail)


def test_error_of_the_run_passes(tmp_path: Path) -> None:
    """Images that are gone are not a candidate's fault."""

    def score(job: Job) -> Evaluated:
        if job.trial == 3:
            raise DataError("The images are gone.")
        return evaluate(job)

    with pytest.raises(DataError, match="are gone"):
        run_toy(tmp_path, trials=6, score=score)
    assert [trial.evaluation is None for trial in trials_in(tmp_path)] == [False, False, True]
    run_toy(tmp_path, trials=6)
    assert len(trials_in(tmp_path)) == 6


@pytest.mark.parametrize("error", [RunFolderError("best cannot be written"), TypeError("a bug")])
def test_best_that_cannot_be_written_ends_the_run_once_its_result_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    original = Driver.__init__

    def refuse(trial: Trial, weights: object) -> None:
        raise error

    def patched(self: Driver, **arguments: Any) -> None:
        original(self, **arguments | {"keep_best": refuse})

    with monkeypatch.context() as context:
        context.setattr(Driver, "__init__", patched)
        with pytest.raises(type(error), match=str(error)):
            run_toy(tmp_path, trials=6)
    first, second = trials_in(tmp_path)
    assert first.complete
    assert second.evaluation is None
    run_toy(tmp_path, trials=6)
    assert len(trials_in(tmp_path)) == 6


class AtOnce(SerialExecutor):
    """Gives the results of three jobs together."""

    capacity = 3

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        one = super().wait
        return [outcome for _ in range(3) for outcome in one(seconds)]


def test_an_error_that_ends_the_run_loses_nothing_that_arrived_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Driver.__init__

    def refuse(trial: Trial, weights: object) -> None:
        raise RunFolderError(f"best cannot be written, {trial.number}")

    def patched(self: Driver, **arguments: Any) -> None:
        original(self, **arguments | {"keep_best": refuse})

    def score(job: Job) -> Evaluated:
        return job.trial / 10, {}, {"weight": np.array([job.trial])}

    with monkeypatch.context() as context:
        context.setattr(Driver, "__init__", patched)
        with pytest.raises(RunFolderError, match="written, 1"):
            run_toy(tmp_path, trials=9, executor=AtOnce(score))
    found = trials_in(tmp_path)
    assert [trial.complete for trial in found[:3]] == [True] * 3
    assert all(trial.evaluation is None for trial in found[3:])
    evaluated: list[int] = []

    def count(job: Job) -> Evaluated:
        evaluated.append(job.trial)
        return score(job)

    run_toy(tmp_path, trials=9, executor=AtOnce(count))
    assert sorted(evaluated) == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("moment", ["ask", "tell", "exit", "state", "figures"])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_an_error_of_the_strategy_loses_no_evaluation(
    tmp_path: Path, moment: str, *, together: bool, again: bool
) -> None:
    """What was just trained is in the ledger, and is told once: after the error, and when the run goes on."""
    told: list[int] = []
    evaluated: list[int] = []

    def score(job: Job) -> Evaluated:
        evaluated.append(job.trial)
        return 1 / (1 + job.trial), {}, {"weight": np.array([job.trial])}

    def watch(driver: Driver, *, breaks: bool) -> None:
        ask, tell = driver._strategy.ask, driver._strategy.tell
        state, figures = driver._strategy.state_dict, driver._strategy.figures

        def broken(here: str, whole: Callable[[], Any]) -> Callable[[], Any]:
            def call() -> Any:
                if breaks and moment == here and (len(told) == 5 or (again and len(told) > 5)):
                    raise WorkerError("the strategy broke")
                return whole()

            return call

        def asked(count: int) -> Any:
            return broken("ask", partial(ask, count))()

        def tells(evaluations: Any) -> None:
            told.append(len(told))
            tell(evaluations)
            if breaks and moment == "exit" and (len(told) == 5 or (again and len(told) > 5)):
                sys.exit("the strategy broke")
            broken("tell", lambda: None)()

        driver._strategy.ask, driver._strategy.tell = asked, tells  # type: ignore[method-assign]
        driver._strategy.state_dict = broken("state", state)  # type: ignore[method-assign]
        driver._strategy.figures = broken("figures", figures)  # type: ignore[method-assign]

    executor = AtOnce(score) if together else SerialExecutor(score)
    with pytest.raises((WorkerError, SystemExit), match="broke"):
        run_toy(tmp_path, trials=12, executor=executor, prepare=partial(watch, breaks=True))
    found = trials_in(tmp_path)
    assert sum(trial.complete for trial in found) == len(evaluated) == len(told)
    executor = AtOnce(score) if together else SerialExecutor(score)
    run_toy(tmp_path, trials=12, executor=executor, prepare=partial(watch, breaks=False))
    assert sorted(evaluated) == list(range(1, 13))
    assert len(told) == 12


def test_what_arrives_while_the_strategy_breaks_is_kept(tmp_path: Path) -> None:
    """From other processes, which go on meanwhile; the strategy breaks each time that it is told."""

    class Busy(Together):
        def wait(self, seconds: float | None = None) -> list[Outcome]:
            if seconds == 0.0:
                late.extend(super().wait())
                return late
            job, self._jobs = self._jobs[0], self._jobs[1:]
            return [attempt(evaluate, job)]

    late: list[Outcome] = []

    def breaks(driver: Driver) -> None:
        def tell(_: Any) -> None:
            raise WorkerError("the strategy broke")

        driver._strategy.tell = tell  # type: ignore[method-assign]

    with pytest.raises(WorkerError, match="broke"):
        run_toy(tmp_path, "random", trials=6, executor=Busy(), prepare=breaks)
    assert len(late) == 2
    assert sum(trial.evaluation is not None for trial in trials_in(tmp_path)) == 3


def test_what_was_under_way_is_begun_as_there_are_places(tmp_path: Path) -> None:
    """Else what waits for a place would be given no more than the time that is left then."""

    class Counting(Together):
        def __init__(self, places: int) -> None:
            super().__init__()
            self.capacity = places
            self.most = 0

        def submit(self, job: Job) -> None:
            super().submit(job)
            self.most = max(self.most, len(self._jobs))

        def wait(self, seconds: float | None = None) -> list[Outcome]:
            if stop:
                raise KeyboardInterrupt
            return super().wait(seconds)

    stop = True
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path, "random", trials=8, executor=Counting(8))
    assert sum(trial.evaluation is None for trial in trials_in(tmp_path)) == 8
    stop, executor = False, Counting(2)
    run_toy(tmp_path, "random", trials=9, executor=executor)
    assert executor.most == 2
    assert all(trial.evaluation is not None for trial in trials_in(tmp_path))
    assert len(trials_in(tmp_path)) == 9


def test_limits_that_leave_nothing_of_what_was_under_way(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path, "random", trials=1, score=stopped_at(1))
    tight = replace(TOY, limits=replace(TOY.limits, parameters=1))
    with pytest.raises(LimitsTooTightError):
        run_toy(tmp_path, "random", trials=1, space=tight)
    assert trials_in(tmp_path)[0].evaluation is None
    run_toy(tmp_path, "random", trials=1, score=lambda _: (0.5, {}, None))
    assert len(trials_in(tmp_path)) == 1
    assert trials_in(tmp_path)[0].evaluation is not None


@pytest.mark.parametrize("left", [25.0, 20.0])
def test_a_promotion_is_taken_up_where_there_is_time_for_what_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: float
) -> None:
    """A pass takes ten seconds; the second rung ends after three, of which what its checkpoint has are done.

    Else it waits for a larger budget, and its checkpoint with it.
    """
    clock, jobs = FakeClock(), list[Job]()
    use_clock(monkeypatch, clock)
    score = kept(timed(clock, lambda job: 10.0 * job.fidelity.epochs, jobs))
    climbs: list[int] = []

    def stop(job: Job) -> Evaluated:
        if job.start is not None:
            climbs.append(job.trial)
            raise KeyboardInterrupt
        return score(job)

    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path, trials=20, seconds=1_000, clock=clock, score=stop, ladder=True)
    (number,) = climbs
    assert 20.0 < 10.0 * Ladder(RUNGS).further_epochs(0) < 25.0
    clock.now = 1_000.0 - left
    run_toy(tmp_path, trials=20, seconds=1_000, clock=clock, score=score, ladder=True)
    assert (trials_in(tmp_path)[number - 1].evaluation is not None) is (left == 25.0)
    starts = list[Any]()

    def watch(job: Job) -> Evaluated:
        starts.append((job.trial, job.start is not None and job.start.exists()))
        return score(job)

    run_toy(tmp_path, trials=20, seconds=3_000, clock=clock, score=watch, ladder=True)
    assert ((number, True) in starts) is (left == 20.0)


def kept(score: Callable[[Job], Evaluated]) -> Callable[[Job], Evaluated]:
    """The same, with weights where the job wants them kept."""

    def evaluated(job: Job) -> Evaluated:
        if job.keep is not None:
            job.keep.parent.mkdir(exist_ok=True)
            job.keep.write_bytes(save({"weight": np.zeros(1, np.float32)}))
        return score(job)

    return evaluated


def test_places_of_what_has_no_time_left_are_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four were under way, and one worker goes on: the first is trained, the others would take too long by then."""
    clock = FakeClock()

    class Stopped(Simulated):
        """One result, and then Ctrl-C twice."""

        def wait(self, seconds: float | None = None) -> list[Outcome]:
            if self.clock.now > 0:
                raise KeyboardInterrupt
            return super().wait(seconds)

    stopped = Stopped(4, clock)
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path, "random", trials=50, seconds=1_000, clock=clock, executor=stopped)
    left = [trial.number for trial in trials_in(tmp_path) if trial.evaluation is None]
    assert len(left) == 4
    clock.now = 985.0
    monkeypatch.setattr(
        Driver, "_late", lambda self, trial: self._clock() + 10 * (3 if trial.number in left[1:] else 1) > 1_000
    )
    alone = Simulated(1, clock)
    run_toy(tmp_path, "random", trials=50, seconds=1_000, clock=clock, executor=alone)
    assert [job.trial for _, job in alone.starts] == [left[0]]
    clock.now = 970.0
    again = Simulated(1, clock)
    run_toy(tmp_path, "random", trials=50, seconds=1_010, clock=clock, executor=again)
    begun = [job.trial for _, job in again.starts]
    assert not set(begun) & set(left[2:])
    assert max(begun) > max(left)


def stopped_at(number: int, score: Callable[[Job], Evaluated] = evaluate) -> Callable[[Job], Evaluated]:
    def stop(job: Job) -> Evaluated:
        if job.trial == number:
            raise KeyboardInterrupt
        return score(job)

    return stop


def test_a_limit_that_leaves_nothing_deletes_no_checkpoint(tmp_path: Path) -> None:
    """It may be a slip of the pen; with the limit of before the run goes on from them."""
    run_toy(tmp_path, trials=12, ladder=True)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept
    tight = replace(TOY, limits=replace(TOY.limits, parameters=1))
    # With something left to try, and with a budget that is spent.
    for trials, error in ((20, LimitsTooTightError), (12, SearchFailedError)):
        with pytest.raises(error):
            run_toy(tmp_path, trials=trials, space=tight, ladder=True)
        assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == kept


def test_limits_tightened_later_hold_for_what_was_under_way(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path, "random", trials=6, score=stopped_at(5))
    pending = trials_in(tmp_path)[4]
    assert pending.evaluation is None
    tight = replace(TOY, limits=replace(TOY.limits, parameters=pending.cost.parameters - 1))
    evaluated: list[int] = []
    witness = Witness()

    def score(job: Job) -> Evaluated:
        evaluated.append(job.trial)
        return evaluate(job)

    run_toy(tmp_path, "random", trials=6, space=tight, score=score, observer=witness)
    assert evaluated == [6, 7]
    assert ["Trial 5" in note and "beyond the limits now" in note for note in witness.notes] == [True]
    run_toy(tmp_path, "random", trials=6, score=score)
    assert evaluated == [6, 7, 5]
    assert all(trial.evaluation is not None for trial in trials_in(tmp_path))


def test_what_was_under_way_and_has_no_time_left_waits_for_a_larger_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be called too slow for ever."""
    clock, jobs = FakeClock(), list[Job]()
    use_clock(monkeypatch, clock)
    score = timed(clock, lambda _: 10, jobs)
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path, trials=9, seconds=100, clock=clock, score=stopped_at(4, score))
    clock.now, witness = 105.0, Witness()  # 5 seconds until what runs is stopped, for a candidate of about 10
    run_toy(tmp_path, trials=9, seconds=100, clock=clock, score=score, observer=witness)
    assert [job.trial for job in jobs] == [1, 2, 3]
    assert ["Trial 4" in note and "no time left" in note for note in witness.notes] == [True]
    run_toy(tmp_path, trials=5, seconds=200, clock=clock, score=score)
    assert [job.trial for job in jobs] == [1, 2, 3, 4, 5]
    assert all(trial.complete for trial in trials_in(tmp_path))


def test_limits_tightened_later_count_for_the_best(tmp_path: Path) -> None:
    """What was trained before may no longer be delivered; that is said as it is."""
    run_toy(tmp_path, "random", trials=4, score=lambda job: (job.trial / 10, {}, None))
    best = trials_in(tmp_path)[3]
    tight = replace(TOY, limits=Limits(parameters=best.cost.parameters - 1))
    assert run_toy(tmp_path, "random", trials=4, space=tight).number < 4
    nothing = replace(TOY, limits=Limits(parameters=1))
    with pytest.raises(SearchFailedError, match="None of the 4 candidates is within the limits"):
        run_toy(tmp_path, "random", trials=4, space=nothing)


# --- nothing left to propose


def test_limits_too_tight_at_once(tmp_path: Path) -> None:
    space = SPACE.fit(IMAGE, Limits(activations=10))
    with pytest.raises(LimitsTooTightError, match="activations"):
        run_toy(tmp_path, "random", space=space)
    assert trials_in(tmp_path) == []
    rejections = rejections_in(tmp_path)
    assert len(rejections) == 1_000  # the references among them
    assert {(rejection.trials_before, rejection.reason) for rejection in rejections} == {(0, "limit")}


def test_limits_too_tight_later_end_the_search_with_what_there_is(tmp_path: Path) -> None:
    """The references are within the limit, and nothing else that is new."""
    witness = Witness()
    space = replace(SPACE.fit(IMAGE, Limits(activations=256 + 64)), max_depth=2)
    best = run_toy(tmp_path, "random", space=space, trials=500, observer=witness)
    assert best.complete
    assert 2 < len(trials_in(tmp_path)) < 50
    assert "The search ends early" in witness.notes[0]


# --- interrupts


@pytest.mark.parametrize("number", [1, 4])
def test_interrupted_run_finishes_what_runs_and_goes_on_later(tmp_path: Path, number: int) -> None:
    drivers: list[Driver] = []

    def score(job: Job) -> Evaluated:
        if job.trial == number:
            drivers[0].interrupted = True
        return evaluate(job)

    folder, whole = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    whole.mkdir()
    best = run_toy(folder, trials=9, score=score, prepare=drivers.append)
    assert [trial.evaluation is None for trial in trials_in(folder)] == [False] * number
    assert best.number <= number
    run_toy(folder, trials=9)
    run_toy(whole, trials=9)
    assert read_run(folder) == read_run(whole)


def test_interrupted_before_anything(tmp_path: Path) -> None:
    def interrupt(driver: Driver) -> None:
        driver.interrupted = True

    with pytest.raises(SearchFailedError, match="No candidate was evaluated: the search was stopped"):
        run_toy(tmp_path, prepare=interrupt)
    assert trials_in(tmp_path) == []


class Busy(SerialExecutor):
    """Three places in front of one worker; their candidates may end other processes."""

    capacity = 3
    isolated = True


@pytest.mark.parametrize("ladder", [False, True])
def test_what_waits_for_a_worker_is_left_by_an_interrupt(tmp_path: Path, ladder: bool) -> None:
    """With the checkpoints that it goes on from."""
    drivers: list[Driver] = []
    ran: list[int] = []

    def score(job: Job) -> Evaluated:
        ran.append(job.trial)
        if len(ran) == 15:
            drivers[0].interrupted = True
        return evaluate(job)

    folder, whole = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    whole.mkdir()
    run_toy(folder, trials=30, executor=Busy(score), prepare=drivers.append, ladder=ladder)
    assert len(ran) == 15
    left = [trial for trial in trials_in(folder) if trial.evaluation is None]
    assert [trial.attempts for trial in left] == [0, 0]
    run_toy(folder, trials=30, executor=Busy(score), ladder=ladder)
    run_toy(whole, trials=30, executor=Busy(evaluate), ladder=ladder)
    assert read_run(folder) == read_run(whole)


def test_what_is_finished_is_kept_where_nothing_can_be_withdrawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results that wait for the ledger, too: the cluster may be gone by then."""

    class Gone(Busy):
        def withdraw(self) -> list[int]:
            raise WorkerError("The cluster is gone.")

    drivers: list[Driver] = []
    ran: list[int] = []

    def score(job: Job) -> Evaluated:
        ran.append(job.trial)
        drivers[0].interrupted = len(ran) == 12
        return evaluate(job)

    monkeypatch.setattr(group, "GROUP_SECONDS", 600.0)
    with pytest.raises(WorkerError, match="gone"):
        run_toy(tmp_path, trials=30, executor=Gone(score), prepare=drivers.append)
    assert sum(trial.evaluation is not None for trial in trials_in(tmp_path)) == len(ran) == 12


def test_a_candidate_that_was_asked_for_during_an_interrupt_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it lose one of its attempts."""
    drivers: list[Driver] = []
    ask = Learner.ask

    def interrupted(self: Learner, n: int) -> list[Proposal]:
        drivers[0].interrupted |= self._asked == 3
        return ask(self, n)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "ask", interrupted)
        run_toy(tmp_path, trials=9, prepare=drivers.append)
    *found, last = trials_in(tmp_path)
    assert found
    assert all(trial.evaluation is not None for trial in found)
    assert (last.evaluation, last.attempts) == (None, 0)
    run_toy(tmp_path, trials=9)
    assert all(trial.evaluation is not None for trial in trials_in(tmp_path))


def test_an_interrupt_before_anything_has_begun_ends_the_search(tmp_path: Path) -> None:
    def interrupt_the_first(driver: Driver) -> None:
        ask = driver._strategy.ask

        def asked(n: int) -> list[Proposal]:
            found = ask(n)
            driver.interrupted = True
            return found

        driver._strategy.ask = asked  # type: ignore[method-assign]

    with pytest.raises(SearchFailedError, match="the search was stopped"):
        run_toy(tmp_path, trials=9, executor=Busy(evaluate), prepare=interrupt_the_first)
    assert [(trial.evaluation, trial.attempts) for trial in trials_in(tmp_path)] == [(None, 0)] * 3
    run_toy(tmp_path, trials=9, executor=Busy(evaluate))
    assert all(trial.evaluation is not None for trial in trials_in(tmp_path))


@pytest.mark.parametrize(("calls", "kept"), [(1, 3), (2, 2)])
def test_stopped_while_the_strategy_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int, kept: int
) -> None:
    """Called once, what it learns from is kept first; called twice, that evaluation is made again later."""
    drivers: list[Driver] = []
    tell, measured = Learner.tell, 0

    def score(job: Job) -> Evaluated:
        nonlocal measured
        measured = job.trial
        return evaluate(job)

    def told(self: Learner, evaluations: Sequence[Evaluation]) -> None:
        if measured == 3:
            drivers[0].interrupted = True
            for _ in range(calls):
                drivers[0].stop_now()
        tell(self, evaluations)

    folder, whole = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    whole.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(Learner, "tell", told)
        with pytest.raises(KeyboardInterrupt):
            run_toy(folder, trials=9, score=score, prepare=drivers.append)
    assert sum(trial.evaluation is not None for trial in trials_in(folder)) == kept
    run_toy(folder, trials=9)
    run_toy(whole, trials=9)
    assert read_run(folder) == read_run(whole)


def test_a_second_ctrl_c_waits_until_idle_results_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def prepare(driver: Driver) -> None:
        def flush() -> None:
            driver.stop_now()
            written.append(1)

        with monkeypatch.context() as patched:
            patched.setattr(driver, "_flush", flush)
            patched.setattr(driver._executor, "wait", lambda _: [])
            with pytest.raises(KeyboardInterrupt):
                driver._wait()

    run_toy(tmp_path, trials=2, prepare=prepare)
    assert written == [1]


class Together(Executor):
    """Three workers whose results arrive together, in the order of their jobs."""

    capacity = 3
    isolated = True

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        jobs, self._jobs = self._jobs, []
        return [attempt(evaluate, job) for job in jobs]


@pytest.mark.parametrize("moment", ["ask", "tell"])
@pytest.mark.parametrize("number", [2, 5, 10])
def test_a_strategy_stopped_half_way_is_not_kept(tmp_path: Path, moment: str, number: int) -> None:
    """Nor is what arrived with it settled on that: it is evaluated again, and told once."""

    def watch(driver: Driver) -> None:
        calls, original = 0, getattr(driver._strategy, moment)

        def stopped(argument: Any) -> Any:
            nonlocal calls
            calls += 1
            answer = original(argument)
            if calls == number:
                raise KeyboardInterrupt
            return answer

        setattr(driver._strategy, moment, stopped)

    folder, whole = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    whole.mkdir()
    with pytest.raises(KeyboardInterrupt):
        run_toy(folder, trials=15, executor=Together(), prepare=watch)
    known = {trial.number for trial in trials_in(folder) if trial.evaluation is not None}
    assert len(known) < number
    run_toy(folder, trials=15, executor=Together())
    run_toy(whole, trials=15, executor=Together())
    found, expected = read_run(folder), read_run(whole)
    assert found == expected


# --- budgets


def test_number_of_trials_counts_failures_and_not_rejections(tmp_path: Path) -> None:
    run_toy(tmp_path, trials=12)
    assert len(trials_in(tmp_path)) == 12
    assert len(rejections_in(tmp_path)) > 0


def timed(clock: FakeClock, seconds: Callable[[Job], float], jobs: list[Job]) -> Callable[[Job], Evaluated]:
    def score(job: Job) -> Evaluated:
        jobs.append(job)
        clock.now += seconds(job)
        return luck(job.proposal.architecture), {}, None

    return score


def use_clock(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    """Let executors measure with the clock of the run, which only evaluations move."""
    monkeypatch.setattr("tests.run.toy.SerialExecutor", lambda score: SerialExecutor(score, clock))


def test_wall_clock_leaves_no_candidate_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With candidates of 10 s and 55 s, a sixth would end too late, and is not begun."""
    clock, jobs = FakeClock(), list[Job]()
    use_clock(monkeypatch, clock)
    run_toy(tmp_path, trials=99, seconds=55, clock=clock, score=timed(clock, lambda _: 10, jobs))
    assert len(jobs) == 5
    assert [trial.elapsed for trial in trials_in(tmp_path)] == [10, 20, 30, 40, 50]
    assert [trial.evaluation and trial.evaluation.seconds for trial in trials_in(tmp_path)] == [10] * 5


def test_candidates_get_the_time_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, jobs = FakeClock(), list[Job]()
    use_clock(monkeypatch, clock)
    run_toy(tmp_path, trials=99, seconds=50, clock=clock, score=timed(clock, lambda _: 20, jobs))
    assert [job.seconds for job in jobs] == pytest.approx([(1 + GRACE) * 50, (1 + GRACE) * 50 - 20])


def ending(clock: FakeClock, seconds: Callable[[Job], float]) -> Callable[[Job], Evaluated]:
    """Candidates that take so long, if they have the time."""

    def score(job: Job) -> Evaluated:
        assert job.seconds is not None
        clock.now += min(seconds(job), job.seconds)
        if seconds(job) > job.seconds:
            raise TimeLimitError("The time limit was reached.")
        return luck(job.proposal.architecture), {}, None

    return score


def test_what_the_end_of_the_search_stops_waits_for_a_larger_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fifth candidate takes 100 s and has 20: it is no failure, loses no attempt, and is taken up again."""
    clock, witness = FakeClock(), Witness()
    use_clock(monkeypatch, clock)
    aside: list[Proposal] = []
    monkeypatch.setattr(RandomStrategy, "set_aside", lambda _, proposals: aside.extend(proposals))
    score = ending(clock, lambda job: 100.0 if job.trial == 5 else 10.0)
    run_toy(tmp_path, "random", trials=99, seconds=55, clock=clock, score=score, observer=witness)
    assert clock.now == pytest.approx((1 + GRACE) * 55)
    stopped = trials_in(tmp_path)[-1]
    assert (stopped.number, stopped.evaluation, stopped.attempts) == (5, None, 0)
    assert [proposal.fingerprint for proposal in aside] == [
        stopped.proposal.fingerprint
    ]  # through the middlewares
    assert ["Trial 5" in note and "larger budget" in note for note in witness.notes] == [True]
    # A process that goes on knows of the time, and of the delivery that followed; nothing happens without more of it.
    with Ledger(tmp_path / "run.db") as ledger:
        assert elapsed(ledger) == clock.now
        ledger.event(100.5, "delivered", "trial 1")
        assert (elapsed(ledger), delivery_seconds(ledger)) == (100.5, pytest.approx(40.0))
    for _ in range(2):
        later = FakeClock(100.5)
        run_toy(tmp_path, "random", trials=99, seconds=95, clock=later, score=ending(later, lambda _: 100.0))
        assert trials_in(tmp_path)[-1] == stopped
    clock = FakeClock(100.5)
    score = ending(clock, lambda job: 100.0 if job.trial == 5 else 10.0)
    use_clock(monkeypatch, clock)
    run_toy(tmp_path, "random", trials=99, seconds=240, clock=clock, score=score)
    found = trials_in(tmp_path)[4].evaluation
    assert found is not None
    assert (found.state, found.seconds) == (EvaluationState.COMPLETE, 100)
    assert len(trials_in(tmp_path)) > 5


def test_who_takes_longer_than_a_candidate_may_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    use_clock(monkeypatch, clock)

    def limited(driver: Driver) -> None:
        driver._stop = replace(driver._stop, candidate_seconds=15.0)

    score = ending(clock, lambda job: 100.0 if job.trial == 4 else 10.0)
    run_toy(tmp_path, "random", trials=99, seconds=90, clock=clock, score=score, prepare=limited)
    found = trials_in(tmp_path)[3].evaluation
    assert found is not None
    assert (found.state, found.error_kind, found.seconds) == (EvaluationState.FAILED, "time-out", 15)


def test_where_nothing_else_is_there_the_end_of_the_search_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what the error is about."""
    clock = FakeClock()
    use_clock(monkeypatch, clock)
    with pytest.raises(SearchFailedError, match="The first failure was time-out"):
        run_toy(tmp_path, trials=99, seconds=55, clock=clock, score=ending(clock, lambda _: 100.0))
    assert [trial.evaluation is None for trial in trials_in(tmp_path)] == [False]


def test_designs_by_people_get_twice_the_time_limit(tmp_path: Path) -> None:
    jobs = list[Job]()

    def note(job: Job) -> Evaluated:
        jobs.append(job)
        return evaluate(job)

    def limited(driver: Driver) -> None:
        driver._stop = replace(driver._stop, candidate_seconds=10.0)

    run_toy(tmp_path, trials=4, score=note, prepare=limited)
    assert [job.seconds for job in jobs] == [20.0, 20.0, 10.0, 10.0]


def test_who_lost_its_checkpoint_gets_more_time(tmp_path: Path) -> None:
    """The files of the toy are no weights: whoever climbs has lost what it goes on from."""
    jobs = list[Job]()

    def note(job: Job) -> Evaluated:
        jobs.append(job)
        return evaluate(job)

    def limited(driver: Driver) -> None:
        driver._stop = replace(driver._stop, candidate_seconds=10.0)

    run_toy(tmp_path, ladder=True, trials=12, score=note, prepare=limited)
    for job in jobs:
        usual = time_limit(job.proposal, 10.0)
        assert (job.seconds or 0) > 1.2 * usual if job.fidelity.epochs > 1 else job.seconds == usual
    assert {job.fidelity.epochs for job in jobs} >= {1, 3}


def test_the_first_design_has_its_time_however_late_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as there is no network at all: workers that are slow to start are no reason to end with nothing."""
    clock, jobs = FakeClock(99.0), list[Job]()
    use_clock(monkeypatch, clock)

    def late(driver: Driver) -> None:
        driver._stop = replace(driver._stop, candidate_seconds=4.0, one_at_least=True)

    run_toy(tmp_path, trials=99, seconds=15, clock=clock, score=timed(clock, lambda _: 5, jobs), prepare=late)
    assert [job.seconds for job in jobs] == [8.0]  # and nothing more is searched
    assert jobs[0].after(30.0).seconds == 8.0


@pytest.mark.parametrize("good", [2, FIRST_FAILURES, None])
def test_a_late_search_goes_on_until_one_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int | None
) -> None:
    """A failure is no network; but when the first ones all fail, no time is given beyond the budget any more."""
    clock, jobs = FakeClock(99.0), list[Job]()
    use_clock(monkeypatch, clock)

    def score(job: Job) -> Evaluated:
        jobs.append(job)
        return (0.5, {}, None) if job.trial == good else fail(job)

    def late(driver: Driver) -> None:
        driver._stop = replace(driver._stop, candidate_seconds=4.0, one_at_least=True)

    def search() -> Trial:
        return run_toy(tmp_path, trials=99, seconds=15, clock=clock, score=score, prepare=late)

    if good is not None:
        assert search().number == len(jobs) == good
        return
    for _ in range(2):
        with pytest.raises(SearchFailedError):
            search()
    # What was asked for when the fifth one failed is still pending, and nothing follows it.
    assert len(jobs) <= FIRST_FAILURES + 1


def test_one_slow_candidate_does_not_end_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is usual is a median."""
    clock, jobs = FakeClock(), list[Job]()
    use_clock(monkeypatch, clock)
    score = timed(clock, lambda job: 30 if job.trial == 2 else 2, jobs)
    run_toy(tmp_path, trials=99, seconds=50, clock=clock, score=score)
    assert len(jobs) == 11


def test_wall_clock_of_earlier_processes_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, jobs = FakeClock(), list[Job]()
    use_clock(monkeypatch, clock)
    score = timed(clock, lambda _: 10, jobs)
    run_toy(tmp_path, trials=3, seconds=100, clock=clock, score=score)
    later = FakeClock(max(trial.elapsed or 0 for trial in trials_in(tmp_path)))
    use_clock(monkeypatch, later)
    run_toy(tmp_path, trials=99, seconds=100, clock=later, score=timed(later, lambda _: 10, jobs))
    assert len(jobs) == len(trials_in(tmp_path)) == 10


def test_no_time_for_even_one(tmp_path: Path) -> None:
    with pytest.raises(SearchFailedError, match="budget is too small"):
        run_toy(tmp_path, seconds=10, clock=FakeClock(11.0))


def test_clock_goes_on_from_earlier() -> None:
    clock = Clock(100.0)
    first = clock()
    assert 100.0 <= first < 101.0
    assert clock() >= first


class Simulated(Executor):
    """Several places and a clock of its own; every evaluation takes ten seconds."""

    isolated = True

    def __init__(self, places: int, clock: FakeClock) -> None:
        self.capacity, self.clock = places, clock
        self.running: list[tuple[float, Job]] = []
        self.starts: list[tuple[float, Job]] = []

    def submit(self, job: Job) -> None:
        self.starts.append((self.clock.now, job))
        self.running.append((self.clock.now + 10.0, job))

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        end, job = self.running.pop(0)
        self.clock.now = max(end, self.clock.now)
        score = luck(job.proposal.architecture)
        facts = (EvaluationState.COMPLETE, score, job.fidelity, {"trained_epochs": 1.0})
        return [Outcome(job, Evaluation(job.proposal, *facts, seconds=10.0))]

    def close(self) -> None:
        """Nothing is open."""


class Ending(RandomStrategy):
    """Finds nothing more the fifth time, after something has happened."""

    driver: Driver
    happens: Callable[[], None]
    asked = 0

    def ask(self, n: int) -> list[Proposal]:
        self.asked += 1
        if self.asked < 5:
            return super().ask(n)
        self.happens()
        return []


def search_at_random(
    ledger: Ledger,
    executor: Simulated,
    stop: Stop,
    observer: Observer,
    seed: int,
    ending: Ending | None = None,
) -> None:
    """A search with one training for all but the repeats, whose seed is 8."""
    space = SPACE.fit(IMAGE)
    driver = Driver(
        ledger=ledger,
        space=space,
        strategy=Unique(ending or RandomStrategy(space, seed), [], []),
        rejections=[],
        executor=executor,
        fidelity=ONCE,
        stop=stop,
        clock=executor.clock,
        keep_best=lambda _trial, _weights: None,
        observer=observer,
        repeats=Repeats(ONCE, 8, space.limits, None, stop.seconds),
    )
    if ending is not None:
        ending.driver = driver
    driver.run()


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_strategy_that_ends_with_the_search_has_not_run_dry(tmp_path: Path, interrupted: bool) -> None:
    """It looked for what fits until it was interrupted, or until there was time left for the repeats alone."""
    clock, witness = FakeClock(), Witness()
    executor, ending = Simulated(1, clock), Ending(SPACE.fit(IMAGE), 0)

    def happens() -> None:
        if interrupted:
            ending.driver.interrupted = True
        else:
            clock.now = 165.0

    ending.happens = happens
    with Ledger(tmp_path / "run.db", {}) as ledger:
        search_at_random(ledger, executor, Stop(seconds=200.0), witness, 0, ending)
    assert not witness.notes
    assert ending.asked == 5
    assert [job.fidelity.seed for _, job in executor.starts] == [7] * 4 + [8] * (0 if interrupted else 3)


@pytest.mark.parametrize(("places", "times"), [(1, [170, 180, 190]), (2, [180, 180, 190]), (4, [190] * 3)])
def test_repeats_come_at_the_end_and_three_at_most(tmp_path: Path, places: int, times: list[float]) -> None:
    """Of 200 s: the last search ends, the repeats follow in as many places as there are, and nothing after them."""
    clock = FakeClock()
    executor = Simulated(places, clock)
    with Ledger(tmp_path / "run.db", {}) as ledger:
        search_at_random(ledger, executor, Stop(seconds=200.0), Observer(), seed=0)
    again = [time for time, job in executor.starts if job.fidelity.seed == 8]
    assert again == times
    assert max(time for time, job in executor.starts if job.fidelity == ONCE) < again[0]
    assert clock.now == 200.0
    # With all of them made, it does not search on whatever time is left.
    executor.starts.clear()
    clock.now = 100.0
    with Ledger(tmp_path / "run.db") as ledger:
        search_at_random(ledger, executor, Stop(seconds=200.0, repeating=True), Observer(), seed=1)
    assert not executor.starts


def test_a_search_that_was_stopped_in_its_repeats_goes_on_with_them(tmp_path: Path) -> None:
    """Whatever time is left."""
    clock = FakeClock()

    class Stopped(Simulated):
        def wait(self, seconds: float | None = None) -> list[Outcome]:
            if sum(job.fidelity.seed == 8 for _, job in self.starts) == 2:
                raise KeyboardInterrupt
            return super().wait(seconds)

    with Ledger(tmp_path / "run.db", {}) as ledger, pytest.raises(KeyboardInterrupt):
        search_at_random(ledger, Stopped(1, clock), Stop(seconds=200.0), Observer(), seed=0)
    clock.now = 100.0
    executor = Simulated(1, clock)
    with Ledger(tmp_path / "run.db") as ledger:
        search_at_random(ledger, executor, Stop(seconds=200.0, repeating=True), Observer(), seed=1)
    assert [job.fidelity.seed for _, job in executor.starts] == [8, 8]


def test_without_checkpoints_nothing_is_gone_on_with(tmp_path: Path) -> None:
    """A strategy may ask for a longer training of a network; it begins anew, and nothing was lost."""
    (network,) = RandomStrategy(TOY, 0).ask(1)
    asked = [replace(network, fidelity=Fidelity(epochs, 7)) for epochs in (1, 9)]

    class Twice(RandomStrategy):
        def ask(self, n: int) -> list[Proposal]:
            return [asked.pop(0)] if asked else []

    clock = FakeClock()
    with Ledger(tmp_path / "run.db", {}) as ledger:
        Driver(
            ledger=ledger,
            space=TOY,
            strategy=Twice(TOY, 0),
            rejections=[],
            executor=Simulated(1, clock),
            fidelity=ONCE,
            stop=Stop(9),
            clock=clock,
            keep_best=lambda _trial, _weights: None,
            observer=Observer(),
        ).run()
        found = ledger.trials()
    assert [(trial.fidelity.epochs, trial.continues) for trial in found] == [(1, None), (9, None)]


def test_repeats_that_would_not_end_are_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that took longer than thought leaves too little for the next."""
    monkeypatch.setattr(driving, "GRACE", 0.0)
    clock = FakeClock()
    executor = Simulated(1, clock)

    class Late(Observer):
        def trial_finished(self, trial: Trial, best: Trial | None) -> None:
            clock.now += 15.0 * (trial.number == 15)

    with Ledger(tmp_path / "run.db", {}) as ledger:
        search_at_random(ledger, executor, Stop(seconds=180.0), Late(), seed=0)
    again = [time for time, job in executor.starts if job.fidelity.seed == 8]
    assert again == [150.0, 165.0]


def test_why_the_search_ends_is_said_once(tmp_path: Path) -> None:
    """Three small designs, then nothing that keeps to the limits; the designs still go on to the top rung."""
    free = SPACE.fit(IMAGE)
    small = [
        free.decode([LayerAction(0, (index,), (0,)) for index in design]) for design in ((0,), (1,), (0, 0))
    ]
    large = free.decode([LayerAction(0, (2,), (0,))] * 3)
    space = SPACE.fit(IMAGE, Limits(activations=max(free.cost(each).activations for each in small)))

    class Large(Learner):
        def ask(self, n: int) -> list[Proposal]:
            return [Proposal(large, free.encode(large), "large")] * n

        def tell(self, evaluations: Sequence[Evaluation]) -> None:
            """It learns nothing."""

    log: list[Rejection] = []
    ladder, witness = Ladder(RUNGS), Witness()
    inner = WithinLimits(ReferencesFirst(Large(space), space, small), log, space)
    limits = {"limits": space.limits, "cost": lambda proposal: space.cost(proposal.architecture)}
    with Ledger(tmp_path / "run.db", {}) as ledger:
        Driver(
            ledger=ledger,
            space=space,
            strategy=SuccessiveHalving(Unique(inner, log, []), ladder, [], multi_fidelity=False, **limits),
            rejections=log,
            executor=Simulated(3, FakeClock()),
            fidelity=RUNGS[-1],
            stop=Stop(trials=30),
            clock=Clock(),
            keep_best=lambda _trial, _weights: None,
            observer=witness,
            checkpoints=Checkpoints(tmp_path / "checkpoints", ladder),
        ).run()
        assert [trial.fidelity for trial in ledger.trials()].count(RUNGS[-1]) == 3
        assert len(ledger.rejections()) == MAX_REJECTIONS
    (note,) = witness.notes
    assert "1,000 proposals in a row broke a limit" in note


def test_what_an_executor_finds_infeasible_is_a_failure(tmp_path: Path) -> None:
    class NotThere(SerialExecutor):
        def wait(self, seconds: float | None = None) -> list[Outcome]:
            (outcome,) = super().wait(seconds)
            if outcome.job.trial != 3:
                return [outcome]
            missing = Evaluation(outcome.job.proposal, EvaluationState.INFEASIBLE, error_kind="not-in-table")
            return [Outcome(outcome.job, missing)]

    run_toy(tmp_path, "random", trials=5, executor=NotThere(lambda job: (0.5 / job.trial, {}, None)))
    found = trials_in(tmp_path)[2].evaluation
    assert found is not None
    assert (found.state, found.error_kind) == (EvaluationState.FAILED, "not-in-table")
