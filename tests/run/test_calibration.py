import sys

import pytest

from gcnas.config import RunConfig
from gcnas.errors import ConfigurationError
from gcnas.run import calibration
from gcnas.run.calibration import MOST_SECONDS, calibrate, calibration_seconds
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import CNN

SPACE = CNN.fit(InputShape(1, 8, 8, 3))


def test_networks_of_the_space_are_measured_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "NETWORKS", (12, 12))
    model = calibrate(SPACE, threads=1, seconds=0.0, seed=0)
    assert model.networks == 12  # the fewest, although there was no time for any
    assert 0 < model.median_error <= model.p95_error
    assert model.runtime.startswith("ONNX Runtime")
    small, large = (SPACE.references[name](SPACE) for name in ("vgg", "resnet9"))
    assert small is not None
    assert large is not None
    stem = SPACE.stem.output_shape(SPACE.fitted)
    for network in (small, large):
        assert 0 < model.predict(stem, SPACE.plan(network)) < 50


def test_time_is_a_share_of_the_budget() -> None:
    assert calibration_seconds(RunConfig.create(data="digits", budget="200")) == MOST_SECONDS
    assert calibration_seconds(RunConfig.create(data="digits", budget="10m")) == pytest.approx(36)
    assert calibration_seconds(RunConfig.create(data="digits", budget="10h")) == MOST_SECONDS


def test_without_the_extra_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigurationError, match=r"onnxruntime.*pip install 'gcnas\[onnx\]'"):
        calibrate(SPACE, threads=1, seconds=1.0, seed=0)


def test_a_space_too_small_to_fit_anything() -> None:
    tiny = SearchSpace("tiny", CNN.layer_types[4:], min_depth=1, max_depth=1).fit(InputShape(1, 8, 8, 3))
    with pytest.raises(
        ConfigurationError, match="24 networks to measure, but there are 4: the space has no more"
    ):
        calibrate(tiny, threads=1, seconds=1.0, seed=0)


def test_networks_that_cannot_be_built_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer types of users are foreign code."""
    monkeypatch.setattr(calibration, "NETWORKS", (3, 3))
    calls, build = [], calibration.build

    def sometimes(*given: object) -> object:
        calls.append(1)
        if len(calls) % 2:
            raise ValueError("a wrong shape")
        return build(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(calibration, "build", sometimes)
    assert calibrate(SPACE, threads=1, seconds=0.0, seed=0).networks == 3
    assert len(calls) == 6

    def never(*_: object) -> object:
        raise ValueError("a wrong shape")

    monkeypatch.setattr(calibration, "build", never)
    with pytest.raises(ConfigurationError, match=r"there are 0: ValueError: a wrong shape Search without"):
        calibrate(SPACE, threads=1, seconds=0.0, seed=0)
