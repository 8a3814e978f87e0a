import csv
import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from tests.policy.toy import TOY, all_trajectories

from gcnas.graph import encode
from gcnas.policy.gcn import GCNPolicy, GCNSettings
from gcnas.policy.rnn import RNNPolicy
from gcnas.records import Evaluation, EvaluationState, Limits, Proposal, Trajectory
from gcnas.run.middleware import Unique
from gcnas.space import InputShape
from gcnas.space.presets import CNN
from gcnas.strategy import StrategyState, create_strategy
from gcnas.strategy.edits import architecture_of
from gcnas.strategy.reinforce import (
    LITERAL,
    RNN_TUNED,
    SOURCE,
    Baseline,
    ReinforceSettings,
    ReinforceStrategy,
)

TUNING = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "tune_rivals.csv"
WANTED = ((0, (1, 0)), (1, (0,)), (0, (0, 1)))


def reward(trajectory: Trajectory) -> float:
    """Highest, 1, for one trajectory of depth 3 with certain options and connections."""
    score = 0.0
    for action, (code, options) in zip(trajectory.actions, WANTED, strict=False):
        if action.type == code:
            hits = sum(x == y for x, y in zip(action.hyperparameters, options, strict=True))
            score += 0.1 + 0.1 * hits / len(options)
    if len(trajectory.actions) > 2:
        score += 0.2 * (trajectory.actions[1].connections == (1, 0))
        score += 0.2 * (trajectory.actions[2].connections == (0, 1))
    return score


def strategy(seed: int = 0, settings: ReinforceSettings | None = None) -> ReinforceStrategy:
    return ReinforceStrategy(TOY, seed, lambda space: GCNPolicy(space, GCNSettings(width=16)), settings)


def evaluated(proposal: Proposal) -> Evaluation:
    return Evaluation(proposal, EvaluationState.COMPLETE, reward(proposal.trajectory))


def run(searcher: ReinforceStrategy, evaluations: int) -> list[float]:
    scores = []
    for _ in range(evaluations):
        (proposal,) = searcher.ask(1)
        evaluation = evaluated(proposal)
        scores.append(evaluation.score or 0.0)
        searcher.tell([evaluation])
    return scores


@pytest.mark.slow
def test_it_finds_the_optimum_of_a_toy_space() -> None:
    assert max(map(reward, all_trajectories())) == pytest.approx(1.0)
    found = [max(run(strategy(seed), 640)) == pytest.approx(1.0) for seed in range(3)]
    assert all(found)


def test_a_repeat_of_a_network_under_way_is_not_learnt_from() -> None:
    """Else its favourite network would get the reward of a failure, only because it is not finished."""
    one, other = strategy(), strategy()
    for searcher in (one, other):
        for proposal in searcher.ask(searcher.settings.batch):
            if searcher is other:
                searcher.tell([Evaluation(proposal, EvaluationState.DUPLICATE, error="still under way")])
            searcher.tell([evaluated(proposal)])
    (first,), (second,) = one.figures(), other.figures()
    assert first == second


@pytest.mark.parametrize("name", ["ceim", "optuna:tpe"])
def test_a_network_under_way_keeps_its_place(name: str) -> None:
    """Somebody else's evaluation of it is not finished; when it is, its score is that of the proposal."""
    searcher = create_strategy(name, TOY, 0)
    (proposal,) = searcher.ask(1)
    searcher.tell([Evaluation(proposal, EvaluationState.DUPLICATE, error="still under way")])
    assert proposal.fingerprint in searcher._pending  # type: ignore[attr-defined]
    searcher.tell([evaluated(proposal)])
    assert proposal.fingerprint not in searcher._pending  # type: ignore[attr-defined]


def test_repeats_of_what_failed_are_learnt_from() -> None:
    """Else a policy that draws almost nothing but a network that fails would never learn."""
    searcher = strategy()
    unique = Unique(searcher, [], ())
    (proposal,) = unique.ask(1)
    unique.tell([Evaluation(proposal, EvaluationState.FAILED)])
    for _ in range(searcher.settings.batch - 1):
        verdict = unique.verdict(proposal)
        assert verdict is not None
        searcher.tell([verdict])
    assert len(searcher.figures()) == 1


