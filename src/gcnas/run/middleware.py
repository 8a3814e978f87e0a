"""What stands around any strategy: reference designs first, limits, duplicates, durations."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from gcnas.errors import LimitsTooTightError
from gcnas.records import Architecture, Evaluation, EvaluationState, Fidelity, Proposal
from gcnas.run.duration import DurationModel
from gcnas.run.recommendation import REFERENCE, is_given
from gcnas.run.trial import Rejection, Trial
from gcnas.space import SearchSpace
from gcnas.strategy import Strategy, StrategyState

BOUNDS = "gcnas.bounds"
"""Name of the bounds in a state."""

MAX_REJECTIONS = 1_000
"""So many rejections in a row end the search."""


class Middleware(Strategy):
    """A strategy that stands around another and by default passes everything through."""

    def __init__(self, inner: Strategy) -> None:
        self._inner = inner

    def ask(self, n: int) -> list[Proposal]:
        """Ask the inner strategy."""
        return self._inner.ask(n)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Tell the inner strategy."""
        self._inner.tell(evaluations)

    def expect(self, proposals: Sequence[Proposal]) -> None:
        """Pass them on."""
        self._inner.expect(proposals)

    def set_aside(self, proposals: Sequence[Proposal]) -> None:
        """Pass them on."""
        self._inner.set_aside(proposals)

    def reconsider(self) -> None:
        """Pass it on."""
        self._inner.reconsider()

    def figures(self) -> list[dict[str, float]]:
        """Figures of the inner strategy."""
        return self._inner.figures()

    def state_dict(self) -> StrategyState:
        """State of the inner strategy."""
        return self._inner.state_dict()

    def load_state_dict(self, state: StrategyState) -> None:
        """Set the inner strategy."""
        self._inner.load_state_dict(state)


class ReferencesFirst(Middleware):
    """Proposes designs by people before it asks the strategy, which is told about them as well.

    Args:
        inner: The strategy.
        space: Fitted space.
        references: Architectures of the space, in order.
        source: Where they come from.
    """

    def __init__(
        self,
        inner: Strategy,
        space: SearchSpace,
        references: Sequence[Architecture],
        source: str = REFERENCE,
    ) -> None:
        super().__init__(inner)
        self._left = [Proposal(a, space.encode(a), source) for a in references]
        self._proposed: list[str] = []

    def ask(self, n: int) -> list[Proposal]:
        """References that are left, then the strategy's."""
        first, self._left = self._left[:n], self._left[n:]
        self._proposed += [proposal.fingerprint for proposal in first]
        if first:
            self._inner.expect(first)
        return first if len(first) == n else first + self._inner.ask(n - len(first))

    def state_dict(self) -> StrategyState:
        """The inner state and which references were proposed."""
        inner = self._inner.state_dict()
        return StrategyState({"references": list(self._proposed), "inner": inner.values}, inner.tensors)

    def load_state_dict(self, state: StrategyState) -> None:
        """Go on with the references that were not proposed; there may be others than before."""
        proposed = state.values["references"]
        if isinstance(proposed, int):  # older states have their number
            proposed = [proposal.fingerprint for proposal in self._left[:proposed]]
        self._proposed = list(proposed)
        self._left = [proposal for proposal in self._left if proposal.fingerprint not in self._proposed]
        self._inner.load_state_dict(StrategyState(state.values["inner"], state.tensors))


class Reconsidering(Middleware):
    """Lets a strategy reconsider what broke a limit when a run goes on with a wider one.

    Args:
        inner: The strategy.
        bounds: Numbers by the name of what they bound; None where there is no bound.
    """

    def __init__(self, inner: Strategy, bounds: Mapping[str, float | None]) -> None:
        super().__init__(inner)
        self._bounds = dict(bounds)

    def state_dict(self) -> StrategyState:
        """The inner state and the bounds, beside its values."""
        inner = self._inner.state_dict()
        return StrategyState({**inner.values, BOUNDS: dict(self._bounds)}, inner.tensors)

    def load_state_dict(self, state: StrategyState) -> None:
        """Set the inner strategy, and let it reconsider if a bound was less before."""
        values = dict(state.values)
        before = values.pop(BOUNDS, {})
        self._inner.load_state_dict(StrategyState(values, state.tensors))
        if any(_wider(before[name], self._bounds.get(name)) for name in before):
            self._inner.reconsider()


