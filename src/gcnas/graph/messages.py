"""One convolution on known graphs, all nodes and queries at once, and its gradient."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Parallel(torch.autograd.Function):
    r"""New embeddings of nodes and queries, from products that have been multiplied already.

    Edges reach at most m nodes back, so each distance is one shifted product that is added in place: no copies for
    padding. It is linear in the number of nodes. Query s reads what node s + 1 reads, without the skips. The N-th query
    stands behind the last node.

    Shapes:
        - outgoing: (B, N, P d), what nodes send: side by side for windows, for skips if there are any, and for the
          summary if it is on
        - bias: (d), added to all that is sent
        - chain: (P, m), or (1, m) where it is the same for all: weight with which place i reads node i - δ; P is the
          number of places, N, or N + 1 if there is an N-th query
        - skips: (B, N, m - 1), weight with which node i reads node i - δ by choice, δ from 2; or None
        - nodes, own: (B, N, d), h and :math:`W_s h`; None where nodes do not go on
        - queries, asked: (B, S, d) with S up to N, q and :math:`W_s q`; None without queries
        - scale, shift: (d), of the normalisation
        - results: those of nodes (B, N, d) and of queries (B, S, d), or None
    """

    @staticmethod
    def forward(
        ctx: Any,
        outgoing: Tensor,
        bias: Tensor,
        chain: Tensor,
        skips: Tensor | None,
        nodes: Tensor | None,
        own: Tensor | None,
        queries: Tensor | None,
        asked: Tensor | None,
        scale: Tensor,
        shift: Tensor,
        eps: float,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Add up what is sent, for queries first; then each place on its own."""
        ctx.set_materialize_grads(False)
        places = max(0 if own is None else own.shape[1], 0 if asked is None else asked.shape[1] + 1)
        incoming = _incoming(outgoing, bias, chain, places, skipping=skips is not None)
        norm = scale, shift, eps
        of_nodes: tuple[Tensor | None, ...] = (None,) * 5
        of_queries = of_nodes
        if queries is not None and asked is not None:
            of_queries = _updated(queries, incoming[:, 1 : asked.shape[1] + 1] + asked, *norm)
        if nodes is not None and own is not None:
            total = incoming[:, : own.shape[1]].add_(own)
            if skips is not None:
                _add_skips(total, outgoing, skips)
            of_nodes = _updated(nodes, total, *norm)
        ctx.save_for_backward(outgoing, chain, skips, scale, shift, *of_nodes[1:], *of_queries[1:])
        return of_nodes[0], of_queries[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_nodes: Tensor | None, to_queries: Tensor | None) -> tuple[Tensor | None, ...]:
        """Through the normalisation of both, then the same sums towards the nodes that were read."""
        if to_nodes is None and to_queries is None:
            return (None,) * 11
        outgoing, chain, skips, scale, shift, *kept = ctx.saved_tensors
        nodes, own, *of_nodes = _back(to_nodes, kept[:4], scale, shift)
        queries, asked, *of_queries = _back(to_queries, kept[4:], scale, shift)
        sent = _sent(own, asked)
        gradient, to_chain = _towards_senders(sent, own, outgoing, chain, skips)
        to_scale, to_shift = (_plus(*both) for both in zip(of_nodes, of_queries, strict=True))
        weights = gradient, sent.sum((0, 1)), to_chain
        return *weights, None, nodes, own, queries, asked, to_scale, to_shift, None


def _incoming(outgoing: Tensor, bias: Tensor, chain: Tensor, places: int, *, skipping: bool) -> Tensor:
    """What places read of their windows and the summary, and the bias: (B, P, d), P being N or N + 1."""
    window, *others = torch.split(outgoing, len(bias), 2)
    incoming = bias.expand(len(outgoing), places, -1).clone(memory_format=torch.contiguous_format)
    for distance in _distances(chain, places):
        incoming[:, distance:].addcmul_(window[:, : places - distance], _weights(chain, distance, places))
    for summary in others[skipping:]:
        incoming[:, 1:].addcdiv_(summary[:, : places - 1].cumsum(1), _counts(incoming))
    return incoming


