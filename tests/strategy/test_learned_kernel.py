import math

import numpy as np
import pytest
import torch

from gcnas.strategy.learned_kernel import LearnedKernelProcess, start_vectors

SIZES, PLACES = (4, 3), 3


def tokens(count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.stack([random.integers(size, size=(count, PLACES)) for size in SIZES], -1).astype(np.int16)


def kernel(process: LearnedKernelProcess, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The formula, one pair and one decision after the other."""
    found = np.zeros((len(left), len(right)))
    vectors = [vector.detach().numpy() for vector in process.vectors]
    weights = process.weights.detach().exp().numpy()
    for i, x in enumerate(left):
        for j, y in enumerate(right):
            for place in range(PLACES):
                for slot in range(len(SIZES)):
                    gap = abs(vectors[slot][x[place, slot]] - vectors[slot][y[place, slot]]).sum()
                    found[i, j] += weights[slot, place] * gap
    return np.exp(-found / math.exp(float(process.scale.detach())))


@pytest.mark.parametrize("steps", [0, 5])
def test_belief_is_that_of_a_gaussian_process(steps: int) -> None:
    process, known, new = LearnedKernelProcess(SIZES, PLACES), tokens(12), tokens(7, seed=1)
    targets = np.random.default_rng(2).standard_normal(12)
    process.fit(known, targets, steps)
    noise = math.exp(float(process.noise.detach())) + 1e-6
    inverse = np.linalg.inv(kernel(process, known, known) + noise * np.eye(12))
    cross = kernel(process, new, known)
    variance = targets @ inverse @ targets / 12
    belief = process.predict(new)
    assert belief.mean == pytest.approx(cross @ inverse @ targets, abs=1e-8)
    expected = variance * (1 - np.einsum("ij,jk,ik->i", cross, inverse, cross))
    assert belief.deviation**2 == pytest.approx(expected, abs=1e-8)


def test_it_starts_with_hamming_distances() -> None:
    process, left, right = LearnedKernelProcess(SIZES, PLACES), tokens(5), tokens(6, seed=1)
    process.fit(right, np.zeros(6) + 1.0, steps=0)
    differ = (left[:, None] != right[None]).sum((2, 3))
    assert kernel(process, left, right) == pytest.approx(np.exp(-differ / 2.5))


def test_fitting_finds_the_decision_that_matters() -> None:
    process, known = LearnedKernelProcess(SIZES, PLACES), tokens(60)
    targets = (known[:, 1, 0] >= 2) - 0.5
    process.fit(known, targets, steps=150)
    weights = process.weights.detach()
    assert int(weights.flatten().argmax()) == 1, weights
    table = torch.cdist(process.vectors[0], process.vectors[0], p=1).detach()
    assert table[0, 1] < table[0, 2]
    assert table[2, 3] < table[1, 2]


def test_ordered_tokens_start_nearer_the_nearer_they_are() -> None:
    vectors = start_vectors(5, (2, 0, 1, 3))
    table = torch.cdist(vectors, vectors, p=1)
    assert table[0, 1:] == pytest.approx(np.ones(4))
    for first, second in [(1, 2), (1, 3), (1, 4), (2, 4)]:
        gap = abs((2, 0, 1, 3)[first - 1] - (2, 0, 1, 3)[second - 1])
        assert float(table[first, second]) == pytest.approx(0.2 + 0.8 * gap / 3)


def test_equal_targets_do_no_harm() -> None:
    process, known = LearnedKernelProcess(SIZES, PLACES), tokens(12)
    process.fit(known, np.zeros(12), steps=5)
    belief = process.predict(tokens(4, seed=1))
    assert np.isfinite(belief.mean).all()
    assert np.isfinite(belief.deviation).all()
