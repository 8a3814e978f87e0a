from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.run.toy import TOY

from gcnas.errors import LimitsTooTightError
from gcnas.records import Evaluation, EvaluationState, Fidelity, Limits, Proposal
from gcnas.run.halving import Ladder, SuccessiveHalving
from gcnas.run.middleware import Unique
from gcnas.run.recommendation import REFERENCE
from gcnas.run.trial import Trial
from gcnas.strategy import RandomStrategy, Strategy, StrategyState

RUNGS = [Fidelity(epochs, 7) for epochs in (1, 3, 9)]


class Listed(Strategy):
    """Proposes what it is given, and remembers what it is told."""

    def __init__(self, proposals: Sequence[Proposal]) -> None:
        self.left, self.told, self.asked = list(proposals), list[Evaluation](), 0

    def ask(self, n: int) -> list[Proposal]:
        self.asked += 1
        if not self.left:
            raise LimitsTooTightError("nothing is left")
        asked, self.left = self.left[:n], self.left[n:]
        return asked

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        self.told += evaluations

    def state_dict(self) -> StrategyState:
        return StrategyState()

    def load_state_dict(self, state: StrategyState) -> None:
        pass


def around(inner: Strategy, known: Sequence[Trial] = (), **options: object) -> SuccessiveHalving:
    settings = {"limits": Limits(), "multi_fidelity": False} | options
    return SuccessiveHalving(
        inner,
        Ladder(RUNGS),
        known,
        cost=lambda proposal: TOY.cost(proposal.architecture),
        **settings,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("tells_all", [False, True])
def test_only_what_would_be_told_is_set_aside(tells_all: bool) -> None:
    class Inner(Listed):
        aside: tuple[Proposal, ...] = ()

        def set_aside(self, proposals: Sequence[Proposal]) -> None:
            self.aside += tuple(proposals)

    inner = Inner([])
    strategy = around(Unique(inner, [], []), multi_fidelity=tells_all)
    (proposal,) = RandomStrategy(TOY, 0).ask(1)
    strategy.set_aside([replace(proposal, fidelity=fidelity) for fidelity in RUNGS[:2]])
    assert inner.aside == (proposal,) * (2 if tells_all else 1)


def result(proposal: Proposal, score: float | None, seconds: float = 1.0) -> Evaluation:
    state = EvaluationState.FAILED if score is None else EvaluationState.COMPLETE
    return Evaluation(replace(proposal, fidelity=None), state, score, proposal.fidelity, seconds=seconds)


def evaluate(strategy: Strategy, scores: Sequence[float | None]) -> list[Proposal]:
    """Ask one after the other, and tell these scores."""
    asked = []
    for score in scores:
        (proposal,) = strategy.ask(1)
        strategy.tell([result(proposal, score)])
        asked.append(proposal)
    return asked


def epochs_of(proposals: Sequence[Proposal]) -> list[int]:
    return [p.fidelity.epochs if p.fidelity else 0 for p in proposals]


def test_one_of_three_goes_on_and_the_highest_rung_comes_first(proposals: list[Proposal]) -> None:
    strategy = around(Listed(proposals))
    asked = evaluate(strategy, [0.5, 0.7, 0.6, 0.8, 0.4, 0.3, 0.65])
    # After three results the best of them goes on, after six the second best of those.
    assert epochs_of(asked) == [1, 1, 1, 3, 1, 1, 1]
    assert asked[3].architecture == asked[1].architecture
    (second,) = strategy.ask(1)
    assert (second.architecture, second.fidelity) == (asked[6].architecture, RUNGS[1])
    strategy.tell([result(second, 0.2)])
    # After nine the third best, and of three on the middle rung the best one to the top.
    later = evaluate(strategy, [0.1, 0.1, 0.1, 0.95])
    assert epochs_of(later) == [1, 1, 1, 3]
    (top,) = strategy.ask(1)
    assert (top.architecture, top.fidelity) == (asked[2].architecture, RUNGS[2])


def test_all_places_are_filled(proposals: list[Proposal]) -> None:
    strategy = around(Listed(proposals))
    evaluate(strategy, [0.5, 0.7, 0.6])
    asked = strategy.ask(3)
    assert epochs_of(asked) == [3, 1, 1]
    assert len({p.fingerprint for p in asked}) == 3
    assert epochs_of(strategy.ask(2)) == [1, 1]  # nobody goes on twice


def test_strategy_is_told_what_it_can_compare(proposals: list[Proposal]) -> None:
    for multi_fidelity, expected in ((False, [1, 1, 1, 1]), (True, [1, 1, 1, 3, 1])):
        inner = Listed(proposals)
        evaluate(around(inner, multi_fidelity=multi_fidelity), [0.5, 0.7, 0.6, 0.8, 0.4])
        assert [e.fidelity.epochs for e in inner.told if e.fidelity] == expected


def test_failures_count_and_never_go_on(proposals: list[Proposal]) -> None:
    strategy = around(Listed(proposals))
    assert epochs_of(evaluate(strategy, [None, None, 0.1, 0.2, None, None, None])) == [1, 1, 1, 3, 1, 1, 1]
    assert epochs_of(evaluate(strategy, [None] * 6)) == [1] * 6


def test_designs_by_people_go_on_to_the_top(proposals: list[Proposal]) -> None:
    designs = [replace(p, source=REFERENCE) for p in proposals[:2]]
    strategy = around(Listed([designs[0], designs[1], *proposals[2:]]))
    # Each all the way, although there are too few to be one of three; one that fails does not go on.
    asked = evaluate(strategy, [0.2, 0.3, 0.4, 0.3, None])
    assert epochs_of(asked) == [1, 3, 9, 1, 3]
    assert [p.fingerprint for p in asked] == [designs[0].fingerprint] * 3 + [designs[1].fingerprint] * 2
    assert epochs_of(evaluate(strategy, [0.9, 0.8, 0.7])) == [1, 3, 9]


def test_what_no_longer_fits_does_not_go_on(proposals: list[Proposal]) -> None:
    left = [100.0]
    for options in ({"seconds_left": lambda: left[0]}, {"limit": 2.2}):
        strategy = around(Listed(proposals), **options)
        evaluate(strategy, [0.5, 0.7, 0.6])
        left[0] = 2.2  # the next rung takes 3 - 3/4 = 2.25 epochs of a second
        assert epochs_of(strategy.ask(1)) == [1]
    left[0] = 100.0
    strategy = around(Listed(proposals), limit=2.3, seconds_left=lambda: left[0])
    evaluate(strategy, [0.5, 0.7, 0.6])
    left[0] = 2.3
    assert epochs_of(strategy.ask(1)) == [3]
    designs = [replace(p, source=REFERENCE) for p in proposals[:1]]
    strategy = around(Listed([*designs, *proposals[1:]]), limit=1.2)
    assert epochs_of(evaluate(strategy, [0.5, 0.6])) == [1, 3]  # designs by people get twice the time
    best = TOY.cost(proposals[1].architecture).parameters
    strategy = around(Listed(proposals), limits=Limits(parameters=best - 1))
    evaluate(strategy, [0.5, 0.7, 0.6])
    assert epochs_of(strategy.ask(1)) == [1]


def test_what_tighter_limits_leave_out_keeps_no_place(proposals: list[Proposal]) -> None:
    """A run goes on within other limits; what is beyond them had the best scores."""

    def size(proposal: Proposal) -> int:
        return TOY.cost(proposal.architecture).parameters

    by_size = sorted(proposals[:12], key=size)
    trials = []
    for number, proposal in enumerate(by_size, start=1):
        evaluation = result(replace(proposal, fidelity=RUNGS[0]), number / 20)
        trials.append(Trial(number, proposal, TOY.cost(proposal.architecture), RUNGS[0], evaluation))
    parameters = [trial.cost.parameters for trial in trials]
    most = parameters[3]
    within = sum(count <= most for count in parameters)
    assert 3 <= within < 8
    strategy = around(Listed(proposals[12:]), trials, limits=Limits(parameters=most))
    # Those that were under way, and are beyond them, take no places either.
    strategy.tell([result(replace(p, fidelity=RUNGS[0]), 0.99) for p in sorted(proposals, key=size)[-3:]])
    (promoted,) = strategy.ask(1)
    assert (promoted.fingerprint, promoted.fidelity) == (by_size[within - 1].fingerprint, RUNGS[1])
    assert [p.fidelity for p in strategy.ask(2)] == [RUNGS[1] if within > 5 else RUNGS[0], RUNGS[0]]


def test_best_go_on_when_there_is_no_time_for_new_ones(proposals: list[Proposal]) -> None:
    left = [100.0]
    strategy = around(Listed(proposals), seconds_left=lambda: left[0])
    evaluate(strategy, [0.5, 0.7])
    left[0] = 10.1  # a new network takes 1 + 9/4 + 27/4 = 10 epochs of a second to the top
    assert epochs_of(strategy.ask(1)) == [1]
    left[0] = 9.9
    asked = evaluate(strategy, [0.6, 0.6])
    assert epochs_of(asked) == [3, 9]
    assert asked[0].architecture == proposals[1].architecture
    assert epochs_of(strategy.ask(1)) == [3]
    assert epochs_of(strategy.ask(1)) == [1]


def test_promotions_go_on_when_the_strategy_has_nothing_left(proposals: list[Proposal]) -> None:
    inner = Listed(proposals[:3])
    strategy = around(inner)
    evaluate(strategy, [0.5, 0.7, 0.6])
    (promoted,) = strategy.ask(2)
    assert promoted.fidelity == RUNGS[1]
    # Then any that can go on, the best first, from the highest rung.
    assert [p.fingerprint for p in strategy.ask(1)] == [proposals[2].fingerprint]
    strategy.tell([result(promoted, 0.8)])
    further = strategy.ask(3)
    assert [(p.fingerprint, p.fidelity) for p in further] == [
        (proposals[1].fingerprint, RUNGS[2]),
        (proposals[0].fingerprint, RUNGS[1]),
    ]
    with pytest.raises(LimitsTooTightError):
        strategy.ask(1)
    assert inner.asked == 4  # looking for new ones in vain may take long: once
    strategy.tell([result(replace(proposals[7], fidelity=RUNGS[0]), None)])
    with pytest.raises(LimitsTooTightError):
        strategy.ask(1)
    assert inner.asked == 5  # a result may bring new ones


def test_a_search_that_is_stopped_begins_nothing_more(proposals: list[Proposal]) -> None:
    strategy = around(Listed(proposals[:3]), over=lambda: True)
    evaluate(strategy, [0.5, 0.7, 0.6])
    assert epochs_of(strategy.ask(1)) == [3]
    with pytest.raises(LimitsTooTightError):
        strategy.ask(1)


def test_trials_are_all_that_it_must_know(proposals: list[Proposal]) -> None:
    """At every moment a new one that knows the trials proposes the same."""
    strategy, trials = around(Listed(proposals)), list[Trial]()
    for number, score in enumerate([0.5, 0.7, 0.6, 0.8, 0.9, 0.4, 0.3, 0.2, 0.6, 0.95, 0.5, 0.1], start=1):
        new = [t for t in trials if t.fidelity == RUNGS[0]]
        (expected,) = around(Listed(proposals[len(new) :]), trials).ask(1)
        (proposal,) = strategy.ask(1)
        assert proposal == expected
        evaluation, cost = result(proposal, score), TOY.cost(proposal.architecture)
        assert proposal.fidelity is not None
        trials.append(Trial(number, evaluation.proposal, cost, proposal.fidelity, evaluation))
        strategy.tell([evaluation])
    assert {t.fidelity.epochs for t in trials} == {1, 3, 9}


def test_ladder_in_order_is_the_rule_by_definition(proposals: list[Proposal]) -> None:
    """Entries that come and go one at a time give what sorting all of them would."""
    random, ladder = np.random.default_rng(0), Ladder(RUNGS)
    scores: list[dict[str, float]] = [{}, {}, {}]
    seen: list[set[str]] = [set(), set(), set()]
    for _ in range(400):
        rung = int(random.integers(3))
        proposal = proposals[int(random.integers(len(proposals)))]
        known = proposal.fingerprint
        if random.random() < 0.3:
            ladder.enter(proposal, rung)
        elif known not in scores[rung]:
            score = None if random.random() < 0.2 else float(random.integers(4))
            ladder.finish(result(replace(proposal, fidelity=RUNGS[rung]), score))
            scores[rung][known] = -np.inf if score is None else score
        else:
            continue
        seen[rung].add(known)
        for lower in range(2):
            ranked = sorted(scores[lower], key=lambda f, s=scores[lower]: (-s[f], f))  # type: ignore[misc]
            able = [f for f in ranked if np.isfinite(scores[lower][f]) and f not in seen[lower + 1]]
            assert [e.proposal.fingerprint for e in ladder.ranked(lower)] == ranked
            assert [e.proposal.fingerprint for e in ladder.waiting(lower)] == able
            best = ranked[: len(ranked) // 3]
            assert [e.proposal.fingerprint for e in ladder.promotable(lower)] == [f for f in able if f in best]
