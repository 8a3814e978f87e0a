"""A Gaussian process over decisions whose kernel learns which options are alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gcnas.strategy.tokens import Rows

Floats = NDArray[np.float64]

ORDER = 0.8
"""Share of the first distance between two ordered tokens that depends on how far apart they are."""

MANY = 64
"""Tokens above which distances take less room than the cube of their number, at a little less precision."""

LEAST_VARIANCE = 1e-9
"""Variance of targets that are all the same."""


@dataclass(frozen=True)
class Belief:
    """Mean and standard deviation of the targets of some candidates, each (n)."""

    mean: Floats
    deviation: Floats

    def joined(self, other: "Belief") -> "Belief":
        """Belief about these candidates and others."""
        return Belief(
            np.concatenate([self.mean, other.mean]), np.concatenate([self.deviation, other.deviation])
        )


class LearnedKernelProcess:
    r"""Gaussian process over tokens.

    .. math:: k(x, y) = s^2 \exp(-\frac{1}{c} \sum_i w_i \lVert e(x_i) - e(y_i) \rVert_1) + s^2 \sigma^2 [x = y]

    over the tokens :math:`x_i` at all places and slots. The vectors e of a slot's tokens are shared by all places and
    start such that any two tokens have distance 1 (Hamming), or where tokens are ordered numbers a distance that grows
    with the difference of their ranks, up to 1; w is a weight for each place and slot. All are fitted by maximum a
    posteriori with priors log w ~ N(0, 0.5²), e ~ N(start, 0.25²), log c ~ N(log 2.5, 1), log σ² ~ N(log 0.05, 1.5²);
    s² is in closed form.

    Args:
        sizes: Number of tokens of each of the J kinds of decisions at a place.
        places: N.
        ranks: For each kind, the ranks of all tokens but the first where they are ordered, else None.
    """

    def __init__(
        self, sizes: Sequence[int], places: int, ranks: Sequence[Sequence[int] | None] | None = None
    ) -> None:
        double = torch.float64
        orders = ranks or [None] * len(sizes)
        self._starts = [start_vectors(size, order) for size, order in zip(sizes, orders, strict=True)]
        self.vectors = [start.clone().requires_grad_() for start in self._starts]
        self.weights = torch.zeros(len(sizes), places, dtype=double, requires_grad=True)
        self.scale = torch.tensor(math.log(2.5), dtype=double, requires_grad=True)
        self.noise = torch.tensor(math.log(0.05), dtype=double, requires_grad=True)
        self.optimizer = torch.optim.Adam([*self.vectors, self.weights, self.scale, self.noise], lr=0.05)
        self._known: list[Tensor] = []
        self._factor = self._solved = torch.zeros(0, dtype=double)
        self._variance = 1.0

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Everything that is fitted, by name."""
        named = {f"vectors.{index}": vector for index, vector in enumerate(self.vectors)}
        return named | {"weights": self.weights, "scale": self.scale, "noise": self.noise}

    def fit(self, tokens: Rows, targets: Floats, steps: int) -> None:
        """Take some steps towards the maximum a posteriori, and condition on the evaluations.

        Args:
            tokens: (n, N, J).
            targets: (n), about standard normal.
            steps: Number of steps.
        """
        self._known = self._one_hot(tokens)
        y = torch.from_numpy(targets)
        # Targets that are all the same tell nothing about the kernel.
        for _ in range(steps if np.ptp(targets) else 0):
            loss = self._loss(y)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        with torch.no_grad():
            self._condition(y)

    def _loss(self, y: Tensor) -> Tensor:
        factor = self._factorised()
        solved = torch.cholesky_solve(y[:, None], factor)[:, 0]
        variance = ((y @ solved) / len(y)).clamp(min=LEAST_VARIANCE)
        data = 0.5 * len(y) * torch.log(variance) + factor.diagonal().log().sum()
        prior = 0.5 * (self.weights / 0.5).square().sum() + 0.5 * (self.scale - math.log(2.5)).square()
        prior = prior + 0.5 * ((self.noise - math.log(0.05)) / 1.5).square()
        for vector, start in zip(self.vectors, self._starts, strict=True):
            prior = prior + 0.5 * ((vector - start) / 0.25).square().sum()
        return data + prior

    def _factorised(self) -> Tensor:
        kernel = self._kernel(self._known)
        diagonal = self.noise.exp() + 1e-6
        factor: Tensor = torch.linalg.cholesky(kernel + diagonal * torch.eye(len(kernel), dtype=kernel.dtype))
        return factor

    def _condition(self, y: Tensor) -> None:
        self._factor = self._factorised()
        self._solved = torch.cholesky_solve(y[:, None], self._factor)[:, 0]
        self._variance = max(float(y @ self._solved) / len(y), LEAST_VARIANCE)

    @torch.no_grad()
    def predict(self, tokens: Rows) -> Belief:
        """Belief about the noise-free targets of tokens (n, N, J)."""
        cross = self._kernel(self._one_hot(tokens))
        mean = cross @ self._solved
        half = torch.linalg.solve_triangular(self._factor, cross.T, upper=False)
        variance = self._variance * (1.0 - half.square().sum(0)).clamp(min=1e-9)
        return Belief(mean.numpy(), variance.sqrt().numpy())

    def _kernel(self, rows: list[Tensor]) -> Tensor:
        """Correlation (n, n') of rows with the known evaluations."""
        distance = torch.zeros((), dtype=torch.float64)
        for index, (vector, left, right) in enumerate(zip(self.vectors, rows, self._known, strict=True)):
            table = _distances(vector)
            spread = (left @ table) * self.weights[index].exp()[:, None]
            distance = distance + spread.flatten(1) @ right.flatten(1).T
        return torch.exp(-distance / self.scale.exp())

    def _one_hot(self, tokens: Rows) -> list[Tensor]:
        """For each slot (n, N, T)."""
        whole = torch.from_numpy(tokens.astype(np.int64))
        return [
            torch.nn.functional.one_hot(whole[..., slot], len(vector)).double()
            for slot, vector in enumerate(self.vectors)
        ]


def _distances(vectors: Tensor) -> Tensor:
    """L1 distances (T, T) of vectors (T, D)."""
    if len(vectors) > MANY:
        return torch.cdist(vectors, vectors, p=1.0)
    return (vectors[:, None] - vectors[None]).abs().sum(-1)


def start_vectors(size: int, ranks: Sequence[int] | None) -> Tensor:
    """Vectors of tokens whose L1 distances are 1, or for ordered tokens smaller the nearer their ranks are.

    Token 0, what is not there, is 1 away from all others.

    Args:
        size: T.
        ranks: Rank of each of the tokens 1 to T - 1; None if they have no order.

    Returns:
        (T, D) for some D.
    """
    apart = torch.eye(size, dtype=torch.float64) / 2
    if ranks is None:
        return apart
    steps = max(ranks)
    climbed = torch.tensor([[0.5] * steps, *([float(rank > step) for step in range(steps)] for rank in ranks)])
    absent = torch.tensor([[0.5], *[[0.0]] * len(ranks)])
    ordered = torch.cat([climbed / steps, absent], 1).double()
    return torch.cat([(1 - ORDER) * apart, ORDER * ordered], 1)
