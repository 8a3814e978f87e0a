"""Little training for most, more for the best: asynchronous successive halving around any strategy."""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from gcnas.errors import LimitsTooTightError
from gcnas.records import DECAY, Cost, Evaluation, EvaluationState, Fidelity, Limits, Proposal
from gcnas.run.duration import RunningMedian
from gcnas.run.middleware import Middleware
from gcnas.run.recommendation import is_given, time_limit
from gcnas.run.rungs import ETA
from gcnas.run.trial import Trial
from gcnas.strategy import Strategy


@dataclass(frozen=True)
class Entry:
    """What became of a network on a rung.

    Attributes:
        proposal: The network.
        score: Minus infinity where it failed.
        seconds: Of an epoch; 0 where it failed.
    """

    proposal: Proposal
    score: float
    seconds: float


def _place(entry: Entry) -> tuple[float, str]:
    """Orders entries, the best first; of equal scores an order that does not depend on time."""
    return -entry.score, entry.proposal.fingerprint


@dataclass
class Rung:
    """A rung's entries, kept in order: a network more, or one that goes on, costs no sorting.

    Attributes:
        finished: By fingerprint.
        ranked: All, the best first.
        waiting: Those with a score that did not go on, the best first.
        designs: Those by people, the best first.
        reached: Fingerprints of all that were proposed here.
        seconds: Median seconds of an epoch.
    """

    finished: dict[str, Entry] = field(default_factory=dict)
    ranked: list[Entry] = field(default_factory=list)
    waiting: list[Entry] = field(default_factory=list)
    designs: list[Entry] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)
    seconds: RunningMedian = field(default_factory=RunningMedian)

    def add(self, entry: Entry, *, waits: bool) -> None:
        """Take what finished, once for each network."""
        fingerprint = entry.proposal.fingerprint
        if fingerprint in self.finished:
            return
        self.finished[fingerprint] = entry
        insort(self.ranked, entry, key=_place)
        if waits and math.isfinite(entry.score):
            insort(self.waiting, entry, key=_place)
        if is_given(entry.proposal):
            insort(self.designs, entry, key=_place)
        if entry.seconds:
            self.seconds.add(entry.seconds)

    def leave(self, fingerprint: str) -> None:
        """Note that a network goes on."""
        entry = self.finished.get(fingerprint)
        if entry is None:
            return
        index = bisect_left(self.waiting, _place(entry), key=_place)
        if index < len(self.waiting) and self.waiting[index] is entry:
            del self.waiting[index]

    def top(self) -> list[Entry]:
        """Those among the best 1/eta that did not go on."""
        share = len(self.ranked) // ETA
        if not share:
            return []
        return self.waiting[: bisect_right(self.waiting, _place(self.ranked[share - 1]), key=_place)]


class Ladder:
    """Which networks are on which rung, and which go on.

    A network goes on from a rung if it is among the best 1/eta of those that finished there and did not go on before.
    Designs by people always go on, so that what the search found can be compared with each of them: after little
    training those that learn fast look better than those that end high.

    Args:
        rungs: Fidelities, the least training first.
    """

    def __init__(self, rungs: Sequence[Fidelity]) -> None:
        self.rungs = list(rungs)
        self._rungs = [Rung() for _ in rungs]

    def rung(self, fidelity: Fidelity | None) -> int | None:
        """Index of a fidelity's rung; None if it is none of them."""
        return self.rungs.index(fidelity) if fidelity in self.rungs else None

    def enter(self, proposal: Proposal, rung: int) -> None:
        """Note that a network is proposed on a rung."""
        self._rungs[rung].reached.add(proposal.fingerprint)
        if rung:
            self._rungs[rung - 1].leave(proposal.fingerprint)

    def finish(self, evaluation: Evaluation) -> None:
        """Note what became of a network on a rung; what is on none of the rungs is ignored."""
        rung = self.rung(evaluation.fidelity)
        if rung is None or evaluation.state not in (EvaluationState.COMPLETE, EvaluationState.FAILED):
            return
        complete = evaluation.state is EvaluationState.COMPLETE and evaluation.score is not None
        seconds = evaluation.training_seconds / max(evaluation.trained_epochs, 1e-9) if complete else 0.0
        score = float(evaluation.score) if complete and evaluation.score is not None else -math.inf
        proposal = replace(evaluation.proposal, fidelity=None)
        self.enter(proposal, rung)
        waits = not self.went_on(rung, proposal.fingerprint)
        self._rungs[rung].add(Entry(proposal, score, seconds), waits=waits)

    def ranked(self, rung: int) -> list[Entry]:
        """What finished on a rung, the best first; of equal scores an order that does not depend on time."""
        return self._rungs[rung].ranked

    def went_on(self, rung: int, fingerprint: str) -> bool:
        """Whether a network was proposed on the next rung."""
        return rung + 1 < len(self.rungs) and fingerprint in self._rungs[rung + 1].reached

    def further_epochs(self, rung: int) -> float:
        """Passes that a network trains from the checkpoint of a rung to the end of the next one."""
        return self.rungs[rung + 1].epochs - (1 - DECAY) * self.rungs[rung].epochs

    def longest_stretch(self) -> float:
        """The most passes that a network trains at a stretch."""
        return max([float(self.rungs[0].epochs), *map(self.further_epochs, range(len(self.rungs) - 1))])

    def whole_epochs(self) -> float:
        """Passes that a network trains from the beginning to the end of the top rung."""
        return self.rungs[0].epochs + sum(map(self.further_epochs, range(len(self.rungs) - 1)))

    def usual_seconds(self) -> float:
        """Median seconds of an epoch on the lowest rung; 0 before anything finished there."""
        return self._rungs[0].seconds.value

    def waiting(self, rung: int) -> list[Entry]:
        """Who could go on from a rung and did not, the best first."""
        return self._rungs[rung].waiting

    def promotable(self, rung: int) -> list[Entry]:
        """Who may go on from a rung, the best first."""
        top = self._rungs[rung].top()
        designs = [e for e in self._rungs[rung].designs if e not in top and self._may_go_on(e, rung)]
        return [*designs, *top]

    def _may_go_on(self, entry: Entry, rung: int) -> bool:
        return math.isfinite(entry.score) and not self.went_on(rung, entry.proposal.fingerprint)


