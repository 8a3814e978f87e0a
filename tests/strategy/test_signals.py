"""Signals as the strategy gcnas uses them: measured of few, seen by critics and the first design, kept in the state."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtri
from scipy.stats import spearmanr
from tests.strategy.kit import cases_of_a_slow_strategy
from tests.strategy.spaces import CELL, DEEP, complete
from tests.strategy.test_gcnas import QUICK, cell_reward

from gcnas.errors import ConfigurationError
from gcnas.records import Architecture, Proposal
from gcnas.space import InputShape
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy, SignalSource, Strategy, create_strategy, signals
from gcnas.strategy.experience import Experience
from gcnas.strategy.gcnas import GCNASStrategy
from gcnas.strategy.signals import Signals
from gcnas.strategy.surrogate import Surrogate, SurrogateSettings
from gcnas.strategy.tokens import Tokens
from gcnas.testing.strategy import StrategyTestCase


class Meter:
    """Tells the reward itself, and noise that is not always there; remembers whom it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, architecture: Architecture) -> Mapping[str, float]:
        self.asked.append(architecture.fingerprint)
        noise = int(architecture.fingerprint[:4], 16)
        return {"told": cell_reward(architecture), "noise": noise if noise % 3 else float("nan")}

    @property
    def source(self) -> SignalSource:
        return SignalSource(("told", "noise"), self)


def networks(count: int) -> list[Proposal]:
    found = {p.fingerprint: p for p in RandomStrategy(CELL, 0).ask(10 * count)}
    return list(found.values())[:count]


def go_on(strategy: Strategy, queries: int) -> list[Proposal]:
    proposed = []
    for _ in range(queries):
        (proposal,) = strategy.ask(1)
        proposed.append(proposal)
        strategy.tell([complete(proposal, cell_reward(proposal.architecture))])
    return proposed


def test_values_become_normal_scores_among_all_that_were_measured() -> None:
    values = {"a": 5.0, "b": 1.0, "c": 5.0, "d": float("inf"), "e": 9.0}
    known = dict(zip(values, networks(5), strict=True))
    by_print = {known[name].fingerprint: value for name, value in values.items()}
    book = Signals(
        SignalSource(("s",), lambda a: {"s": by_print[a.fingerprint]} if a != known["b"].architecture else {})
    )
    book.measure(p.architecture for p in known.values())
    seen = book.inputs(book.values([p.architecture for p in known.values()]))
    # Known are 5, 5 and 9: mid-ranks 1, 1 and 2.5 of 3, plus a half of 4.
    expected = [ndtri(1.5 / 4), 0.0, ndtri(1.5 / 4), 0.0, ndtri(3.0 / 4)]
    np.testing.assert_allclose(seen[:, 0], expected, rtol=1e-12)
    np.testing.assert_array_equal(seen[:, 1], [1, 0, 1, 0, 1])


def test_each_network_is_measured_once_and_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    meter, found = Meter(), [p.architecture for p in networks(6)]
    book = Signals(meter.source)
    book.measure(found[:4])
    book.measure(found[:4])
    assert meter.asked == [a.fingerprint for a in found[:4]]
    monkeypatch.setattr(signals, "MAX_MEASURED", 3)
    book.measure(found[4:])
    assert np.isnan(book.values(found[:3])[:, 0]).all()
    assert not np.isnan(book.values(found[3:])[:, 0]).any()


def test_facts_have_two_columns_for_each_signal_and_hide_them_unless_asked() -> None:
    meter = Meter()
    book = Signals(meter.source)
    experience = Experience(CELL, Tokens(CELL), signals=book)
    told, other = networks(2)
    book.measure([told.architecture])
    experience.add(complete(told, 1.0, epochs=1))
    experience.add(complete(other, 2.0, epochs=1))
    assert experience.width == experience.facts.shape[1] == 5
    assert experience.facts[0, 3] == 1
    assert not experience.facts[1, 1:].any()
    assert not experience.facts_of([told.architecture])[0, 1:].any()
    np.testing.assert_array_equal(
        experience.facts_of([told.architecture], 1, measured=True)[0], experience.facts[0]
    )


def test_facts_can_be_chosen_where_networks_cost_something() -> None:
    space = CNN.fit(InputShape(1, 8, 8, 3))
    (proposal,) = RandomStrategy(space, 0).ask(1)
    tokens, (parameters, macs) = Tokens(space), space.size(proposal.architecture)
    depth = len(proposal.architecture.layers) / space.max_depth
    for names, expected in (
        ((), []),
        (("params", "macs"), [np.log10(parameters + 1) / 4, np.log10(macs + 1) / 4]),
        (("macs", "depth"), [np.log10(macs + 1) / 4, depth]),
    ):
        experience = Experience(space, tokens, names)
        assert experience.width == 1 + len(names)
        np.testing.assert_allclose(experience.facts_of([proposal.architecture], 1)[0, 1:], expected)
    assert Experience(CELL, Tokens(CELL), ("params", "depth")).width == 1


