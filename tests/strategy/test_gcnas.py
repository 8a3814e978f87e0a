import itertools
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from tests.strategy.spaces import CELL, DEEP, complete, proposal

from gcnas.records import Architecture, Evaluation, EvaluationState, LayerAction, Limits, Proposal
from gcnas.space import InputShape, SearchSpace, SequenceSpace, token
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy, Strategy, create_strategy
from gcnas.strategy.gcnas import GCNASSettings, GCNASStrategy, usual_settings
from gcnas.strategy.surrogate import SurrogateSettings

QUICK = GCNASSettings(
    samples=16,
    neighbours=8,
    mutants=8,
    random=8,
    surrogate=SurrogateSettings(critic_steps=(10, 2), process_steps=(10, 1)),
)


def cell_reward(architecture: Architecture) -> float:
    """Highest, 6, for conv3 everywhere but a skip on the last edge; half a point less for each none."""
    names = [layer.type for layer in architecture.layers]
    right = sum(name == wanted for name, wanted in zip(names, ["conv3"] * 5 + ["skip"], strict=True))
    return right - 0.5 * sum(left == "none" for left in names)


def search(strategy: Strategy, queries: int) -> list[Proposal]:
    proposed: list[Proposal] = []
    for _ in range(queries):
        (proposal,) = strategy.ask(1)
        proposed.append(proposal)
        strategy.tell([complete(proposal, cell_reward(proposal.architecture))])
    return proposed


@pytest.mark.slow
def test_it_finds_what_chance_does_not() -> None:
    found = [
        max(cell_reward(p.architecture) for p in search(GCNASStrategy(CELL, s, QUICK), 40)) for s in range(2)
    ]
    chance = [max(cell_reward(p.architecture) for p in search(RandomStrategy(CELL, s), 40)) for s in range(2)]
    assert found == [6.0, 6.0]
    assert max(chance) < 6.0


@pytest.mark.slow
def test_no_network_is_proposed_twice_and_every_source_has_a_share() -> None:
    proposed = search(GCNASStrategy(CELL, 0, QUICK), 60)
    assert len({p.fingerprint for p in proposed}) == 60
    assert [p.source for p in proposed[:8]] == ["start"] * 8
    assert {p.source for p in proposed[8:]} <= {"policy", "edit", "random"}
    assert len({p.source for p in proposed[8:]}) > 1


def test_half_of_the_first_networks_are_edits_of_the_best_design_known() -> None:
    strategy = GCNASStrategy(CELL, 0, QUICK)
    designs = RandomStrategy(CELL, 1).ask(4)
    strategy.tell([complete(p, cell_reward(p.architecture)) for p in designs])
    best = max(designs, key=lambda p: cell_reward(p.architecture))
    first = strategy.ask(8)
    assert [p.source for p in first] == ["edit"] * 4 + ["start"] * 4
    assert len({p.fingerprint for p in [*designs, *first]}) == 12
    for edited in first[:4]:
        pairs = zip(edited.trajectory.actions, best.trajectory.actions, strict=True)
        assert sum(new != old for new, old in pairs) == 1


@pytest.mark.parametrize("resumed", [False, True])
def test_edits_of_designs_under_way_come_when_these_are_known(resumed: bool) -> None:
    """With several workers the strategy is asked for more before the first design is told."""
    strategy = GCNASStrategy(CELL, 0, QUICK)
    designs = RandomStrategy(CELL, 1).ask(2)
    best = max(designs, key=lambda p: cell_reward(p.architecture))
    strategy.expect(designs)
    early = strategy.ask(2)
    strategy.tell([complete(designs[0], cell_reward(designs[0].architecture))])
    early += strategy.ask(1)
    if resumed:
        state, strategy = strategy.state_dict(), GCNASStrategy(CELL, 0, QUICK)
        strategy.load_state_dict(state)
    strategy.tell([complete(designs[1], cell_reward(designs[1].architecture))])
    late = strategy.ask(5)
    assert [p.source for p in early] == ["start"] * 3
    assert [p.source for p in late] == ["start"] + ["edit"] * 4
    for edited in late[1:]:
        pairs = zip(edited.trajectory.actions, best.trajectory.actions, strict=True)
        assert sum(new != old for new, old in pairs) == 1


def test_designs_under_way_that_are_proposed_again_are_waited_for_all_the_same() -> None:
    strategy = GCNASStrategy(CELL, 0, QUICK)
    designs = RandomStrategy(CELL, 1).ask(2)
    strategy.expect(designs)
    early = strategy.ask(3)
    repeats = [Evaluation(p, EvaluationState.DUPLICATE, error="still under way") for p in designs]
    assert all(repeat.repeats_unfinished for repeat in repeats)
    strategy.tell(repeats)
    early += strategy.ask(1)
    strategy.tell([complete(p, cell_reward(p.architecture)) for p in designs])
    late = strategy.ask(4)
    assert [p.source for p in [*early, *late]] == ["start"] * 4 + ["edit"] * 4