def test_the_policy_gets_better() -> None:
    scores = run(strategy(1), 400)
    assert sum(scores[-80:]) > sum(scores[:80]) + 0.2 * 80


def test_figures_of_each_update_are_kept() -> None:
    searcher = strategy()
    run(searcher, 24)
    figures = searcher.figures()
    assert len(figures) == 3
    for update in figures:
        assert set(update) == {"reward", "baseline", "advantage", "entropy", "gradient_norm"}
        assert min(update["entropy"], update["gradient_norm"], update["advantage"]) > 0
    assert searcher.figures() == []


def test_state_survives_json_in_the_middle_of_a_batch() -> None:
    searcher = strategy()
    run(searcher, 21)
    open_proposals = searcher.ask(2)
    state = searcher.state_dict()
    copy = StrategyState(json.loads(json.dumps(state.values)), {k: v.copy() for k, v in state.tensors.items()})
    other = strategy(seed=9)
    other.load_state_dict(copy)
    for each in (searcher, other):
        each.tell([evaluated(proposal) for proposal in open_proposals])
    assert [run(each, 40) for each in (searcher,)] == [run(each, 40) for each in (other,)]
    for left, right in zip(searcher.policy.parameters(), other.policy.parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("entropy", [0.0, 0.1])
def test_the_gradient_is_that_of_the_expected_reward(entropy: float) -> None:
    """An update on all trajectories, with rewards weighted by their probability, climbs the exact expectation."""
    trajectories = all_trajectories()
    count = len(trajectories)
    searcher = strategy(
        settings=ReinforceSettings(batch=count, entropy=entropy, normalise=False, gradient_norm=float("inf"))
    )
    searcher._baseline.mean = 0.0  # another would be weighted as if all were as likely
    policy = searcher.policy
    likelihood = policy(encode(TOY, policy.vocabulary, trajectories))
    probability = likelihood.log_probability.exp()
    assert probability.sum().item() == pytest.approx(1.0, abs=1e-4)
    rewards = torch.tensor([reward(trajectory) for trajectory in trajectories])
    loss = -(probability * rewards).sum() - entropy * likelihood.entropy.mean()
    exact = torch.autograd.grad(loss, list(policy.parameters()), allow_unused=True)
    scores = (count * probability.detach() * rewards).tolist()
    searcher.tell(
        [
            Evaluation(Proposal(architecture_of(TOY, each), each, SOURCE), EvaluationState.COMPLETE, score)
            for each, score in zip(trajectories, scores, strict=True)
        ]
    )
    assert len(searcher.figures()) == 1
    assert max(gradient.abs().max() for gradient in exact if gradient is not None) > 0.01
    for parameter, gradient in zip(policy.parameters(), exact, strict=True):
        if gradient is None:
            assert parameter.grad is None or not parameter.grad.any()
        else:
            assert parameter.grad is not None
            assert torch.allclose(parameter.grad, gradient, atol=1e-5)


def test_failures_count_as_nothing_and_references_not_at_all() -> None:
    searcher = strategy()
    before = [parameter.clone() for parameter in searcher.policy.parameters()]
    references = [Proposal(p.architecture, p.trajectory, "reference") for p in searcher.ask(8)]
    searcher.tell([evaluated(proposal) for proposal in references])
    assert all(torch.equal(a, b) for a, b in zip(before, searcher.policy.parameters(), strict=True))
    failed = [Evaluation(p, EvaluationState.INFEASIBLE, error="too large") for p in searcher.ask(8)]
    searcher.tell(failed)
    assert searcher.figures()[0]["reward"] == 0


def test_literal_controller_learns_too() -> None:
    searcher = ReinforceStrategy(TOY, 0, RNNPolicy, LITERAL)
    run(searcher, 64)
    assert len(searcher.figures()) == 8
    assert searcher.settings.learning_rate == 6e-4


@pytest.mark.parametrize(
    ("name", "settings", "parallel"),
    [
        ("reinforce", ReinforceSettings(), None),
        ("reinforce-rnn", LITERAL, False),
        ("reinforce-rnn-tuned", RNN_TUNED, False),
        ("reinforce-rnn-parallel", RNN_TUNED, True),
    ],
)
def test_each_controller_learns_by_settings_of_its_own(
    name: str, settings: ReinforceSettings, parallel: bool | None
) -> None:
    searcher = create_strategy(name, TOY, 0)
    assert isinstance(searcher, ReinforceStrategy)
    assert searcher.settings == settings
    assert isinstance(searcher.policy, GCNPolicy if parallel is None else RNNPolicy)
    if isinstance(searcher.policy, RNNPolicy):
        assert searcher.policy.settings.parallel is parallel


@pytest.mark.parametrize("name", ["reinforce", "reinforce-rnn-tuned", "reinforce-rnn-parallel"])
def test_settings_are_those_of_the_tuning(name: str) -> None:
    """Least mean rank over two spaces of twelve trials with six seeds; of equals the first, which is the default."""
    regrets: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    with TUNING.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["rival"] == name:
                regrets[row["space"]][row["setting"]][row["seed"]] = float(row["mean_regret"])
    settings = [
        f"learning_rate={rate} entropy={e}" for rate in (0.003, 0.001, 0.01) for e in (0.01, 0.03, 0.1, 0.3)
    ]
    assert set(regrets) == {"nb201-cifar10", "channel-mobilenet"}
    assert all(set(trials) == set(settings) for trials in regrets.values())
    assert all(set(runs) == set("012345") for trials in regrets.values() for runs in trials.values())
    means = [[fmean(trials[setting].values()) for setting in settings] for trials in regrets.values()]
    ranks = [[np.mean([(x < y) + (x <= y) for x in row]) for y in row] for row in means]
    best = settings[int(np.mean(ranks, axis=0).argmin())]
    searcher = create_strategy(name, TOY, 0)
    assert isinstance(searcher, ReinforceStrategy)
    assert best == f"learning_rate={searcher.settings.learning_rate} entropy={searcher.settings.entropy}"


def test_failures_are_no_better_than_the_worst_where_rewards_are_negative() -> None:
    searcher = strategy()
    trained, failed = searcher.ask(7), searcher.ask(1)
    searcher.tell([Evaluation(p, EvaluationState.COMPLETE, -1.0 - i) for i, p in enumerate(trained)])
    again = strategy()
    again.load_state_dict(searcher.state_dict())
    for each in (searcher, again):
        each.tell([Evaluation(p, EvaluationState.INFEASIBLE, error="too large") for p in failed])
        assert each.figures()[0]["reward"] == pytest.approx((-28 - 7) / 8)


def test_what_failed_before_the_first_score_is_as_bad_as_the_worst() -> None:
    searcher = strategy()
    failed, trained = searcher.ask(1), searcher.ask(7)
    searcher.tell([Evaluation(p, EvaluationState.INFEASIBLE, error="not there") for p in failed])
    again = strategy()
    again.load_state_dict(searcher.state_dict())
    for each in (searcher, again):
        each.tell([Evaluation(p, EvaluationState.COMPLETE, -1.0 - i) for i, p in enumerate(trained)])
        assert each.figures()[0]["reward"] == pytest.approx((-28 - 7) / 8)


def test_a_limit_of_bytes_that_nothing_keeps_is_no_crash() -> None:
    """Three bytes are no parameter at all; the network proposed is rejected by its size."""
    space = CNN.fit(InputShape(1, 8, 8, 3), Limits(size=3))
    (proposal,) = create_strategy("reinforce", space, 0).ask(1)
    assert str(space.violation(proposal.architecture)).startswith("size")


@pytest.mark.parametrize("reward", [0.0, 0.1, 0.3, 0.7, 0.9125])
def test_equal_rewards_teach_nothing(reward: float) -> None:
    baseline = Baseline(ReinforceSettings(normalise=True))
    rewards = torch.full((8,), reward, dtype=torch.float64)
    assert baseline.advantages(rewards).tolist() == [0.0] * 8
    # Nor does their size, of nothing, make those of the next batch large.
    later = baseline.advantages(rewards + torch.linspace(-0.1, 0.1, 8, dtype=torch.float64))
    assert float(later.square().mean().sqrt()) == pytest.approx(1.0)
