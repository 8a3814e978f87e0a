"""Gaussian process regression on covariances, whatever kernel they come from."""

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


class GaussianProcess:
    r"""A Gaussian process with mean 0, conditioned on noisy values.

    The covariance of the values is :math:`s^2 (K + \sigma^2 I)`. The scale :math:`s^2` is the one of greatest
    marginal likelihood, which has a closed form: :math:`y^T (K + \sigma^2 I)^{-1} y / N`.

    Args:
        covariance: K, ``(N, N)``, with ones on the diagonal.
        targets: y, ``(N,)``.
        noise: :math:`\sigma^2`, relative to the scale.

    Attributes:
        scale: :math:`s^2`.
        log_likelihood: Logarithm of the marginal likelihood of the targets.

    Raises:
        numpy.linalg.LinAlgError: If the covariance is not positive definite.
    """

    def __init__(self, covariance: Floats, targets: Floats, noise: float) -> None:
        n = len(targets)
        self._factor = np.linalg.cholesky(covariance + noise * np.eye(n))
        self._weights = cho_solve((self._factor, True), targets, check_finite=False)
        self.scale = max(float(targets @ self._weights) / n, 1e-12)
        half_determinant = float(np.log(self._factor.diagonal()).sum())
        self.log_likelihood = -0.5 * n * (math.log(2 * math.pi * self.scale) + 1) - half_determinant

    @cached_property
    def _whitening(self) -> Singles:
        identity = np.eye(len(self._factor))
        whitening: Singles = solve_triangular(self._factor, identity, lower=True, check_finite=False).T.astype(
            np.float32
        )
        return whitening

    def mean(self, cross: Singles) -> Floats:
        """Means at other points, ``(M,)``.

        Args:
            cross: Covariances with the points of the targets, ``(M, N)``.
        """
        means: Floats = cross @ self._weights.astype(np.float32)
        return means.astype(np.float64)

    def deviation(self, cross: Singles) -> Floats:
        """Standard deviations at other points without noise, ``(M,)``.

        They are computed in single precision, which is accurate to about 0.001 of the prior's deviation.

        Args:
            cross: As for :meth:`mean`; the covariance of a point with itself is taken to be one.
        """
        whitened = cross @ self._whitening
        explained = np.einsum("mn,mn->m", whitened, whitened).astype(np.float64)
        deviations: Floats = np.sqrt(self.scale * np.maximum(1.0 - explained, 1e-9))
        return deviations