def of_strategy(values: Mapping[str, Any], *, references: bool) -> dict[str, Any]:
    """The strategy's own values in the state of a run, which holds those of the middlewares around it, too.

    Args:
        values: Values of the whole state.
        references: Whether designs by people came first.

    Raises:
        KeyError: If it is not such a state.
    """
    return {
        name: value for name, value in (values["inner"] if references else values).items() if name != BOUNDS
    }


def _wider(before: float | None, now: float | None) -> bool:
    return before is not None and (now is None or now > before)


class Filter(Middleware):
    """Rejects proposals before they cost anything; the strategy is told at once and asked again.

    Args:
        inner: The strategy.
        log: Rejections are appended here; the driver empties it.
    """

    def __init__(self, inner: Strategy, log: list[Rejection]) -> None:
        super().__init__(inner)
        self._log = log

    @abstractmethod
    def verdict(self, proposal: Proposal) -> Evaluation | None:
        """What to tell about a proposal that is rejected; None to let it pass."""

    def over(self) -> bool:
        """Whether nothing more is to be looked for after a rejection."""
        return False

    def exhausted(self, rejected: Sequence[Evaluation]) -> None:
        """Called after :data:`MAX_REJECTIONS` in a row and no other proposal; raises, or ends the search."""

    def ask(self, n: int) -> list[Proposal]:
        """Up to ``n`` proposals that pass."""
        accepted: list[Proposal] = []
        rejected: list[Evaluation] = []
        while len(accepted) < n and len(rejected) < MAX_REJECTIONS and not (rejected and self.over()):
            try:
                batch = self._inner.ask(n - len(accepted))
            except LimitsTooTightError:
                if not accepted:
                    raise
                break  # what was accepted is not lost; the next time says it again
            if not batch:
                break
            for proposal in batch:
                verdict = self.verdict(proposal)
                if verdict is None:
                    accepted.append(proposal)
                    rejected.clear()
                else:
                    self._inner.tell([verdict])
                    self._note(verdict)
                    rejected.append(verdict)
        if not accepted and rejected:
            self.exhausted(rejected)
        return accepted

    def _note(self, verdict: Evaluation) -> None:
        proposal = verdict.proposal
        reason = "duplicate" if verdict.state is EvaluationState.DUPLICATE else "limit"
        self._log.append(Rejection(0, proposal.fingerprint, proposal.source, reason, verdict.error or ""))


class WithinLimits(Filter):
    """Rejects what would break a limit."""

    def __init__(self, inner: Strategy, log: list[Rejection], space: SearchSpace) -> None:
        super().__init__(inner, log)
        self._space = space
        self._end: LimitsTooTightError | None = None

    def ask(self, n: int) -> list[Proposal]:
        """Up to ``n`` proposals that pass; none is looked for again after :data:`MAX_REJECTIONS`."""
        if self._end is not None:
            raise self._end
        return super().ask(n)

    def verdict(self, proposal: Proposal) -> Evaluation | None:
        """Infeasible if a limit is broken."""
        violation = self._space.violation(proposal.architecture)
        return None if violation is None else _infeasible(proposal, violation)

    def exhausted(self, rejected: Sequence[Evaluation]) -> None:
        """Say which limit is too tight.

        Raises:
            LimitsTooTightError: Always.
        """
        broken = Counter(evaluation.error_kind for evaluation in rejected)
        limit = broken.most_common(1)[0][0]
        examples = [evaluation.error or "" for evaluation in rejected if evaluation.error_kind == limit]
        error = LimitsTooTightError(
            f"{len(rejected):,} proposal{'s' * (len(rejected) > 1)} in a row broke a limit, mostly the one on {limit} "
            f"(for example {min(examples, key=_value)}). Raise it, or use a space with smaller networks."
        )
        if len(rejected) >= MAX_REJECTIONS:
            self._end = error
        raise error


class Known(NamedTuple):
    """What a repeat of a network is told; not the network itself, which would hold much memory for each."""

    score: float | None
    fidelity: Fidelity | None
    metrics: Mapping[str, float]
    error_kind: str | None


