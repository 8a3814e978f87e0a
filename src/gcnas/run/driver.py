"""The driver: asks, has evaluated, tells, and writes each step into the ledger, until the budget is spent."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gcnas.errors import LimitsTooTightError, RunFolderError, SearchFailedError, TimeLimitError
from gcnas.execution import Executor, Job, Outcome
from gcnas.execution.base import LEAST_SECONDS
from gcnas.records import Evaluation, EvaluationState, Fidelity, Proposal
from gcnas.run.amounts import GRACE
from gcnas.run.checkpoints import Checkpoints
from gcnas.run.costs import priced
from gcnas.run.group import Group
from gcnas.run.history import History
from gcnas.run.ledger import MAX_ATTEMPTS, Ledger
from gcnas.run.observer import Observer
from gcnas.run.recommendation import is_given, time_limit
from gcnas.run.repeats import Repeats
from gcnas.run.signal_clock import SignalClock
from gcnas.run.trial import STOPPED, Rejection, Trial
from gcnas.space import SearchSpace
from gcnas.strategy import Strategy

FIRST_FAILURES = 5
"""If the first so many trials all fail, the search ends: something is wrong with more than a candidate."""

SLOW_START = 10
"""Time limits that may pass until the first design has a worker."""

LOOK_SECONDS = 1.0
"""After so long without a result of other processes the driver looks whether it was interrupted."""

PRUNE = 0.01
"""Checkpoints are looked through after so many more trials, as a share of those that are finished."""


@dataclass(frozen=True)
class Stop:
    """When a search ends.

    Attributes:
        trials: Most trials.
        seconds: Wall clock of the search (without the final training).
        candidate_seconds: Time limit of one candidate.
        one_at_least: Whether designs by people have their time limit however late it is, as long as no candidate was
            trained successfully: a network with little final training is better than none.
        delivering: Of these seconds, those that went by while networks were delivered.
        repeating: Whether the search is over but for its repeats.
    """

    trials: int | None = None
    seconds: float | None = None
    candidate_seconds: float | None = None
    one_at_least: bool = False
    delivering: float = 0.0
    repeating: bool = False


class Clock:
    """Seconds that a run has been alive, those of earlier processes included."""

    def __init__(self, elapsed: float = 0.0) -> None:
        self._origin = time.monotonic() - elapsed

    def __call__(self) -> float:
        """Seconds."""
        return time.monotonic() - self._origin


class Driver:
    """Runs a search.

    Args:
        ledger: Open ledger; trials that are pending in it are evaluated first.
        space: Fitted space.
        strategy: Who proposes, with its middlewares, in the state that the ledger holds.
        rejections: The list in which the middlewares note what they reject.
        executor: Where evaluations run.
        fidelity: Training of each candidate whose proposal asks for no other.
        stop: When to end.
        clock: Seconds of the run.
        keep_best: Writes the best network so far; called before its result is committed.
        observer: Told what happens.
        checkpoints: Weights to go on from; None where all candidates get the full training at once.
        repeats: Who is trained once more at the end; None for nobody.
        signals: Charges trials with the time that the strategy measured signals; None if it measures none.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        space: SearchSpace,
        strategy: Strategy,
        rejections: list[Rejection],
        executor: Executor,
        fidelity: Fidelity,
        stop: Stop,
        clock: Clock,
        keep_best: Callable[[Trial, Mapping[str, Any]], None],
        observer: Observer,
        checkpoints: Checkpoints | None = None,
        repeats: Repeats | None = None,
        signals: SignalClock | None = None,
    ) -> None:
        self._ledger, self._space, self._strategy, self._rejections = ledger, space, strategy, rejections
        self._executor, self._fidelity, self._stop, self._clock = executor, fidelity, stop, clock
        self._keep_best, self._observer = keep_best, observer
        self._checkpoints, self._repeats, self._signals = checkpoints, repeats, signals
        trials = priced(space, ledger.trials())
        self._count = len(trials)
        self._history = History(space.limits, (trial for trial in trials if trial.evaluation is not None))
        self._pending = {trial.number: trial for trial in trials if trial.evaluation is None}
        if repeats is not None:
            for trial in trials:
                repeats.note(trial)
        self._started: set[int] = set()
        self._aside: list[Trial] = []
        self._waiting: deque[Trial] = deque()
        self._group = Group(clock, alone=executor.capacity == 1)
        self._pruned = 0
        self._exhausted, self._repeating = False, stop.repeating
        self._settling = self._urgent = self._ahead = False
        self.interrupted = False

    @property
    def best(self) -> Trial | None:
        """The best trial so far."""
        return self._history.best

    def stop_now(self) -> None:
        """End the search where it is; a result that is being settled is kept first, unless this is called again.

        Raises:
            KeyboardInterrupt: Here, or where the search runs.
        """
        if not self._settling or self._urgent:
            raise KeyboardInterrupt
        self._urgent = True

    def run(self) -> Trial:
        """Search until the budget is spent, the space is exhausted, or :attr:`interrupted` is set.

        Returns:
            The best trial.

        Raises:
            SearchFailedError: If the first trials all fail, or none succeeded at the end.
            LimitsTooTightError: If nothing stays within the limits, and nothing was evaluated.
            RunFolderError: If the ledger or ``best`` cannot be written.
        """
        try:
            self._prune()
            self._take_up()
            while len(self._pending) > len(self._waiting):
                if not self._withdraw():
                    self._settle_all(self._wait())
            self._flush()
            self._prune()
        except (Exception, KeyboardInterrupt, SystemExit):
            # Nobody died: what was under way does not use up one of its attempts.
            with suppress(RunFolderError):  # a full disk may refuse this too
                self._ledger.take_back_attempts(self._started)
            raise
        finally:
            with ExitStack() as closing:
                if self._signals is not None:
                    closing.callback(self._signals.close)
                closing.callback(self._executor.close)
        if self.best is None:
            raise SearchFailedError(self._why_nothing())
        return self.best

    def _wait(self) -> list[Outcome]:
        """Results that arrived, or none if what waits for the ledger is due before."""
        patience = self._group.patience
        if patience is None and self._executor.isolated:
            patience = LOOK_SECONDS
        try:
            outcomes = self._executor.wait(patience)
        except BaseException:
            self._flush()  # whatever ends the run, what is finished is kept
            raise
        if not outcomes:
            with self._undisturbed():
                self._flush()
        return outcomes

    def _withdraw(self) -> bool:
        """Once an interrupt has ended the search, leave what has not begun in the ledger; whether there was any."""
        if not self.interrupted:
            return False
        with self._undisturbed():
            self._flush()  # before anything can go wrong; and they may have been asked for since
            withdrawn = self._executor.withdraw()
            self._waiting.extend(self._pending[number] for number in withdrawn)
            if taken_back := self._started.intersection(withdrawn):
                self._ledger.take_back_attempts(taken_back)
                self._started -= taken_back
        return bool(withdrawn)

    def _settle_all(self, outcomes: list[Outcome]) -> None:
        """Settle results that arrived together; if one ends the run, the others are kept, and nothing more is asked."""
        for index, outcome in enumerate(outcomes):
            try:
                self._settle(outcome)
            except BaseException:
                self.interrupted = True
                for other in outcomes[index + 1 :]:
                    if self._ahead:
                        break
                    with suppress(Exception, SystemExit):  # the first error is the one to tell
                        self._settle(other)
                for other in self._arrived():
                    if self._ahead:
                        break
                    with suppress(Exception, SystemExit):
                        self._settle(other)
                with suppress(RunFolderError):
                    self._flush()
                raise

    def _arrived(self) -> list[Outcome]:
        """What other processes have finished meanwhile."""
        if self._executor.isolated and not self._ahead:
            with suppress(Exception):
                return self._executor.wait(0.0)
        return []

    def _take_up(self) -> None:
        """Start what an earlier process left pending, give up what it died of, and ask for the rest."""
        left = self._within_limits()
        fatal = [trial for trial in left if trial.attempts >= MAX_ATTEMPTS and not self._executor.isolated]
        self._waiting.extend(trial for trial in left if trial not in fatal)
        self._begin_waiting()
        asked = self._ask()
        if asked or fatal:
            self._executor.prepare()  # a search that cannot begin leaves nothing
        self._commit([], asked, at_once=True)
        self._settle_all([Outcome(self._job(trial), _died(trial)) for trial in fatal])

    def _within_limits(self) -> list[Trial]:
        """What an earlier process left; what is beyond limits that are tighter now stays in the ledger."""
        beyond = [
            t for t in self._pending.values() if self._space.violation(t.proposal.architecture) is not None
        ]
        for trial in beyond:
            self._set_aside(trial, "is beyond the limits now; with wider ones it is taken up again")
        return list(self._pending.values())

    def _set_aside(self, trial: Trial, why: str) -> None:
        """Leave a trial in the ledger, for a process that can take it up."""
        self._aside.append(self._pending.pop(trial.number))
        if self._repeats is None or not self._repeats.is_repeat(trial):
            self._strategy.set_aside([replace(trial.proposal, fidelity=trial.fidelity)])
        else:
            self._repeats.miss(trial)
        self._observer.note(f"Trial {trial.number}, which was under way, {why}.")

    def _next_waiting(self) -> Trial | None:
        """The next of what an earlier process left; what there is no time for stays in the ledger."""
        while self._waiting:
            trial = self._waiting.popleft()
            if not self._late(trial):
                return trial
            self._set_aside(trial, "has no time left; with a larger budget it is taken up again")
        return None

    def _late(self, trial: Trial) -> bool:
        """Whether a trial of an earlier process is not to be begun any more, as a new one of its length would not be.

        Stopped before its end it would have been trained for nothing.
        """
        if self._stop.seconds is None or not self._history.complete:
            return False
        epochs: float = trial.fidelity.epochs
        if self._checkpoints is not None:
            epochs = self._checkpoints.epochs_left(trial)
        seconds = self._history.usual_seconds(epochs)
        if self._repeats is not None and self._repeats.is_repeat(trial):
            return seconds > self._seconds_left()
        return self._clock() + seconds > self._stop.seconds

    def _begin_waiting(self) -> None:
        """Start what an earlier process left, as much at once as there are places; here this process may die of it."""
        while not self.interrupted and len(self._pending) - len(self._waiting) < self._executor.capacity:
            if (trial := self._next_waiting()) is None:
                break
            self._executor.prepare()
            if not self._executor.isolated:
                self._ledger.count_attempts([trial.number])
                self._started.add(trial.number)
                trial = replace(trial, attempts=trial.attempts + 1)
            self._submit(trial)

    def _settle(self, outcome: Outcome) -> None:
        with self._undisturbed():
            self._take_in(outcome)

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Do something as a whole, and end the search then if that was asked for meanwhile."""
        self._settling = True
        try:
            yield
        finally:
            self._settling, urgent, self._urgent = False, self._urgent, False
        if urgent:
            raise KeyboardInterrupt

    def _take_in(self, outcome: Outcome) -> None:
        """Tell the strategy, keep the network if it is the best, ask for more, and commit all of it at once."""
        evaluation = outcome.evaluation
        if self._ended_by_the_search(outcome):
            self._put_back(self._pending[outcome.job.trial])
            return
        if evaluation.state is EvaluationState.INFEASIBLE:  # found out by the executor: it had its trial
            evaluation = replace(evaluation, state=EvaluationState.FAILED)
        if self._signals is not None:
            evaluation = self._signals.with_signals(outcome.job.trial, evaluation)
        trial = replace(self._pending.pop(outcome.job.trial), evaluation=evaluation, elapsed=self._clock())
        previous = self.best
        self._remember(trial)
        problems: list[BaseException] = []  # raised again once the evaluation is safe
        # What leaves this before the evaluation is in the group leaves a strategy that is not to be kept.
        self._ahead = True
        if self._repeats is None or not self._repeats.is_repeat(trial):
            with _noted(problems):
                self._strategy.tell([evaluation])
        knows = not problems
        if trial is self.best and trial is not previous and outcome.weights is not None:
            with _noted(problems, (Exception, KeyboardInterrupt)):
                self._keep_best(trial, outcome.weights)
        asked: list[Trial] = []
        if knows:
            with _noted(problems):
                asked = self._ask()
        # Not later than the first results, nor than the improvement that now lies in `best`.
        urgent = bool(problems) or self.best is not previous or self._history.count <= FIRST_FAILURES
        self._commit([trial], asked, at_once=urgent)
        # A checkpoint goes when what was made of it is in the ledger.
        if self._history.count > (1 + PRUNE) * self._pruned and not self._group:
            self._prune()
        self._observer.trial_finished(trial, self.best)
        if problems:
            raise problems[0]
        self._check_first_failures()
        aside = len(self._aside)
        self._begin_waiting()
        if len(self._aside) > aside:  # their places are free
            self._flush()
            self._ahead, more = True, list[Trial]()  # as above
            with _noted(problems):
                more = self._ask()
            self._commit([], more, at_once=bool(problems))
            if problems:
                raise problems[0]

    def _ended_by_the_search(self, outcome: Outcome) -> bool:
        """Whether what stopped a candidate is the end of the search, and not that it took longer than one may."""
        job, evaluation = outcome.job, outcome.evaluation
        late = evaluation.state is EvaluationState.FAILED and evaluation.error_kind == TimeLimitError.kind
        return late and job.left is not None and job.seconds == job.left and self._history.complete > 0

    def _put_back(self, trial: Trial) -> None:
        """Leave a trial that was stopped in the ledger, with the time that it took; it loses no attempt."""
        self._set_aside(
            trial, "was stopped by the end of the search; with a larger budget it is taken up again"
        )
        self._flush()  # it may have been asked for since
        self._ledger.event(self._clock(), STOPPED, f"trial {trial.number}")
        self._ledger.take_back_attempts(self._started & {trial.number})
        self._started.discard(trial.number)
        self._begin_waiting()

    def _remember(self, trial: Trial) -> None:
        self._history.add(trial)
        if self._repeats is not None:
            self._repeats.note(trial)

    def _ask(self) -> list[Trial]:
        """New trials for the places that are free."""
        left = self._trials_left()
        places = min(self._executor.capacity - len(self._pending), left)
        if places < 1 or self.interrupted:
            return []
        repeats, reserved = self._reserved()
        free = min(places, left - len(repeats))
        more = free > 0 and not (self._exhausted or self._repeating or self._out_of_time(reserved))
        if more and (found := self._search(int(free), reserved)):
            return found
        if self.interrupted:  # meanwhile
            return []
        # What runs may still change who is repeated.
        return [] if self._searching() else self._repeat(int(places))

    def _trials_left(self) -> float:
        """Trials that the budget still has; those that are set aside are no part of it."""
        most = math.inf if self._stop.trials is None else self._stop.trials
        return most - self._count + len(self._aside)

    def _search(self, places: int, reserved: float) -> list[Trial]:
        """What the strategy proposes."""
        reason = "The strategy has nothing new left to propose."
        try:
            proposals = self._strategy.ask(places)
        except LimitsTooTightError as error:
            if self.best is None and not self._pending:
                self._ledger.commit(rejections=self._drain_rejections(self._count))
                raise
            proposals, reason = [], str(error)
        if not proposals and (self.interrupted or self._out_of_time(reserved)):
            return []
        # While something runs, there may be more to go on with later.
        if not proposals and not (self._checkpoints is not None and self._pending):
            self._exhausted = True
            self._observer.note(f"The search ends early. {reason}")
        return [self._number(proposal) for proposal in proposals]

    def _reserved(self) -> tuple[list[Proposal], float]:
        """Repeats that are left for the end, and their seconds."""
        if self._repeats is None:
            return [], 0.0
        return self._repeats.left(trials=self._trials_left()), self._repeats.seconds(self._executor.capacity)

    def _searching(self) -> bool:
        """Whether anything but repeats is under way."""
        return not all(
            self._repeats is not None and self._repeats.is_repeat(trial) for trial in self._pending.values()
        )

    def _repeat(self, places: int) -> list[Trial]:
        """Repeats that fit into the time left, as trials; the search is over then."""
        if self._repeats is None:
            return []
        left = self._repeats.left(self._seconds_left(), self._executor.capacity, self._trials_left())
        self._repeating = self._repeating or bool(left)
        return [self._number(proposal) for proposal in left[:places]]

    def _seconds_left(self) -> float:
        """Wall clock until what runs is stopped."""
        stop = self._stop
        if stop.seconds is None:
            return math.inf
        return stop.seconds + GRACE * (stop.seconds - stop.delivering) - self._clock()

    def _number(self, proposal: Proposal) -> Trial:
        self._count += 1
        cost = self._space.cost(proposal.architecture)
        before = None if self._checkpoints is None else self._history.shorter(proposal)
        proposal, fidelity = replace(proposal, fidelity=None), proposal.fidelity or self._fidelity
        # What dies elsewhere does not end this process.
        attempts = 0 if self._executor.isolated else 1
        trial = Trial(self._count, proposal, cost, fidelity, attempts=attempts, continues=before)
        if self._repeats is not None:
            self._repeats.note(trial)
        return trial

    def _out_of_time(self, reserved: float) -> bool:
        """Whether the time left would not hold another candidate of the usual length, with the least training."""
        if self._stop.seconds is None:
            return False
        if self._stop.one_at_least and not self._history.complete and self._history.count < FIRST_FAILURES:
            return False  # one network at least
        return self._clock() + self._history.usual_seconds() + reserved > self._stop.seconds

    def _prune(self) -> None:
        self._pruned = self._history.count
        # Limits that leave nothing may be a slip: what they would delete stays.
        slip = self.best is None and self._history.complete > 0
        if self._checkpoints is not None and not slip:
            self._checkpoints.prune(self._history.trained, [*self._pending.values(), *self._aside])

    def _commit(self, finished: list[Trial], asked: list[Trial], *, at_once: bool) -> None:
        """Put what finished and what was asked into the group for the ledger, and start what was asked."""
        figures: list[dict[str, float]] = []
        problems: list[BaseException] = []
        with _noted(problems):
            figures = self._strategy.figures()
        learning = [(self._history.count, each) for each in figures]
        self._group.add(finished, asked, self._drain_rejections(self._count - len(asked)), learning)
        self._ahead = False
        self._started.update(trial.number for trial in asked)
        if self._signals is not None:
            self._signals.charge(asked)
        if at_once or problems or self._group.due:
            self._flush()
        if problems:
            raise problems[0]
        for trial in asked:
            self._submit(trial)

    def _flush(self) -> None:
        """One transaction: what finished, what was asked, and the strategy after both, if it knows no more."""
        if not self._group or self._ahead:
            return
        commit = partial(
            self._ledger.commit,
            finished=self._group.finished,
            pending=self._group.asked,
            rejections=self._group.rejections,
        )
        try:
            commit(learning=self._group.learning, state=self._strategy.state_dict())
        except RunFolderError:
            raise
        except (Exception, SystemExit):
            # The strategy cannot say what it knows: what it knew before stays, and what was trained is kept.
            if self._group.finished:
                commit()
                self._written()
            raise
        self._written()

    def _written(self) -> None:
        self._started.difference_update(trial.number for trial in self._group.finished)
        self._group.written()

    def _drain_rejections(self, trials_before: int) -> list[Rejection]:
        drained = [replace(rejection, trials_before=trials_before) for rejection in self._rejections]
        self._rejections.clear()
        return drained

    def _submit(self, trial: Trial) -> None:
        self._pending[trial.number] = trial
        self._observer.trial_started(trial)
        self._executor.submit(self._job(trial))

    def _job(self, trial: Trial) -> Job:
        stop, left = self._stop, None
        limit = stop.candidate_seconds
        if limit is not None:
            limit = time_limit(trial.proposal, limit)
            if self._checkpoints is not None:
                limit *= self._checkpoints.lengthening(trial)
        if stop.seconds is not None:
            left = max(self._seconds_left(), LEAST_SECONDS)
            if stop.one_at_least and is_given(trial.proposal) and not self._history.complete:
                left = max(left, SLOW_START * (limit or 0.0))
            limit = left if limit is None else max(min(limit, left), LEAST_SECONDS)
        start = None if self._checkpoints is None else self._checkpoints.start(trial)
        keep = None if self._checkpoints is None else self._checkpoints.keep(trial)
        return Job(trial.number, trial.proposal, trial.fidelity, limit, start, keep, left)

    def _check_first_failures(self) -> None:
        if self._history.count == FIRST_FAILURES and not self._history.complete:
            raise SearchFailedError(self._why_nothing())

    def _why_nothing(self) -> str:
        count, first = self._history.count, self._history.first_failure
        if not count and self._aside:
            return "No candidate was evaluated: those that were under way are beyond the limits now. Raise these again."
        if not count and self.interrupted:
            return "No candidate was evaluated: the search was stopped before. Resume the run."
        if not count:
            return "No candidate was evaluated: the budget is too small for even one. Give it more."
        if self._history.complete or first is None:
            return (
                f"None of the {count} candidates is within the limits, which were changed. Raise "
                "them, or give the search a larger budget."
            )
        way_out = ""
        limited = self._stop.candidate_seconds is not None or self._stop.seconds is not None
        if limited and first.error_kind == TimeLimitError.kind:
            way_out = (
                " Give a larger --budget or --candidate-seconds, or fewer or smaller images (--resolution)."
            )
        return (
            f"All {count} candidates failed. The first failure was {first.error_kind}: {first.error}{way_out}"
        )


@contextmanager
def _noted(
    problems: list[BaseException], kinds: tuple[type[BaseException], ...] = (Exception, SystemExit)
) -> Iterator[None]:
    """Keep an error for later; not Ctrl-C, unless asked for: a strategy stopped in the middle is not to be kept."""
    try:
        yield
    except kinds as error:
        problems.append(error)


def _died(trial: Trial) -> Evaluation:
    return Evaluation(
        trial.proposal,
        EvaluationState.FAILED,
        fidelity=trial.fidelity,
        error_kind="crash",
        error=f"The process died {trial.attempts} times during this evaluation.",
    )
