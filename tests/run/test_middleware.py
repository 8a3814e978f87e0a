"""What stands around a strategy: references, limits, duplicates, durations."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest
from tests.run.conftest import MakeTrial
from tests.run.toy import IMAGE, SPACE, TOY, Learner

from gcnas.errors import LimitsTooTightError
from gcnas.records import Evaluation, EvaluationState, Fidelity, LayerAction, Limits, Proposal
from gcnas.run.duration import DurationModel
from gcnas.run.middleware import (
    MAX_REJECTIONS,
    REFERENCE,
    Reconsidering,
    ReferencesFirst,
    Unique,
    WithinLimits,
    WithinTime,
)
from gcnas.run.trial import Rejection, Trial
from gcnas.strategy import RandomStrategy, Strategy, StrategyState

FREE = SPACE.fit(IMAGE)


class Script(Strategy):
    """Proposes what it is given, in order and over again if ``endless``, and notes what it is told."""

    def __init__(self, proposals: Sequence[Proposal], endless: bool = False) -> None:
        self.left, self.endless = list(proposals), endless
        self.told: list[Evaluation] = []

    def ask(self, n: int) -> list[Proposal]:
        given, self.left = self.left[:n], self.left[n:]
        if self.endless:
            self.left += given
        return given

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        self.told += evaluations

    def state_dict(self) -> StrategyState:
        return StrategyState({"left": len(self.left)})

    def load_state_dict(self, state: StrategyState) -> None:
        self.left = self.left[-state.values["left"] :]


def complete(proposal: Proposal, score: float = 0.5, seconds: float = 1.0) -> Evaluation:
    return Evaluation(
        proposal, EvaluationState.COMPLETE, score, Fidelity(1), {"loss": 1 - score}, seconds=seconds
    )


def chain(*filters: int) -> Proposal:
    """A chain of dots; the index of each one's filters."""
    trajectory = FREE.encode(FREE.decode([LayerAction(0, (index,), (0,)) for index in filters]))
    return Proposal(FREE.decode(trajectory.actions), trajectory, "script")


def names_of(proposals: Sequence[Proposal]) -> list[str]:
    return [proposal.fingerprint for proposal in proposals]


# --- references first


def test_references_come_first_and_in_order(proposals: list[Proposal]) -> None:
    references = [proposal.architecture for proposal in proposals[:3]]
    inner = Script(proposals[3:6])
    strategy = ReferencesFirst(inner, TOY, references)
    assert names_of(strategy.ask(2)) == names_of(proposals[:2])
    mixed = strategy.ask(2)
    assert names_of(mixed) == names_of(proposals[2:4])
    assert [proposal.source for proposal in mixed] == [REFERENCE, "random"]
    assert all(TOY.decode(p.trajectory.actions) == p.architecture for p in mixed)
    strategy.tell([complete(proposal) for proposal in mixed])
    assert names_of([e.proposal for e in inner.told]) == names_of(mixed)  # it learns from them as well


def test_the_strategy_hears_of_designs_that_are_under_way() -> None:
    class Hearing(Learner):
        heard: ClassVar[list[list[Proposal]]] = []

        def expect(self, proposals: Sequence[Proposal]) -> None:
            self.heard.append(list(proposals))

    references = [proposal.architecture for proposal in RandomStrategy(TOY, 5).ask(2)]
    strategy = Unique(ReferencesFirst(Hearing(TOY), TOY, references), [], [])
    first, second, third = strategy.ask(1), strategy.ask(2), strategy.ask(1)
    assert Hearing.heard == [first, second[:1]]
    assert third


def test_references_go_on_after_loading(proposals: list[Proposal]) -> None:
    references = [proposal.architecture for proposal in proposals[:3]]
    strategy, again = (ReferencesFirst(Learner(TOY), TOY, references) for _ in range(2))
    strategy.ask(2)
    again.load_state_dict(strategy.state_dict())
    assert names_of(again.ask(5)) == names_of(strategy.ask(5))


def test_references_that_were_not_there_before_are_proposed(proposals: list[Proposal]) -> None:
    """A run that began with another network, as a transfer does, evaluates the designs of its space when it goes on."""
    before, after = ([p.architecture for p in part] for part in (proposals[:1], proposals[1:3]))
    first, again = ReferencesFirst(Script([]), TOY, before), ReferencesFirst(Script([]), TOY, after)
    first.ask(1)
    state = first.state_dict()
    again.load_state_dict(state)
    assert names_of(again.ask(2)) == names_of(proposals[1:3])
    older = ReferencesFirst(Script([]), TOY, before + after)
    older.load_state_dict(replace(state, values={**state.values, "references": 2}))
    assert names_of(older.ask(1)) == names_of(proposals[2:3])


