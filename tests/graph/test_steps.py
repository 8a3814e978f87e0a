import pytest
import torch

from gcnas.graph import GraphEncoder, GraphSteps, Memory, Window, mean_shares

B, D, M = 3, 6, 3


@pytest.mark.parametrize("memory", ["stacked", "recurrent"])
@pytest.mark.parametrize("summary", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_steps_equal_the_encoder(memory: Memory, summary: bool, given: bool) -> None:
    """Longer than the buffer of a window, so that it is moved on the way."""
    torch.manual_seed(0)
    length = 60
    reads = torch.rand(length + 2, M) if given else None
    encoder = GraphEncoder(D, M, 3, memory, summary=summary, reads=reads)
    nodes, queries = torch.randn(B, length + 1, D), torch.randn(B, length, D)
    connections = torch.randint(0, 2, (B, length, M - 1)).float()
    connections[:, 0] = connections[:, 1, 1] = 0
    with torch.inference_mode():
        full_nodes, full_queries = encoder(nodes, queries, connections)
        steps = GraphSteps(encoder, B)
        assert torch.allclose(steps.append(steps.rows(nodes[:, 0]), None), full_nodes[:, 0], atol=1e-5)
        for step in range(length):
            asked = steps.query(steps.rows(queries[:, step]))
            assert torch.allclose(asked, full_queries[:, step], atol=1e-5)
            shares = mean_shares(connections[:, step]).t()[..., None]
            embedded = steps.append(steps.rows(nodes[:, step + 1]), shares)
            assert torch.allclose(embedded, full_nodes[:, step + 1], atol=1e-5)


@pytest.mark.parametrize("memory", ["stacked", "recurrent"])
def test_extending_is_appending(memory: Memory) -> None:
    torch.manual_seed(0)
    encoder = GraphEncoder(D, M, 2, memory)
    nodes = torch.randn(9, B, D)
    with torch.inference_mode():
        appended, extended = GraphSteps(encoder, B), GraphSteps(encoder, B, skipping=False)
        for node in nodes:
            appended.append(appended.rows(node), None)
            extended.extend(extended.rows(node), None)
        query = appended.rows(torch.randn(B, D))
        assert torch.equal(appended.query(query), extended.query(query))


def test_rows_add_up() -> None:
    """The rows of a sum are the sum of the rows, which is what tables rest on."""
    steps = GraphSteps(GraphEncoder(D, M, 2, "stacked"), B)
    one, two = torch.randn(2, B, D)
    assert torch.allclose(steps.rows(one + two), steps.rows(one) + steps.rows(two), atol=1e-5)
    assert steps.rows(one).shape == (B, 5 * D)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_window_keeps_the_newest_and_no_more(size: int) -> None:
    window = Window(size, (2,), torch.zeros(1))
    assert torch.equal(window.newest, torch.zeros(size, 2))
    places = set()
    for number in range(1, 100):
        window.push().fill_(number)
        expected = torch.arange(number, number - size, -1).clamp(min=0)
        assert window.newest[:, 0].tolist() == expected.tolist()
        places.add(window.newest.data_ptr())
    assert len(places) <= 8 * size