class SuccessiveHalving(Middleware):
    """Promotes what does well to more training, and asks the strategy for new networks otherwise.

    The rule is that of ASHA (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning"): whenever there
    is room, the highest rung with a promotable network gives it; nobody is waited for. All that it must know is in the
    trials, so it has no state of its own beside them; a strategy that had nothing new is asked once more after a
    resume. When a wall clock leaves no time to bring a new network to the top, or the strategy has nothing new, the
    best that are there go on, whatever their share.

    Args:
        inner: The strategy with its other middlewares, which see proposals of new networks only.
        ladder: Empty.
        known: Trials of the run so far.
        limits: A network beyond them, which may have been tightened, neither goes on nor takes the place of others.
        cost: Cost of a network.
        multi_fidelity: Whether the strategy is told about all rungs; otherwise about the lowest, whose scores compare.
        limit: Time limit of an evaluation in seconds.
        seconds_left: Seconds until the search ends.
        over: Whether the search is to end, as when the user stops it.
    """

    def __init__(
        self,
        inner: Strategy,
        ladder: Ladder,
        known: Iterable[Trial],
        *,
        limits: Limits,
        cost: Callable[[Proposal], Cost],
        multi_fidelity: bool,
        limit: float = math.inf,
        seconds_left: Callable[[], float] = lambda: math.inf,
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(inner)
        self._ladder, self._limits, self._cost = ladder, limits, cost
        self._tells_all, self._limit, self._seconds_left = multi_fidelity, limit, seconds_left
        self._over = over
        self._spent = False
        self._end: LimitsTooTightError | None = None
        for trial in known:
            rung = ladder.rung(trial.fidelity)
            if rung is not None:
                ladder.enter(trial.proposal, rung)
            if trial.evaluation is not None and self._within(trial.proposal):
                ladder.finish(trial.evaluation)

    def ask(self, n: int) -> list[Proposal]:
        """Promotions, the highest rung first, then new networks on the lowest; without such, any that can go on."""
        proposals: list[Proposal] = []
        while len(proposals) < n and (promoted := self._promote()) is not None:
            proposals.append(promoted)
        if len(proposals) < n and not self._spent:
            proposals += self._new(n - len(proposals))
        if not proposals:
            proposals = self._further(n)
        if not proposals and self._end is not None:
            raise self._end
        return proposals

    def _new(self, n: int) -> list[Proposal]:
        """New networks; where there are none, looking for them may have taken long, and is not done again."""
        try:
            fresh = self._inner.ask(n)
        except LimitsTooTightError as error:
            fresh, self._end = [], error
        self._spent = not fresh and not self._over()
        for proposal in fresh:
            self._ladder.enter(proposal, 0)
        return [replace(proposal, fidelity=self._ladder.rungs[0]) for proposal in fresh]

    def _further(self, n: int) -> list[Proposal]:
        """The best that can go on, whatever their share."""
        proposals: list[Proposal] = []
        while (
            len(proposals) < n and not self._over() and (found := self._first(self._ladder.waiting)) is not None
        ):
            proposals.append(found)
        return proposals

    def _promote(self) -> Proposal | None:
        found = self._first(self._ladder.promotable)
        return self._first(self._ladder.waiting) if found is None and self._closing() else found

    def _closing(self) -> bool:
        """Whether there is no time left to bring a new network to the top: then those that are there go on."""
        return self._ladder.whole_epochs() * self._ladder.usual_seconds() > self._seconds_left()

    def _first(self, candidates: Callable[[int], list[Entry]]) -> Proposal | None:
        for rung in reversed(range(len(self._ladder.rungs) - 1)):
            for entry in candidates(rung):
                if self._affordable(entry, rung):
                    self._ladder.enter(entry.proposal, rung + 1)
                    return replace(entry.proposal, fidelity=self._ladder.rungs[rung + 1])
        return None

    def _affordable(self, entry: Entry, rung: int) -> bool:
        seconds = entry.seconds * self._ladder.further_epochs(rung)
        longest = min(time_limit(entry.proposal, self._limit), self._seconds_left())
        return seconds <= longest and self._within(entry.proposal)

    def _within(self, proposal: Proposal) -> bool:
        return self._limits == Limits() or self._limits.violation(self._cost(proposal)) is None

    def set_aside(self, proposals: Sequence[Proposal]) -> None:
        """Pass on those of which the strategy would be told."""
        for proposal in proposals:
            if self._tells_all or self._ladder.rung(proposal.fidelity) in (0, None):
                super().set_aside([proposal])

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Note all, and tell the strategy those that it can compare."""
        for evaluation in evaluations:
            lowest = self._ladder.rung(evaluation.fidelity) in (0, None)
            if self._within(evaluation.proposal):
                self._ladder.finish(evaluation)
            if lowest:
                self._spent, self._end = False, None  # the strategy may know of more by this
            if lowest or self._tells_all:
                super().tell([evaluation])
