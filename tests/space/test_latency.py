import json
from dataclasses import replace

import numpy as np
import pytest

from gcnas.errors import ConfigurationError
from gcnas.records import Limits
from gcnas.space import InputShape, LatencyModel
from gcnas.space.latency import CONSTANT, features, fit_latency, held_out_errors
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy

SPACE = CNN.fit(InputShape(3, 32, 32, 10), Limits(parameters=200_000))
STEM = SPACE.stem.output_shape(SPACE.fitted)
NETWORKS = [proposal.architecture for proposal in RandomStrategy(SPACE, 0).ask(60)]
ROWS = [features(STEM, SPACE.plan(network)) for network in NETWORKS]
MODEL = LatencyModel(
    {CONSTANT: 0.01, "conv2d: layers": 0.1}, 60, 0.1, 0.3, 2, "a processor", "ONNX Runtime 1", 9.0
)


def test_features_are_sums_over_the_layers() -> None:
    for network, row in zip(NETWORKS, ROWS, strict=True):
        plans = SPACE.plan(network)
        assert sum(value for name, value in row.items() if name.endswith(": layers")) == len(plans)
        macs = sum(value for name, value in row.items() if name.endswith(": multiply-adds"))
        assert macs == sum(plan.cost.multiply_adds for plan in plans)
        assert row[CONSTANT] == 1


def test_a_linear_truth_is_found() -> None:
    truth = {CONSTANT: 0.005, "conv2d: multiply-adds": 1e-7, "residual_block: layers": 0.02, "head: read": 1e-6}
    times = [sum(truth.get(name, 0.0) * value for name, value in row.items()) for row in ROWS]
    weights = fit_latency(ROWS, times)
    assert all(weight >= 0 for weight in weights.values())
    assert np.median(held_out_errors(ROWS, times)) < 0.05


def test_error_is_that_on_networks_not_fitted_on() -> None:
    """Times that have nothing to do with the networks are fitted somewhat, but cannot be predicted."""
    times = np.random.default_rng(0).lognormal(size=len(ROWS)).tolist()
    weights = fit_latency(ROWS, times)
    fitted = [
        sum(weights.get(n, 0.0) * v for n, v in row.items()) / t - 1 for row, t in zip(ROWS, times, strict=True)
    ]
    assert np.median(held_out_errors(ROWS, times)) > np.median(np.abs(fitted))


def test_space_with_a_model_predicts_and_holds_the_limit() -> None:
    space = replace(SPACE, latency_model=MODEL, limits=Limits(latency=0.15))
    for network in NETWORKS:
        convolutions = sum(layer.type == "conv2d" for layer in network.layers)
        assert space.cost(network).latency == pytest.approx(0.01 + 0.1 * convolutions)
        assert (space.violation(network) is None) == (convolutions < 2)
    assert SPACE.cost(NETWORKS[0]).latency is None


def test_json_round_trip() -> None:
    assert LatencyModel.from_json(json.loads(json.dumps(MODEL.to_json()))) == MODEL
    assert "2 threads, a processor" in MODEL.sentence


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {},
        MODEL.to_json() | {"weights": 3},
        {"weights": {"constant": "x"}},
        MODEL.to_json() | {"networks": float("inf")},
    ],
)
def test_what_is_no_model_is_refused(broken: object) -> None:
    with pytest.raises(ConfigurationError, match="no latency model"):
        LatencyModel.from_json(broken)