# --- limits


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"parameters": 5, "seconds": None}, {"parameters": 5, "seconds": None}, 0),
        ({"parameters": 5, "seconds": 2.0}, {"parameters": 4, "seconds": 1.5}, 0),
        ({"parameters": None, "seconds": None}, {"parameters": 4, "seconds": 1.5}, 0),
        ({"parameters": 5, "seconds": 2.0}, {"parameters": 6, "seconds": 2.0}, 1),
        ({"parameters": 5, "seconds": 2.0}, {"parameters": 5, "seconds": None}, 1),
    ],
)
def test_wider_bounds_let_a_strategy_reconsider_once(
    before: dict[str, float | None], now: dict[str, float | None], expected: int, proposals: list[Proposal]
) -> None:
    class Asked(Script):
        reconsidered = 0

        def reconsider(self) -> None:
            self.reconsidered += 1

    def around(bounds: dict[str, float | None], inner: Asked) -> ReferencesFirst:
        return ReferencesFirst(Reconsidering(inner, bounds), TOY, [])

    first, later, last = (Asked(proposals) for _ in range(3))
    strategy = around(before, first)
    strategy.ask(2)
    resumed = around(now, later)
    resumed.load_state_dict(strategy.state_dict())
    again = around(now, last)
    again.load_state_dict(resumed.state_dict())
    assert (later.reconsidered, last.reconsidered) == (expected, 0)
    assert len(last.left) == len(proposals) - 2


def test_broken_limits_are_told_and_noted() -> None:
    small, large, middle = chain(0), chain(2, 2), chain(1)
    space = SPACE.fit(IMAGE, Limits(parameters=FREE.cost(middle.architecture).parameters))
    inner, log = Script([large, small, large, middle]), list[Rejection]()
    strategy = WithinLimits(inner, log, space)
    assert strategy.ask(2) == [small, middle]
    (told, _) = inner.told
    assert (told.proposal, told.state, told.error_kind) == (large, EvaluationState.INFEASIBLE, "parameters")
    cost, limit = FREE.cost(large.architecture).parameters, space.limits.parameters
    assert log == [Rejection(0, large.fingerprint, "script", "limit", f"parameters {cost} > {limit}")] * 2
    assert told.score is None
    assert strategy.ask(3) == []  # nothing left is no error


def test_limits_too_tight_for_all_that_there_is() -> None:
    space = SPACE.fit(IMAGE, Limits(parameters=10))
    with pytest.raises(LimitsTooTightError, match=r"^1 proposal in a row broke .* parameters"):
        WithinLimits(Script([chain(2)]), [], space).ask(1)


@pytest.mark.parametrize(
    ("limits", "name"), [(Limits(parameters=10), "parameters"), (Limits(activations=100), "activations")]
)
def test_limits_too_tight(limits: Limits, name: str) -> None:
    """A thousand rejections in a row; the message names the limit, both figures and the way out."""
    space, log = SPACE.fit(IMAGE, limits), list[Rejection]()
    inner = Script([chain(2), chain(2, 2), chain(1)], endless=True)
    with pytest.raises(LimitsTooTightError) as raised:
        WithinLimits(inner, log, space).ask(1)
    smallest = getattr(FREE.cost(chain(1).architecture), name)
    assert "1,000 proposals in a row" in str(raised.value)
    assert f"{name} {smallest:,} > {getattr(limits, name)}" in str(raised.value)
    assert "Raise it" in str(raised.value)
    assert len(log) == len(inner.told) == MAX_REJECTIONS == 1_000


def test_figures_with_commas_are_compared_as_numbers() -> None:
    image = replace(IMAGE, height=6, width=6)
    space = SPACE.fit(image, Limits(multiply_adds=100))
    inner = Script([chain(2, 2, 2), chain(0)], endless=True)
    large, small = (space.cost(proposal.architecture).multiply_adds for proposal in inner.left)
    assert large > small
    assert f"{large:,}" < f"{small:,}"  # as texts
    with pytest.raises(LimitsTooTightError, match=f"multiply_adds {small:,} >"):
        WithinLimits(inner, [], space).ask(1)


