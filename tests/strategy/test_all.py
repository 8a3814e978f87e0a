"""What holds for every strategy that comes with the package."""

import json
from collections.abc import Sequence

import pytest

from gcnas.records import Evaluation, EvaluationState, Fidelity, Limits, Proposal
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import CNN
from gcnas.strategy import STRATEGIES, Strategy, StrategyState, create_strategy

SPACE = CNN.fit(InputShape(1, 12, 12, 5), Limits(parameters=50_000))

pytestmark = pytest.mark.parametrize("name", sorted(STRATEGIES))


def outcome(proposal: Proposal) -> Evaluation:
    """A made-up result that depends on the network alone; one in eight fails, one in eight breaks a limit."""
    digit = int(proposal.fingerprint[-1], 16) % 8
    if digit == 0:
        return Evaluation(proposal, EvaluationState.FAILED, error_kind="crash", error="made up")
    if digit == 1:
        return Evaluation(proposal, EvaluationState.INFEASIBLE, error_kind="parameters", error="made up")
    score = int(proposal.fingerprint[:8], 16) / 16**8
    return Evaluation(proposal, EvaluationState.COMPLETE, score, Fidelity(epochs=1), {"loss": 1 - score})


def rounds(strategy: Strategy, n: int, size: int = 3) -> list[Proposal]:
    """Some rounds of a search; results come in the reverse order."""
    asked: list[Proposal] = []
    for _ in range(n):
        batch = strategy.ask(size)
        asked += batch
        strategy.tell([outcome(proposal) for proposal in reversed(batch)])
    return asked


def stored(strategy: Strategy) -> StrategyState:
    """The state as it comes back from a ledger: real JSON text, and arrays of their own."""
    state = strategy.state_dict()
    values = json.loads(json.dumps(state.values, allow_nan=False))
    return StrategyState(values, {key: array.copy() for key, array in state.tensors.items()})


def resumed(name: str, strategy: Strategy, space: SearchSpace = SPACE) -> Strategy:
    other = create_strategy(name, space, 12_345)
    other.load_state_dict(stored(strategy))
    return other


@pytest.mark.parametrize("n", [0, 1, 7])
def test_as_many_proposals_as_asked_for(name: str, n: int) -> None:
    assert len(create_strategy(name, SPACE, 0).ask(n)) == n


def test_proposals_are_points_of_the_space(name: str) -> None:
    strategy = create_strategy(name, SPACE, 0)
    for proposal in rounds(strategy, 8):
        trajectory = proposal.trajectory
        assert SPACE.decode(trajectory.actions) == proposal.architecture
        assert SPACE.decode(SPACE.encode(proposal.architecture).actions) == proposal.architecture
        assert len(trajectory.masks) == len(trajectory.actions) <= SPACE.max_depth + 1
        assert proposal.source


def test_the_seed_decides(name: str) -> None:
    first, same, other = (rounds(create_strategy(name, SPACE, seed), 3) for seed in (1, 1, 2))
    assert first == same
    assert first != other


def test_a_state_leads_to_the_same_proposals(name: str) -> None:
    strategy = create_strategy(name, SPACE, 0)
    assert rounds(resumed(name, strategy), 2) == rounds(strategy, 2)
    assert rounds(resumed(name, strategy), 3) == rounds(strategy, 3)


def test_a_state_between_asking_and_telling(name: str) -> None:
    strategy = create_strategy(name, SPACE, 0)
    rounds(strategy, 2)
    pending = strategy.ask(4)
    other = resumed(name, strategy)
    results: Sequence[Evaluation] = [outcome(proposal) for proposal in pending]
    for told in (strategy, other):
        told.tell(results[2:])
        told.tell(results[:2])
    assert rounds(strategy, 2) == rounds(other, 2)


def test_a_state_is_a_copy(name: str) -> None:
    strategy = create_strategy(name, SPACE, 0)
    state = strategy.state_dict()
    text = json.dumps(state.values)
    arrays = {key: array.copy() for key, array in state.tensors.items()}
    asked = rounds(strategy, 2)
    assert json.dumps(state.values) == text
    assert all((state.tensors[key] == array).all() for key, array in arrays.items())
    strategy.load_state_dict(state)
    assert rounds(strategy, 2) == asked


def test_repeats_may_be_told(name: str) -> None:
    strategy = create_strategy(name, SPACE, 0)
    (proposal,) = strategy.ask(1)
    strategy.tell([Evaluation(proposal, EvaluationState.DUPLICATE, 0.5)])
    strategy.tell([])
    assert len(strategy.ask(2)) == 2
