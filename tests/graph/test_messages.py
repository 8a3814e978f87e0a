"""The hand-written gradient of a convolution; that it is the formula is held in test_convolution.py."""

import pytest
import torch
from torch import Tensor

from gcnas.graph.messages import Parallel
from gcnas.graph.mixture import Mixture, dense, mapped

B, N, D, M = 2, 5, 3, 3


def _inputs(queries: int, *, nodes: bool, skips: bool, summary: bool, given: bool) -> list[Tensor | None]:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    places = max(N if nodes else 0, queries + 1)
    known = [random(B, N, D), random(B, N, D)] if nodes else [None, None]
    asked = [random(B, queries, D), random(B, queries, D)] if queries else [None, None]
    weights = random(B, N, M - 1).detach() if skips else None
    chain = random(places if given else 1, M)
    return [
        random(B, N, (1 + skips + summary) * D),
        random(D),
        chain,
        weights,
        *known,
        *asked,
        random(D),
        random(D),
    ]


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("summary", [True, False])
@pytest.mark.parametrize(
    ("queries", "nodes", "skips"),
    [(N, True, True), (N - 1, True, True), (N, False, False), (0, True, True), (0, True, False)],
)
def test_gradient(queries: int, nodes: bool, skips: bool, summary: bool, given: bool) -> None:
    inputs = _inputs(queries, nodes=nodes, skips=skips, summary=summary, given=given)

    def both(*tensors: Tensor | None) -> tuple[Tensor, ...]:
        return tuple(each for each in Parallel.apply(*tensors, 1e-5) if each is not None)

    assert len(both(*inputs)) == nodes + (queries > 0)
    assert torch.autograd.gradcheck(both, inputs)


@pytest.mark.parametrize("which", [0, 1])
def test_gradient_of_one_result_alone(which: int) -> None:
    inputs = _inputs(N, nodes=True, skips=True, summary=True, given=True)
    assert torch.autograd.gradcheck(lambda *tensors: Parallel.apply(*tensors, 1e-5)[which], inputs)


def test_products_with_a_mixture_are_products_with_its_nodes() -> None:
    mixture = Mixture(torch.randn(B, N, 4), torch.randn(4, D), torch.randn(N, D))
    by_hand = mixture.weights @ mixture.table + mixture.places
    matrix = torch.randn(7, D)
    assert torch.allclose(dense(mixture), by_hand, atol=1e-5)
    assert torch.allclose(mapped(mixture, matrix), mapped(by_hand, matrix), atol=1e-5)
    assert torch.equal(dense(mixture.but_last), dense(mixture)[:, :-1])
