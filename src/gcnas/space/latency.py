"""The latency of a network, predicted layer by layer from its specification."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from gcnas.errors import ConfigurationError
from gcnas.space.layer_type import MERGE
from gcnas.space.plan import LayerPlan
from gcnas.space.shape import Shape

FOLDS = 4
"""Parts of the measured networks; the error is that on each part of a model fitted on the others."""

SHRINKAGE = 1e-2
"""Pulls weights that the measurements do not tell apart towards 0, relative to the fit."""

CONSTANT = "constant"


@dataclass(frozen=True)
class LatencyModel:
    """Milliseconds as a sum over the layers of a network, with weights from measurements.

    Attributes:
        weights: Milliseconds of a unit of each feature (see :func:`features`).
        networks: How many networks were measured.
        median_error: Median of ``|predicted / measured - 1|`` on networks that the model was not fitted on.
        p95_error: 95th percentile of it.
        threads: CPU threads of the measurements.
        device: Name of the processor.
        runtime: What ran the networks.
        seconds: What measuring took.
    """

    weights: Mapping[str, float]
    networks: int
    median_error: float
    p95_error: float
    threads: int
    device: str
    runtime: str
    seconds: float

    def predict(self, stem: Shape, plans: Sequence[LayerPlan]) -> float:
        """Milliseconds of one image.

        Args:
            stem: Shape of the stem's output.
            plans: Of the layers.
        """
        return sum(self.weights.get(name, 0.0) * value for name, value in features(stem, plans).items())

    @property
    def sentence(self) -> str:
        """How well it predicts, in words."""
        return (
            f"Latency model: median error {self.median_error:.0%}, 95 % of errors within {self.p95_error:.0%}, on "
            f"networks that it was not fitted on ({self.networks} measured in {self.seconds:.0f} s with "
            f"{self.runtime}, {self.threads} thread{'s' * (self.threads > 1)}, {self.device})."
        )

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read the JSON form.

        Raises:
            ConfigurationError: If it is none.
        """
        try:
            weights = {str(name): float(value) for name, value in data["weights"].items()}
            kinds = {"networks": int, "threads": int, "device": str, "runtime": str}
            rest = {
                field.name: kinds.get(field.name, float)(data[field.name])
                for field in fields(cls)
                if field.name != "weights"
            }
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ConfigurationError(f"This is no latency model: {error!r}.") from error
        return cls(weights=weights, **rest)


def features(stem: Shape, plans: Sequence[LayerPlan]) -> dict[str, float]:
    """What the time of a network depends on: for each layer type, sums over its layers.

    These are the number of layers, multiply-adds, and numbers written (output and what lives inside); likewise for the
    merging of inputs; numbers written by layers with each option that is a word (an activation); and 1 for what all
    networks share. Parameters are left out: beside these they made predictions worse.

    Args:
        stem: Shape of the stem's output.
        plans: Of the layers.
    """
    found = {CONSTANT: 1.0}

    def add(name: str, value: float) -> None:
        found[name] = found.get(name, 0.0) + value

    for plan in plans:
        kind, merging = plan.layer.type, plan.merge.cost
        add(f"{kind}: layers", 1)
        add(f"{kind}: multiply-adds", plan.cost.multiply_adds - merging.multiply_adds)
        written = plan.output.numbers + plan.cost.activations
        add(f"{kind}: written", written)
        for name, value in plan.layer.hyperparameters:
            if isinstance(value, str) and name != MERGE:
                add(f"{name} {value}: written", written)
        if len(plan.layer.inputs) > 1:
            add("merging: inputs", len(plan.layer.inputs) - 1)
            add("merging: multiply-adds", merging.multiply_adds)
            add("merging: written", plan.merge.output.numbers)
    add("head: read", (plans[-1].output if plans else stem).numbers)
    return found


def fit_latency(rows: Sequence[Mapping[str, float]], milliseconds: Sequence[float]) -> dict[str, float]:
    """Weights that are not negative, by least squares of the relative errors (Lawson and Hanson 1974).

    Args:
        rows: Features of each network.
        milliseconds: What each took.
    """
    from scipy.optimize import nnls  # slow to import, and most runs have no use for it

    names = sorted({name for row in rows for name in row})
    matrix = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    matrix /= np.asarray(milliseconds)[:, None]
    scale = np.sqrt((matrix**2).mean(0)).clip(1e-12)
    shrink = np.sqrt(SHRINKAGE * len(rows)) * np.eye(len(names))
    system = np.concatenate([matrix / scale, shrink])
    target = np.concatenate([np.ones(len(rows)), np.zeros(len(names))])
    return dict(zip(names, (nnls(system, target)[0] / scale).tolist(), strict=True))


def held_out_errors(rows: Sequence[Mapping[str, float]], milliseconds: Sequence[float]) -> np.ndarray:
    """For each network ``|predicted / measured - 1|`` by the weights that the other folds gave."""
    errors = np.empty(len(rows))
    for fold in range(FOLDS):
        known = [index for index in range(len(rows)) if index % FOLDS != fold]
        weights = fit_latency([rows[i] for i in known], [milliseconds[i] for i in known])
        for index in range(fold, len(rows), FOLDS):
            predicted = sum(weights.get(name, 0.0) * value for name, value in rows[index].items())
            errors[index] = abs(predicted / milliseconds[index] - 1)
    return errors