def _add_skips(total: Tensor, outgoing: Tensor, skips: Tensor) -> None:
    """Add what nodes read by choice to what they are sent, (B, N, d)."""
    width = total.shape[2]
    for distance, weights in _chosen(skips):
        total[:, distance:].addcmul_(outgoing[:, :-distance, width : 2 * width], weights)


def _updated(embedded: Tensor, total: Tensor, scale: Tensor, shift: Tensor, eps: float) -> tuple[Tensor, ...]:
    r""":math:`\mathrm{LN}(h + \mathrm{relu}(z))` of h and z (B, N, d), and what its gradient needs."""
    opened = total.relu_()
    added = opened + embedded
    updated, mean, deviation = torch.native_layer_norm(added, scale.shape, scale, shift, eps)
    return updated, added, opened, mean, deviation


def _back(
    gradient: Tensor | None, kept: list[Tensor], scale: Tensor, shift: Tensor
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of h, z, scale and shift; none where nothing comes."""
    if gradient is None:
        return None, None, None, None
    added, opened, mean, deviation = kept
    to_added, to_scale, to_shift = torch.ops.aten.native_layer_norm_backward(
        gradient.contiguous(), added, scale.shape, mean, deviation, scale, shift, [True, True, True]
    )
    return to_added, torch.ops.aten.threshold_backward(to_added, opened, 0), to_scale, to_shift


def _sent(own: Tensor | None, asked: Tensor | None) -> Tensor:
    """The gradient (B, P, d) of what places are sent, from those of nodes and queries."""
    if asked is None:
        return cast("Tensor", own)
    ahead = 0 if own is None else own.shape[1] - asked.shape[1]
    sent = nn.functional.pad(asked, (0, 0, 1, max(ahead - 1, 0)))
    if own is not None:
        sent[:, : own.shape[1]] += own
    return sent


def _towards_senders(
    sent: Tensor, own: Tensor | None, outgoing: Tensor, chain: Tensor, skips: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The gradients of what nodes send and of the weights of their windows."""
    gradient, to_chain = torch.empty_like(outgoing), torch.zeros_like(chain)
    places, width = sent.shape[1:]
    # Without an N-th query nothing reads the last node.
    gradient[:, places - 1 :] = 0
    window, *others = torch.split(gradient, width, 2)
    torch.mul(sent[:, 1:], _weights(chain, 1, places), out=window[:, : places - 1])
    for distance in _distances(chain, places):
        read, weights = sent[:, distance:], _weights(chain, distance, places)
        if distance > 1:
            window[:, : places - distance].addcmul_(read, weights)
        products = read * outgoing[:, : places - distance, :width]
        total = products.sum() if len(chain) == 1 else products.sum((0, 2))[:, None]
        _weights(to_chain, distance, places).copy_(total)
    if skips is not None:
        part = others.pop(0).zero_()
        for distance, weights in _chosen(skips) if own is not None else ():
            part[:, :-distance].addcmul_(own[:, distance:], weights)  # type: ignore[index]
    for summary in others:
        _later(sent[:, 1:] / _counts(sent), summary[:, : places - 1])
    return gradient, to_chain


def _later(shares: Tensor, out: Tensor) -> None:
    """For each node the sum of the shares (B, N, d) of all places after it: that of all, without those before."""
    until = shares.cumsum(1)
    torch.sub(until[:, -1:], until, out=out)
    out += shares


def _distances(chain: Tensor, places: int) -> range:
    return range(1, min(chain.shape[1], places - 1) + 1)


def _weights(chain: Tensor, distance: int, places: int) -> Tensor:
    """The weights of one distance, (P - δ, 1), or (1, 1) where they are the same for all."""
    rows = slice(distance, places) if len(chain) > 1 else slice(1)
    return chain[rows, distance - 1, None]


def _chosen(skips: Tensor) -> list[tuple[int, Tensor]]:
    """Each distance from 2 on with its weights (B, N - δ, 1)."""
    distances = range(2, min(skips.shape[2] + 1, skips.shape[1] - 1) + 1)
    return [(distance, skips[:, distance:, distance - 2, None]) for distance in distances]


def _counts(part: Tensor) -> Tensor:
    """(P - 1, 1), how many nodes there are before each of P places but the first."""
    return torch.arange(1, part.shape[1], device=part.device, dtype=part.dtype)[:, None]


def _plus(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return first if second is None else second
    return first + second