def test_designs_under_way_are_not_proposed() -> None:
    strategy, other = GCNASStrategy(CELL, 0, QUICK), GCNASStrategy(CELL, 0, QUICK)
    other.expect(RandomStrategy(CELL, 1).ask(1))
    wanted = other.ask(4)
    strategy.expect(wanted[:1])  # what it would propose otherwise
    found = strategy.ask(4)
    assert [p.fingerprint for p in found[:3]] == [p.fingerprint for p in wanted[1:]]


def test_first_networks_and_the_last_ones_keep_limits_that_are_no_masks() -> None:
    space = CNN.fit(InputShape(3, 32, 32, 10), Limits(activations=66_000))
    strategy = GCNASStrategy(space, 0, QUICK)
    first = strategy.ask(8)
    assert [p.source for p in first] == ["start"] * 8
    assert all(space.violation(p.architecture) is None for p in [*first, *strategy._left()])
    free = GCNASStrategy(CNN.fit(InputShape(3, 32, 32, 10)), 0, QUICK).ask(8)
    assert not all(space.violation(p.architecture) is None for p in free)


def test_the_last_networks_of_a_small_space_are_found() -> None:
    """There are 3 networks of one layer and 729 of six; draws are uniform in depth."""
    types = tuple(token(name) for name in ("a", "b", "c"))
    space = SequenceSpace("small", types, min_depth=1, max_depth=6, window=1)
    strategy = GCNASStrategy(space, 0, QUICK)
    everything = {
        proposal(space, *(LayerAction(code, (), ()) for code in codes)).fingerprint
        for depth in range(1, 7)
        for codes in itertools.product(range(3), repeat=depth)
    }
    assert len(everything) == sum(3**depth for depth in range(1, 7))
    left = set(sorted(everything)[:5])
    strategy._proposed |= everything - left
    found: set[str] = set()
    while new := {each.fingerprint for each in strategy._left()}:
        found |= new
        strategy._proposed |= new
    assert found == left


@pytest.mark.parametrize("name", ["gcnas", "reinforce"])
def test_the_random_numbers_of_gpus_stay_as_they_are(name: str) -> None:
    with patch("torch.cuda.manual_seed_all") as seeded:
        create_strategy(name, CELL, 0)
    seeded.assert_not_called()


def test_the_first_edits_are_those_of_the_best_and_not_of_the_longest_trained() -> None:
    strategy = GCNASStrategy(CELL, 0, QUICK)
    worse, best = sorted(RandomStrategy(CELL, 1).ask(2), key=lambda p: cell_reward(p.architecture))
    strategy.tell(
        [complete(worse, 0.5, epochs=1), complete(best, 0.6, epochs=1), complete(worse, 0.7, epochs=9)]
    )
    for edited in strategy.ask(4):
        pairs = zip(edited.trajectory.actions, best.trajectory.actions, strict=True)
        assert sum(new != old for new, old in pairs) == 1


@pytest.mark.parametrize("part", ["critic", "process"])
def test_either_model_is_enough(part: str) -> None:
    settings = replace(QUICK, surrogate=replace(QUICK.surrogate, parts=(part,)))
    assert max(cell_reward(p.architecture) for p in search(GCNASStrategy(CELL, 1, settings), 40)) >= 5.0


@pytest.mark.parametrize("space", [CELL, DEEP, CNN.fit(InputShape(1, 12, 12, 5), Limits(parameters=30_000))])
def test_equal_scores_do_no_harm(space: SearchSpace) -> None:
    strategy = GCNASStrategy(space, 0, QUICK)
    for _ in range(12):
        strategy.tell([complete(proposal, 0.1) for proposal in strategy.ask(2)])


def test_failures_are_avoided() -> None:
    strategy = GCNASStrategy(CELL, 0, QUICK)
    crashed = 0
    for query in range(60):
        (proposal,) = strategy.ask(1)
        if proposal.architecture.layers[0].type == "pool":
            crashed += query >= 20
            strategy.tell([Evaluation(proposal, EvaluationState.FAILED, error_kind="crash", error="made up")])
        else:
            strategy.tell([complete(proposal, cell_reward(proposal.architecture))])
    assert crashed <= 4


def test_edits_of_the_best_design_do_not_wait_for_one_that_is_set_aside() -> None:
    designs = RandomStrategy(CELL, 5).ask(2)
    for aside in (True, False):
        strategy = GCNASStrategy(CELL, 0)
        strategy.expect(designs)
        first = strategy.ask(4)
        assert {proposal.source for proposal in first} == {"start"}
        strategy.tell([complete(designs[0], 1.0)])
        if aside:
            strategy.set_aside(designs[1:])
        assert ("edit" in {proposal.source for proposal in strategy.ask(4)}) is aside