def test_limit_most_often_broken_is_named() -> None:
    narrow, wide = chain(0), chain(2, 2)
    cost = FREE.cost(narrow.architecture)
    space = SPACE.fit(IMAGE, Limits(cost.parameters, multiply_adds=10))
    inner = Script([narrow, narrow, wide], endless=True)
    with pytest.raises(LimitsTooTightError, match="mostly the one on multiply_adds"):
        WithinLimits(inner, [], space).ask(1)


def test_rejections_count_in_a_row() -> None:
    small, large = chain(0), chain(2, 2)
    space = SPACE.fit(IMAGE, Limits(parameters=FREE.cost(small.architecture).parameters))
    inner = Script(([large] * (MAX_REJECTIONS - 1) + [small]) * 2 + [large] * MAX_REJECTIONS)
    strategy = WithinLimits(inner, [], space)
    assert strategy.ask(3) == [small, small]  # what passed is not lost
    inner.left = [large] * MAX_REJECTIONS
    with pytest.raises(LimitsTooTightError):
        strategy.ask(1)


# --- duplicates


def test_duplicates_are_told_the_score(proposals: list[Proposal]) -> None:
    first, second, third = proposals[:3]
    inner, log = Script([first, first, second, first, second, third]), list[Rejection]()
    strategy = Unique(inner, log, [])
    assert strategy.ask(2) == [first, second]
    (under_way,) = inner.told
    assert (under_way.state, under_way.score) == (EvaluationState.DUPLICATE, None)
    strategy.tell([complete(first, 0.75)])
    failed = Evaluation(second, EvaluationState.FAILED, fidelity=Fidelity(1), error_kind="crash", error="oh")
    strategy.tell([failed])
    assert strategy.ask(1) == [third]
    again_first, again_second = inner.told[-2:]
    assert again_first.state == again_second.state == EvaluationState.DUPLICATE
    assert (again_first.score, again_first.metrics, again_first.fidelity) == (0.75, {"loss": 0.25}, Fidelity(1))
    assert (again_second.score, again_second.error_kind) == (None, "crash")
    assert [(r.fingerprint, r.reason) for r in log] == [
        (proposal.fingerprint, "duplicate") for proposal in (first, first, second)
    ]


def test_where_a_strategy_chooses_the_training_a_network_passes_once_with_each(
    proposals: list[Proposal],
) -> None:
    """Rungs of one's own: a little for most, more for the best."""
    full, first = Fidelity(9, 7), proposals[0]
    little, more = (replace(first, fidelity=Fidelity(epochs, 7)) for epochs in (1, 9))
    inner = Script([little, first, more, little, proposals[1]])
    strategy = Unique(inner, [], [], full)
    assert strategy.ask(3) == [little, first, proposals[1]]  # what asks for nothing gets the full training
    assert [evaluation.state for evaluation in inner.told] == [EvaluationState.DUPLICATE] * 2
    strategy.tell([replace(complete(first, 0.75), fidelity=little.fidelity)])
    inner.left = [little, more]
    assert strategy.ask(1) == []
    assert [evaluation.score for evaluation in inner.told[-2:]] == [0.75, None]
    aside: list[Proposal] = []
    inner.set_aside = aside.extend  # type: ignore[method-assign]
    strategy.set_aside([little, more])
    assert aside == [little, first]


def test_equal_networks_of_different_decisions_are_duplicates() -> None:
    """A stride that the size does not allow is none."""
    halves = [[LayerAction(1, (1,), (0,))] * 2 + [LayerAction(1, (stride,), (0,))] for stride in (0, 1)]
    plain, vain = (
        Proposal(FREE.decode(actions), FREE.encode(FREE.decode(actions)), "script") for actions in halves
    )
    assert plain.architecture == vain.architecture
    assert Unique(Script([plain, vain]), [], []).ask(2) == [plain]


def test_trials_of_the_ledger_are_known(make_trial: MakeTrial, proposals: list[Proposal]) -> None:
    known: list[Trial] = [make_trial(1, 0.5), make_trial(2, error="no"), make_trial(3)]
    inner = Script(proposals[:4])
    strategy = Unique(inner, [], known)
    assert strategy.ask(4) == [proposals[3]]
    assert [evaluation.score for evaluation in inner.told] == [0.5, None, None]


def test_exhausted_space_ends(proposals: list[Proposal]) -> None:
    log: list[Rejection] = []
    inner = Script(proposals[:2], endless=True)
    strategy = Unique(inner, log, [])
    assert strategy.ask(3) == proposals[:2]
    assert strategy.ask(1) == []
    assert len(log) == 2 * MAX_REJECTIONS


