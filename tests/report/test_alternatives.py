from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tests.report.conftest import MakeRun

from gcnas.records import Architecture, EvaluationState, Limits
from gcnas.report.alternatives import EVALUATED, LARGER, OTHERS, _networks, alternatives
from gcnas.report.difference import difference
from gcnas.report.record import read_run
from gcnas.space import SearchSpace
from gcnas.space.presets import CNN
from gcnas.strategy.edits import architecture_of, neighbours


def test_costs_and_words_are_those_of_the_networks(make_run: MakeRun, space: SearchSpace) -> None:
    trials = read_run(make_run(trials=6)).trials
    chosen = trials[0]
    found = alternatives(chosen, trials, space)
    assert found.found > OTHERS
    assert len(found.shown) <= EVALUATED + OTHERS
    assert sum(each.change[1] > 0 for each in found.shown) <= LARGER
    for each in found.shown:
        assert each.cost == space.cost(each.architecture)
        assert each.change[0] == each.cost.parameters / chosen.cost.parameters - 1
        assert each.words == difference(chosen.proposal.architecture, each.architecture)
        assert space.limits.violation(each.cost) is None
        assert each.architecture.fingerprint != chosen.proposal.fingerprint
        assert (each.trial, each.score, each.predicted) == (None, None, None)


def test_evaluated_neighbours_come_first_with_their_scores(make_run: MakeRun, space: SearchSpace) -> None:
    start = read_run(make_run("a", trials=2)).trials[1]
    edited = neighbours(space, start.proposal.trajectory, np.random.default_rng(0))
    near = {each.fingerprint: each for each in (architecture_of(space, t) for t in edited)}
    near.pop(start.proposal.fingerprint, None)
    known = [start.proposal.architecture, *list(near.values())[:3]]
    trials = read_run(make_run("b", trials=4, architectures=known)).trials
    found = alternatives(trials[0], trials, space)
    scores = [each.score for each in found.shown if each.score is not None]
    assert scores == sorted((trial.score for trial in trials[1:]), reverse=True)
    assert [each.trial is None for each in found.shown][:4] == [False, False, False, True]


def test_neighbours_are_those_of_the_limits_of_today(make_run: MakeRun, space: SearchSpace) -> None:
    """The trial was proposed within 80,000 parameters; a run that goes on may have wider limits, or tighter ones."""
    chosen = max(read_run(make_run(trials=12)).trials, key=lambda trial: trial.cost.parameters)
    sizes = {}
    for bound in (20_000_000, 80_000, chosen.cost.parameters):
        today = CNN.fit(space.fitted, Limits(parameters=bound))
        sizes[bound] = [today.cost(each).parameters for each in _networks(chosen, today)]
        assert max(sizes[bound]) <= bound
    assert max(sizes[20_000_000]) > 80_000


def test_neighbours_that_failed_or_had_less_training_are_told(make_run: MakeRun, space: SearchSpace) -> None:
    start = read_run(make_run("a", trials=2)).trials[1]
    edited = neighbours(space, start.proposal.trajectory, np.random.default_rng(0))
    near = {each.fingerprint: each for each in (architecture_of(space, t) for t in edited)}
    near.pop(start.proposal.fingerprint, None)
    known = [start.proposal.architecture, *list(near.values())[:3]]
    chosen, shorter, failed, equal = read_run(make_run("b", trials=4, architectures=known)).trials
    assert failed.evaluation is not None
    shorter = replace(shorter, fidelity=replace(shorter.fidelity, epochs=1))
    broken = replace(failed.evaluation, state=EvaluationState.FAILED, score=None, error_kind="time-out")
    failed = replace(failed, evaluation=broken)
    free = alternatives(chosen, [chosen], space)
    found = alternatives(
        chosen, (chosen, shorter, failed, equal), space, lambda networks: np.arange(len(networks)) / 1e6
    )
    assert (found.found, found.failed) == (free.found, 1)
    assert failed.proposal.fingerprint not in {each.architecture.fingerprint for each in found.shown}
    for each in found.shown:
        own = each.architecture.fingerprint == shorter.proposal.fingerprint
        assert (each.shorter is not None and each.shorter.number == shorter.number) is own
    assert [each.trial for each in found.shown if each.score is not None] == [equal.number]


def test_the_network_and_its_neighbours_are_compared_by_means(make_run: MakeRun, space: SearchSpace) -> None:
    trials = read_run(make_run(trials=3)).trials
    chosen = trials[1]
    assert chosen.evaluation is not None
    again = replace(chosen, number=9, evaluation=replace(chosen.evaluation, score=chosen.score - 0.1))
    found = alternatives(chosen, (*trials, again), space)
    assert found.chosen.number == chosen.number
    assert found.chosen.score == pytest.approx(chosen.score - 0.05)
    # Asked for the repeat, it is not another trial that is answered for.
    assert alternatives(again, (*trials, again), space).chosen.number == 9


def test_with_predictions_nothing_beaten_is_shown(make_run: MakeRun, space: SearchSpace) -> None:
    trials = read_run(make_run(trials=2)).trials

    def smaller_is_better(networks: list[Architecture]) -> np.ndarray:
        return np.array([1 / space.cost(each).parameters for each in networks])

    found = alternatives(trials[0], trials, space, smaller_is_better)
    assert found.predicted == 1 / trials[0].cost.parameters
    assert len(found.shown) > 1
    costs = [(each.cost.parameters, each.cost.multiply_adds) for each in found.shown]
    assert costs == sorted(costs, key=lambda cost: (cost[1], cost[0]))
    assert all(a[0] > b[0] for a, b in pairwise(costs))
