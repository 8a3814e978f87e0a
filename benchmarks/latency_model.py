"""How well a run's latency model predicts networks that it never saw, and in the right order.

    python benchmarks/latency_model.py [--out FILE]

For each shape of images a model is fitted as a search with a budget of ten minutes fits it (seed 0), and held
against 40 other random networks of the space (seed 1), measured in the same way afterwards.
"""

import argparse
import os
from functools import partial
from pathlib import Path

import numpy as np
from jobs import replace_rows
from scipy.stats import spearmanr

from gcnas.config import RunConfig
from gcnas.export.onnx_model import unchecked_onnx
from gcnas.export.onnx_session import OnnxClassifier
from gcnas.export.pixels_in import made_images
from gcnas.export.timing import time_undisturbed
from gcnas.network import build
from gcnas.records import Limits
from gcnas.run.calibration import calibrate, calibration_seconds
from gcnas.space import InputShape
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy

SHAPES = ((1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 48, 48))
FRESH = 40
RESULTS = Path(__file__).parent / "results" / "latency_model.csv"


def measure(shape: tuple[int, int, int]) -> list[dict[str, object]]:
    channels, height, width = shape
    space = CNN.fit(InputShape(channels, height, width, 10), Limits(parameters=200_000))
    seconds = calibration_seconds(RunConfig.create(data="digits", budget="10m"))
    model = calibrate(space, threads=1, seconds=seconds, seed=0)
    networks = [proposal.architecture for proposal in RandomStrategy(space, 1).ask(FRESH)]
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    files = [unchecked_onnx(build(space, network, zeros, ones), shape) for network in networks]
    image = made_images(shape, 1)
    timings = time_undisturbed([partial(OnnxClassifier(file, 1), image) for file in files])
    stem = space.stem.output_shape(space.fitted)
    return [
        {
            "image": "x".join(map(str, shape)),
            "networks": model.networks,
            "seconds": round(model.seconds, 1),
            "held_out_median": round(model.median_error, 4),
            "held_out_p95": round(model.p95_error, 4),
            "fingerprint": network.fingerprint,
            "predicted_ms": model.predict(stem, space.plan(network)),
            "measured_ms": timing.milliseconds(50),
            "load": round(os.getloadavg()[0], 1),
            "device": model.device,
            "runtime": model.runtime,
        }
        for network, timing in zip(networks, timings, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for shape in SHAPES:
        found = measure(shape)
        predicted, measured = (
            np.array([row[name] for row in found]) for name in ("predicted_ms", "measured_ms")
        )
        errors = np.abs(predicted / measured - 1)
        print(
            f"{found[0]['image']}: {found[0]['networks']} networks in {found[0]['seconds']} s; held out: median "
            f"{found[0]['held_out_median']:.1%}, p95 {found[0]['held_out_p95']:.1%}; {FRESH} fresh ones: median "
            f"{np.median(errors):.1%}, p95 {np.percentile(errors, 95):.1%}, rank correlation "
            f"{spearmanr(predicted, measured).statistic:.3f}, {measured.min():.3g} to {measured.max():.3g} ms",
            flush=True,
        )
        rows += found
    replace_rows(options.out, list(rows[0]), rows)


if __name__ == "__main__":
    main()
