"""Training the most promising networks once more with another seed, before one of them is delivered."""

import math
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from heapq import heapreplace

from gcnas.records import Fidelity, Limits, Proposal
from gcnas.run.recommendation import is_given
from gcnas.run.trial import Event, Trial

REPEATED = 3
"""Most networks that are trained once more; one of them is the best design by people."""

SHARE = 0.1
"""Share of a budget of trials that this may take."""

TIME_SHARE = 0.2
"""Share of a wall clock that this may take."""


SEARCHES_ON = ("budget", "final_share", "candidate_seconds")
"""Options, beside limits, that may give a search that has ended more to do when they are changed."""


class Repeats:
    """Which networks to train once more: the best at the full training, and the best design by people among them.

    It is chosen from the finished trials alone, so a resumed run chooses as one that was never stopped. A search too
    short for two repeats gets none.

    Args:
        full: The full training, with the seed of the search.
        seed: The other seed.
        limits: Limits on what is delivered.
        trials: Trials of the whole run; None without such a budget.
        seconds: Wall clock of the search; None without one.
    """

    def __init__(
        self, full: Fidelity, seed: int, limits: Limits, trials: int | None, seconds: float | None
    ) -> None:
        self._full, self._fidelity, self._limits = full, Fidelity(full.epochs, seed), limits
        self._most = REPEATED if trials is None else min(REPEATED, int(SHARE * trials))
        self._seconds = math.inf if seconds is None else TIME_SHARE * seconds
        self._ranked: list[Trial] = []
        self._design: Trial | None = None
        self._made: set[str] = set()
        self._failed: set[str] = set()
        self._known: list[Trial] | None = None

    def note(self, trial: Trial) -> None:
        """Note a trial, once when it is asked for and once when it is finished."""
        if self.is_repeat(trial):
            self._made.add(trial.proposal.fingerprint)
            if trial.evaluation is not None and not trial.complete:
                self._failed.add(trial.proposal.fingerprint)
        elif trial.complete and trial.fidelity == self._full and self._limits.violation(trial.cost) is None:
            insort(self._ranked, trial, key=_place)
            if is_given(trial.proposal):
                self._design = min(self._design or trial, trial, key=_place)
            self._known = None

    def miss(self, trial: Trial) -> None:
        """Note that a trial will not be finished: if it is the repeat of the best, the others decide nothing."""
        if self.is_repeat(trial):
            self._failed.add(trial.proposal.fingerprint)

    def left(self, seconds: float = math.inf, places: int = 1, trials: float = math.inf) -> list[Proposal]:
        """Proposals of repeats that were not made yet and take no longer, in the order in which they matter.

        None if there is no budget for that of the best and of a second one, or that of the best failed: nothing could
        be decided by the others.

        Args:
            seconds: Wall clock left.
            places: How many are trained at once.
            trials: Trials left.
        """
        left = self._left()
        if left and left[0] is self._ranked[0]:  # that of the best was not made yet
            first, together = self._cost(left[0]), sum if places == 1 else max
            alone = len(left) == len(self._known or ())
            pair = any(together((first, self._cost(other))) <= seconds for other in left[1:])
            if first > seconds or (alone and not (pair and trials >= 2)):
                return []
        fitting = (trial for trial in left if self._cost(trial) <= seconds)
        return [replace(trial.proposal, fidelity=self._fidelity) for trial in fitting]

    def seconds(self, places: int = 1) -> float:
        """Wall clock that the repeats left will take, so many at once."""
        ends = [0.0] * places
        for trial in self._left():
            heapreplace(ends, ends[0] + self._cost(trial))
        return max(ends)

    def under_way(self, trials: Sequence[Trial], events: Iterable[Event]) -> bool:
        """Whether a run was at its repeats when it stopped, and what may have ended its search was not changed since.

        That is its budget or its share of that, a limit on networks, or the time of a candidate.

        Args:
            trials: All trials, in their order.
            events: What happened, such as that it was resumed.
        """
        if not trials or not self.is_repeat(trials[-1]):
            return False
        last = max((trial.elapsed for trial in trials if trial.elapsed is not None), default=0.0)
        changed = {name for event in events if event.elapsed >= last for name in event.options}
        return not any(name in SEARCHES_ON or name.startswith("max_") for name in changed)

    def is_repeat(self, trial: Trial) -> bool:
        """Whether a trial is one: strategies are not told, since it is no news about the space."""
        return trial.fidelity == self._fidelity

    def _left(self) -> list[Trial]:
        if self._known is None:
            self._known = self._chosen()
        if self._ranked and self._ranked[0].proposal.fingerprint in self._failed:
            return []  # nothing can be decided without it
        return [trial for trial in self._known if trial.proposal.fingerprint not in self._made]

    def _chosen(self) -> list[Trial]:
        chosen: list[Trial] = []
        for trial in self._by_importance():
            if len(chosen) == self._most:
                break
            if sum(map(self._cost, [*chosen, trial])) <= self._seconds:
                chosen.append(trial)
        return chosen if len(chosen) > 1 and chosen[0] is self._ranked[0] else []

    def _by_importance(self) -> Iterator[Trial]:
        """The best, the best design by people, and then the others."""
        first = {t.number: t for t in (*self._ranked[:1], self._design) if t is not None}
        yield from first.values()
        yield from (trial for trial in self._ranked if trial.number not in first)

    def _cost(self, trial: Trial) -> float:
        """Seconds of a full training, from those of its own last stage."""
        evaluation = trial.evaluation
        if evaluation is None:
            return 0.0
        return evaluation.training_seconds / max(evaluation.trained_epochs, 1e-9) * self._full.epochs


def _place(trial: Trial) -> tuple[float, int]:
    """Orders trials, the best first."""
    return -trial.score, trial.number