def test_what_broke_a_limit_may_come_again_when_limits_are_others() -> None:
    strategy = GCNASStrategy(CELL, 0, QUICK)
    rejected, crashed = set(), set()
    for number in range(24):
        (proposal,) = strategy.ask(1)
        evaluation = complete(proposal, cell_reward(proposal.architecture))
        if number % 4 == 1:
            rejected.add(proposal.fingerprint)
            evaluation = Evaluation(proposal, EvaluationState.INFEASIBLE, error="latency 2 > 1")
        elif number % 4 == 2:
            crashed.add(proposal.fingerprint)
            evaluation = Evaluation(proposal, EvaluationState.FAILED, error_kind="crash", error="made up")
        strategy.tell([evaluation])
    resumed = GCNASStrategy(CELL, 0, QUICK)
    resumed.load_state_dict(strategy.state_dict())
    for each in (strategy, resumed):
        assert each._proposed >= rejected | crashed
        each.reconsider()
        assert not each._proposed & rejected
        assert each._proposed >= crashed
    ours, theirs = search(strategy, 12), search(resumed, 12)
    assert [p.fingerprint for p in ours] == [p.fingerprint for p in theirs]
    assert not crashed & {p.fingerprint for p in ours}


def test_short_trainings_are_no_rivals_of_long_ones() -> None:
    strategy = GCNASStrategy(CELL, 0, QUICK)
    drawn = RandomStrategy(CELL, 3).ask(30)
    strategy.tell([complete(p, cell_reward(p.architecture) + 100, epochs=1) for p in drawn])
    strategy.tell([complete(p, cell_reward(p.architecture), epochs=9) for p in drawn[:15]])
    for _ in range(20):
        (proposal,) = strategy.ask(1)
        strategy.tell([complete(proposal, cell_reward(proposal.architecture), epochs=9)])
    best = max(drawn[:15], key=lambda p: cell_reward(p.architecture))
    (proposal,) = strategy.ask(1)
    assert cell_reward(proposal.architecture) > cell_reward(best.architecture)


def test_a_round_of_one_learns_from_every_result_and_the_rules_take_turns() -> None:
    strategy = GCNASStrategy(CELL, 0, replace(QUICK, together=1))
    search(strategy, 8)
    for rounds, rule in enumerate(["improvement", "thompson", "mean", "improvement"]):
        with patch.object(strategy, "_worth", wraps=strategy._worth) as worth:
            (proposal,) = strategy.ask(1)
        assert worth.call_args.args[1] == rule
        assert len(strategy.figures()) == 1, rounds
        strategy.tell([complete(proposal, cell_reward(proposal.architecture))])
    # Where several are wanted at once, one round serves all.
    assert len(strategy.ask(3)) == 3
    assert len(strategy.figures()) == 1


def test_one_at_a_time_where_rounds_are_cheap() -> None:
    networks = CNN.fit(InputShape(1, 8, 8, 10), Limits())
    assert usual_settings(CELL).together == 1
    assert usual_settings(networks) == GCNASSettings()
    for space in (CELL, networks):
        assert GCNASStrategy(space, 0).settings == usual_settings(space)
    strategy = create_strategy("gcnas", CELL, 0, facts=("params",))
    assert isinstance(strategy, GCNASStrategy)
    assert strategy.settings == replace(usual_settings(CELL), facts=("params",))


def test_figures_of_the_policy_are_given_once() -> None:
    strategy = GCNASStrategy(CELL, 0, QUICK)
    search(strategy, 20)
    figures = strategy.figures()
    assert figures
    assert all(np.isfinite(list(row.values())).all() for row in figures)
    assert strategy.figures() == []


def test_half_of_the_first_design_is_large_where_that_is_set() -> None:
    space = CNN.fit(InputShape(1, 28, 28, 10), Limits(parameters=100_000))
    differences = []
    for seed in range(5):
        strategy = GCNASStrategy(space, seed, replace(QUICK, large=True))
        design = [p.architecture for p in strategy.ask(QUICK.start)]
        assert all(space.cost(network).parameters <= 100_000 for network in design)
        sizes = np.log([space.size(network) for network in design]).mean(1)
        half = QUICK.start // 2
        differences.append(sizes[half:].mean() - sizes[:half].mean())
    assert min(differences) > 0


def test_improvement_is_over_the_best_and_not_over_the_longest_trained() -> None:
    strategy = GCNASStrategy(DEEP, 0)
    drawn = RandomStrategy(DEEP, 3).ask(12)
    different = list({proposal.fingerprint: proposal for proposal in drawn}.values())
    strategy.tell([complete(proposal, index / 10, 1) for index, proposal in enumerate(different)])
    strategy.tell([complete(different[2], 0.5, 9)])  # a design by people goes on however mediocre it is
    assert strategy._best_target() == strategy._experience.targets.max()