def test_only_a_few_are_measured_a_round() -> None:
    meter = Meter()
    strategy = GCNASStrategy(CELL, 0, QUICK, signals=meter.source)
    proposed = go_on(strategy, 38)
    half, rounds = QUICK.start // 2, 10
    most = half * QUICK.drawn + half + rounds * QUICK.finalists * len(QUICK.picks)
    assert len(set(meter.asked)) == len(meter.asked) <= most
    assert {p.fingerprint for p in proposed} <= {*meter.asked}


def test_half_of_the_first_design_is_the_best_by_signals() -> None:
    meter = Meter()
    design = GCNASStrategy(CELL, 0, QUICK, signals=meter.source).ask(QUICK.start)
    assert len({p.fingerprint for p in design}) == QUICK.start
    assert [p.source for p in design] == ["start"] * QUICK.start
    chosen = design[QUICK.start // 2 :]
    assert not {p.fingerprint for p in design[: QUICK.start // 2]} & {*meter.asked}
    assert {p.fingerprint for p in chosen} <= {*meter.asked}
    means = []
    for seed in range(5):
        source = SignalSource(("told",), lambda a: {"told": cell_reward(a)})
        rewards = [
            cell_reward(p.architecture)
            for p in GCNASStrategy(CELL, seed, QUICK, signals=source).ask(QUICK.start)
        ]
        means.append(np.mean(rewards[QUICK.start // 2 :]) - np.mean(rewards[: QUICK.start // 2]))
    assert min(means) > 0


def test_a_signal_that_tells_the_reward_is_learnt() -> None:
    """Critics see it in networks that were not told, and do without it where it is unknown."""
    found = networks(80)
    told, others = found[:30], [p.architecture for p in found[30:]]
    book, tokens = Signals(SignalSource(("told",), lambda a: {"told": cell_reward(a)})), Tokens(CELL)
    experience = Experience(CELL, tokens, signals=book)
    book.measure(p.architecture for p in found)
    for proposal in told:
        experience.add(complete(proposal, cell_reward(proposal.architecture)))
    torch.manual_seed(0)
    settings = SurrogateSettings(critic_steps=(150, 6), parts=("critic",))
    surrogate = Surrogate(tokens, experience.width, torch.Generator().manual_seed(0), settings)
    surrogate.fit(experience)
    rewards, ranks = [cell_reward(a) for a in others], []
    for measured in (False, True):
        facts = experience.facts_of(others, 1, measured=measured)
        members, _ = surrogate.believe(experience.tokens_of(others), facts)
        ranks.append(spearmanr(members.mean(0), rewards).statistic)
    assert ranks[1] > 0.9
    assert 0.3 < ranks[0] < ranks[1]


@pytest.mark.parametrize("queries", [0, 3, 10, 15])
def test_a_state_goes_on_to_the_same_proposals_without_measuring_again(queries: int) -> None:
    first, second = Meter(), Meter()
    strategy = GCNASStrategy(CELL, 4, QUICK, signals=first.source)
    go_on(strategy, queries)
    state, before = strategy.state_dict(), list(first.asked)
    again = GCNASStrategy(CELL, 9, QUICK, signals=second.source)
    again.load_state_dict(state)
    assert [p.trajectory for p in go_on(again, 12)] == [p.trajectory for p in go_on(strategy, 12)]
    assert second.asked == first.asked[len(before) :]


def test_without_signals_nothing_changes() -> None:
    plain, none = (
        GCNASStrategy(CELL, 2, QUICK),
        GCNASStrategy(CELL, 2, QUICK, signals=SignalSource((), lambda _: {})),
    )
    assert go_on(plain, 14) == go_on(none, 14)
    assert not [name for name in plain.state_dict().tensors if "signal" in name]


def test_signals_that_are_never_known_harm_nobody() -> None:
    strategy = GCNASStrategy(DEEP, 0, QUICK, signals=SignalSource(("s",), lambda _a: {}))
    for _ in range(14):
        (proposal,) = strategy.ask(1)
        strategy.tell([complete(proposal, len(proposal.architecture.layers))])


def test_only_gcnas_reads_signals() -> None:
    source: Any = Meter().source
    assert isinstance(create_strategy("gcnas", CELL, 0, signals=source, facts=()), GCNASStrategy)
    with pytest.raises(ConfigurationError, match="random"):
        create_strategy("random", CELL, 0, signals=source)


@pytest.mark.parametrize("test", cases_of_a_slow_strategy({"test_results_in_any_order"}))
def test_the_conformance_kit(test: str) -> None:
    class Case(StrategyTestCase):
        create = partial(
            GCNASStrategy,
            settings=QUICK,
            signals=SignalSource(("s", "t"), lambda a: {"s": float(a.depth), "t": float("nan")}),
        )
        told = 12

    getattr(Case(), test)()
