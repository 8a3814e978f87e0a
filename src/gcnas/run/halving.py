"""Little training for most, more for the best: asynchronous successive halving around any strategy."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from gcnas.errors import LimitsTooTightError
from gcnas.records import DECAY, Cost, Evaluation, EvaluationState, Fidelity, Limits, Proposal
from gcnas.run.middleware import Middleware
from gcnas.run.recommendation import REFERENCE
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
        self.finished: list[dict[str, Entry]] = [{} for _ in rungs]
        self._reached: list[set[str]] = [set() for _ in rungs]

    def rung(self, fidelity: Fidelity | None) -> int | None:
        """Index of a fidelity's rung; None if it is none of them."""
        return self.rungs.index(fidelity) if fidelity in self.rungs else None

    def enter(self, proposal: Proposal, rung: int) -> None:
        """Note that a network is proposed on a rung."""
        self._reached[rung].add(proposal.fingerprint)

    def finish(self, evaluation: Evaluation) -> None:
        """Note what became of a network on a rung; what is on none of the rungs is ignored."""
        rung = self.rung(evaluation.fidelity)
        if rung is None or evaluation.state not in (EvaluationState.COMPLETE, EvaluationState.FAILED):
            return
        complete = evaluation.state is EvaluationState.COMPLETE and evaluation.score is not None
        seconds = evaluation.seconds / max(evaluation.trained_epochs, 1e-9) if complete else 0.0
        score = float(evaluation.score) if complete and evaluation.score is not None else -math.inf
        proposal = replace(evaluation.proposal, fidelity=None)
        self._reached[rung].add(proposal.fingerprint)
        self.finished[rung][proposal.fingerprint] = Entry(proposal, score, seconds)

    def ranked(self, rung: int) -> list[Entry]:
        """What finished on a rung, the best first; of equal scores an order that does not depend on time."""
        return sorted(self.finished[rung].values(), key=lambda e: (-e.score, e.proposal.fingerprint))

    def went_on(self, rung: int, fingerprint: str) -> bool:
        """Whether a network was proposed on the next rung."""
        return rung + 1 < len(self.rungs) and fingerprint in self._reached[rung + 1]

    def further_epochs(self, rung: int) -> float:
        """Passes that a network trains from the checkpoint of a rung to the end of the next one."""
        return self.rungs[rung + 1].epochs - (1 - DECAY) * self.rungs[rung].epochs

    def whole_epochs(self) -> float:
        """Passes that a network trains from the beginning to the end of the top rung."""
        return self.rungs[0].epochs + sum(map(self.further_epochs, range(len(self.rungs) - 1)))

    def waiting(self, rung: int) -> list[Entry]:
        """Who could go on from a rung and did not, the best first."""
        return [e for e in self.ranked(rung) if self._may_go_on(e, rung)]

    def promotable(self, rung: int) -> list[Entry]:
        """Who may go on from a rung, the best first."""
        ranked = self.ranked(rung)
        top = ranked[: len(ranked) // ETA]
        designs = [entry for entry in ranked if entry.proposal.source == REFERENCE and entry not in top]
        return [e for e in (*designs, *top) if self._may_go_on(e, rung)]

    def _may_go_on(self, entry: Entry, rung: int) -> bool:
        return math.isfinite(entry.score) and not self.went_on(rung, entry.proposal.fingerprint)


class SuccessiveHalving(Middleware):
    """Promotes what does well to more training, and asks the strategy for new networks otherwise.

    The rule is that of ASHA (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning"): whenever there
    is room, the highest rung with a promotable network gives it; nobody is waited for. All that it must know is in the
    trials, so it has no state of its own beside them. When a wall clock leaves no time to bring a new network to the
    top, the best that are there go on, whatever their share.

    Args:
        inner: The strategy with its other middlewares, which see proposals of new networks only.
        ladder: Empty.
        known: Trials of the run so far.
        limits: A network beyond them, which may have been tightened, does not go on.
        cost: Cost of a network.
        multi_fidelity: Whether the strategy is told about all rungs; otherwise about the lowest, whose scores compare.
        limit: Time limit of an evaluation in seconds.
        seconds_left: Seconds until the search ends.
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
    ) -> None:
        super().__init__(inner)
        self._ladder, self._limits, self._cost = ladder, limits, cost
        self._tells_all, self._limit, self._seconds_left = multi_fidelity, limit, seconds_left
        for trial in known:
            rung = ladder.rung(trial.fidelity)
            if rung is not None:
                ladder.enter(trial.proposal, rung)
            if trial.evaluation is not None:
                ladder.finish(trial.evaluation)

    def ask(self, n: int) -> list[Proposal]:
        """Promotions, the highest rung first, then new networks on the lowest."""
        proposals: list[Proposal] = []
        while len(proposals) < n and (promoted := self._promote()) is not None:
            proposals.append(promoted)
        if len(proposals) < n:
            proposals += self._new(n - len(proposals), promoted=bool(proposals))
        return proposals

    def _new(self, n: int, *, promoted: bool) -> list[Proposal]:
        try:
            fresh = self._inner.ask(n)
        except LimitsTooTightError:
            if promoted:
                return []
            raise
        for proposal in fresh:
            self._ladder.enter(proposal, 0)
        return [replace(proposal, fidelity=self._ladder.rungs[0]) for proposal in fresh]

    def _promote(self) -> Proposal | None:
        found = self._first(self._ladder.promotable)
        return self._first(self._ladder.waiting) if found is None and self._closing() else found

    def _closing(self) -> bool:
        """Whether there is no time left to bring a new network to the top: then those that are there go on."""
        seconds = [entry.seconds for entry in self._ladder.finished[0].values() if entry.seconds]
        whole = self._ladder.whole_epochs() * (median(seconds) if seconds else 0.0)
        return whole > self._seconds_left()

    def _first(self, candidates: Callable[[int], list[Entry]]) -> Proposal | None:
        for rung in reversed(range(len(self._ladder.rungs) - 1)):
            for entry in candidates(rung):
                if self._affordable(entry, rung):
                    self._ladder.enter(entry.proposal, rung + 1)
                    return replace(entry.proposal, fidelity=self._ladder.rungs[rung + 1])
        return None

    def _affordable(self, entry: Entry, rung: int) -> bool:
        seconds = entry.seconds * self._ladder.further_epochs(rung)
        within = self._limits.violation(self._cost(entry.proposal)) is None
        return within and seconds <= min(self._limit, self._seconds_left())

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Note all, and tell the strategy those that it can compare."""
        for evaluation in evaluations:
            self._ladder.finish(evaluation)
            if self._tells_all or self._ladder.rung(evaluation.fidelity) in (0, None):
                super().tell([evaluation])