def test_a_whole_finite_space_is_proposed_once() -> None:
    space = replace(FREE, max_depth=2)
    strategy = Unique(RandomStrategy(space, 0), [], [])
    found: Counter[str] = Counter()
    while asked := strategy.ask(1):
        found.update(names_of(asked))
    assert set(found.values()) == {1}
    assert found.keys() >= set(names_of(RandomStrategy(space, 1).ask(500)))


# --- durations


def seconds_of(proposal: Proposal) -> float:
    return 0.05 + FREE.cost(proposal.architecture).multiply_adds * 1e-4


def test_what_would_take_too_long_is_rejected(proposals: list[Proposal]) -> None:
    quick, slow = chain(0), chain(2, 2, 2)
    limit = (seconds_of(quick) + seconds_of(slow)) / 2
    inner, log = Script([slow, slow, quick, slow]), list[Rejection]()
    strategy = WithinTime(inner, log, DurationModel(FREE), limit, epochs=1)
    assert strategy.ask(1) == [slow]  # nothing is known yet
    strategy.tell([complete(proposal, seconds=seconds_of(proposal)) for proposal in proposals[:20]])
    assert len(inner.told) == 20
    assert strategy.ask(1) == [quick]
    assert inner.told[-1].state is EvaluationState.INFEASIBLE
    assert inner.told[-1].error_kind == "seconds"
    assert log[-1].reason == "limit"
    assert log[-1].detail.endswith("(predicted)")
    inner.left = [Proposal(slow.architecture, slow.trajectory, REFERENCE)]
    assert strategy.ask(1)[0].architecture == slow.architecture  # references are never rejected


@pytest.mark.parametrize("own", [True, False])
def test_the_time_is_that_of_the_training_that_is_asked_for(proposals: list[Proposal], own: bool) -> None:
    """Where there are no rungs, which overrule it."""
    network = chain(2, 2, 2)
    asked = [replace(network, fidelity=Fidelity(epochs)) for epochs in (20, 5)]
    inner = Script([*asked, network])
    limit = 12 * seconds_of(network)
    strategy = WithinTime(inner, [], DurationModel(FREE), limit, epochs=10, own=own)
    strategy.tell([complete(proposal, seconds=seconds_of(proposal)) for proposal in proposals[:20]])
    assert strategy.ask(2) == ([*asked[1:], network] if own else asked)


def test_failures_teach_no_duration(proposals: list[Proposal]) -> None:
    model = DurationModel(TOY)
    strategy = WithinTime(Script([]), [], model, 1.0, epochs=1)
    strategy.tell([Evaluation(p, EvaluationState.FAILED, error_kind="crash") for p in proposals[:9]])
    assert model.predict(proposals[0].architecture) is None


def test_what_was_accepted_is_not_lost_where_nothing_follows() -> None:
    """One small network and nothing but large ones after it, asked for two at a time."""
    small, large = chain(0), chain(2, 2)
    space = SPACE.fit(IMAGE, Limits(parameters=FREE.cost(small.architecture).parameters))
    log: list[Rejection] = []
    inner = Script([large], endless=True)
    strategy = Unique(WithinLimits(ReferencesFirst(inner, space, [small.architecture]), log, space), log, [])
    assert names_of(strategy.ask(2)) == [small.fingerprint]
    for _ in range(3):
        with pytest.raises(LimitsTooTightError, match="1,000 proposals in a row"):
            strategy.ask(1)
    assert len(log) == 2 * MAX_REJECTIONS  # it is not tried over and over


def test_nobody_looks_for_quick_networks_when_the_search_is_over(proposals: list[Proposal]) -> None:
    model, log = DurationModel(TOY), list[Rejection]()
    for proposal in proposals[:4]:
        model.observe(proposal.architecture, 2.0)
    strategy = WithinTime(Script(proposals[4:5], endless=True), log, model, 0.5, 1, lambda: len(log) == 3)
    assert strategy.ask(1) == []
    assert len(log) == 3


def test_too_little_time_for_any_candidate_says_so(proposals: list[Proposal]) -> None:
    model = DurationModel(TOY)
    for proposal in proposals[:4]:
        model.observe(proposal.architecture, 2.0)
    strategy = WithinTime(Script(proposals[4:5], endless=True), [], model, 0.5, 1)
    with pytest.raises(
        LimitsTooTightError, match=r"longer than a candidate may .*seconds [\d.]+ > 0\.5 .*--candidate-sec"
    ):
        strategy.ask(1)
