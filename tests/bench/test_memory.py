"""The tasks of E6: what is right, what reaches the first layer, and that a policy which can learn one does."""

from collections import Counter
from collections.abc import Iterator

import pytest
import torch

from gcnas.bench import memory
from gcnas.bench.memory import MemoryTask, memory_tasks
from gcnas.bench.memory_learning import Announced, GraphTypes, RecurrentTypes, Repeating, learn


def task(depth: int, lag: int, controller: str, learning: str = "likelihood", updates: int = 1) -> MemoryTask:
    return MemoryTask(depth, lag, learning, controller, 0, updates)


def test_each_run_is_there_once_and_seeds_are_bounded() -> None:
    tasks = memory_tasks(10)
    assert len(set(tasks)) == len({each.name for each in tasks}) == len(tasks)
    assert Counter(each.seed for each in tasks).keys() == {0, 1, 2}
    assert len(memory_tasks(1)) * 3 == len(tasks)
    assert {each.depth for each in tasks} == {8, 16, 32, 64, 128}
    for controller in memory.CONTROLLERS:
        assert {8, 16, 32, 64, 128} == {each.depth for each in tasks if each.controller == controller}


def test_right_sequences_repeat_themselves() -> None:
    learner = Repeating(task(24, 4, "rnn"))
    sequences = learner.right(50, torch.Generator().manual_seed(0))
    for start in range(0, 24, 8):
        assert torch.equal(sequences[:, start : start + 4], sequences[:, start + 4 : start + 8])
    assert learner.decided.tolist() == ([False] * 4 + [True] * 4) * 3
    assert len({tuple(row) for row in sequences.tolist()}) == 50
    drawn = learner.drawn(sequences, torch.Generator().manual_seed(1))
    assert torch.equal(drawn[:, ~learner.decided], sequences[:, ~learner.decided])
    # Nothing is learnt yet: one in four by chance.
    assert 0.15 < float((drawn == sequences)[:, learner.decided].float().mean()) < 0.35


@pytest.mark.parametrize("controller", ["rnn", "stacked-3"])
def test_right_networks_have_the_depth_that_their_first_layer_announces(controller: str) -> None:
    learner, generator = Announced(task(12, 0, controller)), torch.Generator().manual_seed(0)
    networks = [learner.right(generator) for _ in range(60)]
    for network in networks:
        assert len(network.actions) - 1 == 3 * (network.actions[0].type + 1)
        for action, mask in zip(network.actions, network.masks, strict=True):
            assert all(
                free or not chosen for free, chosen in zip(mask.connections, action.connections, strict=True)
            )
    assert {len(network.actions) for network in networks} == {4, 7, 10, 13}
    assert any(any(action.connections) for network in networks for action in network.actions)
    assert 0 <= learner.matched(generator) < 0.5


@pytest.fixture
def _in_double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_in_double_precision")
@pytest.mark.parametrize("controller", ["rnn", "stacked-2", "recurrent-3"])
def test_gradients_by_layers_are_those_of_finite_differences(controller: str) -> None:
    torch.manual_seed(0)
    types = (RecurrentTypes if controller == "rnn" else GraphTypes)(task(5, 1, controller))
    torch.nn.init.normal_(types.head.weight)
    sequence = torch.tensor([[0, 1, 2, 3, 0]])
    lengths = types.reached(sequence)
    assert len(lengths) == 4

    def answer() -> float:
        return float(types.logits(sequence).log_softmax(-1)[0, -1, 0])

    # Rows that each of the layers 1 to 4 has for itself: that of its type, or of its place.
    recurrent = isinstance(types, RecurrentTypes)
    table, rows = (
        (types.policy.inputs, [2, 3, 4, 5]) if recurrent else (types.block.nodes.positions, [1, 2, 3, 4])
    )
    for place, row in enumerate(rows):
        by_entry = []
        with torch.no_grad():
            for column in range(table.weight.shape[1]):
                values = []
                for step in (1e-5, -1e-5):
                    table.weight[row, column] += step
                    values.append(answer())
                    table.weight[row, column] -= step
                by_entry.append((values[0] - values[1]) / 2e-5)
        assert float(torch.tensor(by_entry).norm()) == pytest.approx(float(lengths[place]), rel=1e-4, abs=1e-9)


def test_nothing_comes_from_beyond_the_receptive_field_without_the_summary() -> None:
    ratios = {}
    for controller in ("stacked-2-plain", "stacked-2"):
        ratios[controller] = Repeating(task(16, 8, controller)).gradient_ratio(fresh_head=True)
    assert ratios["stacked-2-plain"] == 0
    assert ratios["stacked-2"] > 1e-4


def test_what_can_be_learnt_is_learnt_and_counted() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    result = learn(task(8, 2, "stacked-2", updates=200))
    assert result["solved"] == 1
    assert int(result["samples"] or 0) % 32 == 0
    assert 0.95 <= float(result["matched"] or 0) <= 1
    assert learn(task(8, 2, "stacked-2", updates=200)) == result
    short = learn(task(8, 2, "stacked-2", updates=3))
    assert (short["solved"], short["samples"]) == (0, 3 * 32)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("learning", ["sample", "step"])
def test_rewards_raise_the_share_that_is_right(learning: str) -> None:
    result = learn(task(8, 2, "stacked-2", learning, updates=120))
    assert float(result["matched"] or 0) > 0.4


def test_an_announced_depth_is_learnt() -> None:
    result = learn(task(8, 0, "stacked-4", updates=60))
    assert float(result["matched"] or 0) > 0.5
    assert result["gradient_start"] is None
