"""The grown networks of a run: what their folders say."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcnas.errors import RunFolderError
from gcnas.files import read_json

MAX_SIZES = 20
"""Most sizes that are shown."""


MOST = 10**15
"""Larger numbers are no costs of a network."""


@dataclass(frozen=True)
class ScaledNetwork:
    """What ``scaled/phi-N/metrics.json`` says of one size.

    Attributes:
        phi: How far it is grown.
        trial: The trial of the network that was grown.
        growth: The coefficients in words; empty for the network itself.
        pixels: Height and width in words.
        depth: Layers.
        parameters: Parameters.
        multiply_adds: Multiply-adds for one image.
        epochs: Passes of its training.
        accuracy: On the validation split.
        test_accuracy: On the test split; None unless it was trained for delivery.
    """

    phi: int
    trial: int
    growth: str
    pixels: str
    depth: int
    parameters: int
    multiply_adds: int
    epochs: int
    accuracy: float
    test_accuracy: float | None


def scaled_networks(run: Path) -> list[ScaledNetwork]:
    """The grown networks of a run by size; folders that cannot be read are left out."""
    found = []
    for path in (run / "scaled").glob("phi-*"):
        if re.fullmatch(r"phi-\d{1,3}", path.name):
            try:
                found.append(_read(read_json(path / "metrics.json")))
            except (RunFolderError, KeyError, TypeError, ValueError, IndexError, OverflowError):
                continue
    return sorted(found, key=lambda network: network.phi)[:MAX_SIZES]


def _read(metrics: Any) -> ScaledNetwork:
    names = ("alpha", "beta", "gamma")
    origin = metrics["scaled_from"]
    growth = ", ".join(f"{name} {float(origin[name]):g}" for name in names) if "alpha" in origin else ""
    height, width = map(int, metrics["resolution"])
    accuracy, test = float(metrics["validation_accuracy"]), metrics.get("test_accuracy")
    if not 0 <= accuracy <= 1 or not (test is None or 0 <= float(test) <= 1):
        raise ValueError("an accuracy is a share")
    if not all(0 <= int(metrics[name]) <= MOST for name in ("depth", "parameters", "multiply_adds")):
        raise ValueError("a cost is a positive number of a real network")
    return ScaledNetwork(
        phi=int(metrics["phi"]),
        trial=int(origin["trial"]),
        growth=growth,
        pixels=f"{height}\u00d7{width}",
        depth=int(metrics["depth"]),
        parameters=int(metrics["parameters"]),
        multiply_adds=int(metrics["multiply_adds"]),
        epochs=int(origin["epochs"]),
        accuracy=accuracy,
        test_accuracy=None if test is None else float(test),
    )