class Unique(Filter):
    """Lets every network pass once; a repeat is told the score that the network got.

    Args:
        inner: The strategy.
        log: As for every filter.
        known: What passed in earlier processes.
        full: The training of proposals that ask for no other: every network passes once with each training then. None
            where what is asked for is not what they get.
    """

    def __init__(
        self, inner: Strategy, log: list[Rejection], known: Iterable[Trial], full: Fidelity | None = None
    ) -> None:
        super().__init__(inner, log)
        self._full = full
        self._known: dict[tuple[str, Fidelity | None], Known | None] = {}
        for trial in known:
            key = self._key(trial.proposal, trial.fidelity)
            # Of a network that goes on, the last result is told until there is a new one.
            if trial.evaluation is not None or key not in self._known:
                self._known[key] = _known(trial.evaluation)

    def _key(self, proposal: Proposal, fidelity: Fidelity | None) -> tuple[str, Fidelity | None]:
        return proposal.fingerprint, None if self._full is None else fidelity or self._full

    def verdict(self, proposal: Proposal) -> Evaluation | None:
        """A duplicate if the network was proposed before."""
        key = self._key(proposal, proposal.fidelity)
        if key not in self._known:
            self._known[key] = None
            return None
        earlier = self._known[key]
        if earlier is None:
            return Evaluation(proposal, EvaluationState.DUPLICATE, error="still under way")
        return Evaluation(proposal, EvaluationState.DUPLICATE, *earlier)

    def set_aside(self, proposals: Sequence[Proposal]) -> None:
        """Pass them on as they were asked for."""
        usual = {None, self._full}
        super().set_aside(
            [
                replace(each, fidelity=None) if self._full is None or each.fidelity in usual else each
                for each in proposals
            ]
        )

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Remember the evaluations and pass them on."""
        for evaluation in evaluations:
            self._known[self._key(evaluation.proposal, evaluation.fidelity)] = _known(evaluation)
        super().tell(evaluations)


class WithinTime(Filter):
    """Rejects what would take longer than the time limit of a candidate, once the model can tell.

    Args:
        inner: The strategy.
        log: As for every filter.
        model: Seconds of an epoch.
        seconds: The limit.
        epochs: The longest training at a stretch that a candidate may get.
        own: Whether a proposal that asks for a training of its own gets it.
        over: Whether the search is to end: looking for quick networks may take long.
    """

    def __init__(
        self,
        inner: Strategy,
        log: list[Rejection],
        model: DurationModel,
        seconds: float,
        epochs: float,
        over: Callable[[], bool] = lambda: False,
        *,
        own: bool = False,
    ) -> None:
        super().__init__(inner, log)
        self._model, self._seconds, self._epochs, self._own = model, seconds, epochs, own
        self._over = over

    def over(self) -> bool:
        """Whether the search is to end."""
        return self._over()

    def verdict(self, proposal: Proposal) -> Evaluation | None:
        """Infeasible if the predicted time is too long; references are never rejected."""
        epoch, asked = self._model.predict(proposal.architecture), proposal.fidelity
        epochs = asked.epochs if self._own and asked is not None else self._epochs
        if is_given(proposal) or epoch is None or (predicted := epoch * epochs) <= self._seconds:
            return None
        return _infeasible(proposal, f"seconds {_figure(predicted)} > {_figure(self._seconds)} (predicted)")

    def exhausted(self, rejected: Sequence[Evaluation]) -> None:
        """Say that there is too little time for a candidate.

        Raises:
            LimitsTooTightError: After :data:`MAX_REJECTIONS`.
        """
        if len(rejected) >= MAX_REJECTIONS:
            raise LimitsTooTightError(
                f"{len(rejected):,} proposals in a row would have taken longer than a candidate may (for example "
                f"{min((evaluation.error or '' for evaluation in rejected), key=_value)}). Allow more with "
                "--candidate-seconds or a larger budget, or use a space with smaller networks."
            )

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Let the model learn and pass the evaluations on."""
        for evaluation in evaluations:
            self._model.learn(evaluation)
        super().tell(evaluations)


def _known(evaluation: Evaluation | None) -> Known | None:
    if evaluation is None:
        return None
    kind = evaluation.error_kind or (None if evaluation.score is not None else "unknown")
    return Known(evaluation.score, evaluation.fidelity, evaluation.metrics, kind)


def _infeasible(proposal: Proposal, violation: str) -> Evaluation:
    return Evaluation(proposal, EvaluationState.INFEASIBLE, error_kind=violation.split()[0], error=violation)


def _figure(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.3g}"


def _value(violation: str) -> float:
    """The figure in ``parameters 91,000 > 60,000``."""
    return float(violation.split()[1].replace(",", ""))
