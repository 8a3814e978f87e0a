"""Fitting a latency model to networks of a space, measured on this device."""

import time
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch

from gcnas.config import RunConfig
from gcnas.errors import ConfigurationError, ExportError, GCNASError
from gcnas.export.onnx_extra import INSTALL, missing_packages
from gcnas.export.onnx_model import unchecked_onnx
from gcnas.export.onnx_session import OnnxClassifier
from gcnas.export.pixels_in import made_images
from gcnas.export.refusal import refused
from gcnas.export.timing import processor_name, time_undisturbed
from gcnas.network import build
from gcnas.records import Architecture, Limits
from gcnas.space import LatencyModel, SearchSpace
from gcnas.space.latency import features, fit_latency, held_out_errors
from gcnas.strategy import create_strategy

SHARE = 0.06
"""Of a wall clock, that measuring may take: 36 seconds of ten minutes, some 50 networks."""

MOST_SECONDS = 60.0
"""That it takes at most, also without a wall clock."""

NETWORKS = (24, 96)
"""Fewest and most networks; the fewest are measured however long that takes, since less cannot be fitted."""

EXPORT_SHARE = 0.7
"""Of these seconds, that writing the networks as ONNX takes; the rest is for timing them."""


def check_extra() -> None:
    """See to it that latencies can be measured.

    Raises:
        ConfigurationError: If the extra ``onnx`` is missing.
    """
    if missing := missing_packages():
        raise ConfigurationError(
            f"A limit or a target on latency needs ONNX Runtime, but {', '.join(missing)} is not installed: {INSTALL}"
        )


def calibrate(space: SearchSpace, *, threads: int, seconds: float, seed: int) -> LatencyModel:
    """Measure networks of a space with ONNX Runtime, and fit a model to them.

    The networks are the reference designs and random ones, within all limits but that on latency. What is measured is
    the median of one image, in the least disturbed of three rounds.

    Args:
        space: Fitted space.
        threads: CPU threads of the measurements.
        seconds: What all this may take; more only for the fewest networks that can be fitted.
        seed: Of the random networks.

    Raises:
        ConfigurationError: If the extra ``onnx`` is missing or hardly any network can be written as ONNX.
    """
    check_extra()
    start = time.monotonic()
    networks, sessions = _sessions(space, threads, start + EXPORT_SHARE * seconds, seed)
    image = made_images(_image_shape(space), 1)
    each = (1 - EXPORT_SHARE) * seconds / len(sessions)
    timings = time_undisturbed([partial(session, image) for session in sessions], seconds=each)
    milliseconds = [timing.milliseconds(50) for timing in timings]
    stem = space.stem.output_shape(space.fitted)
    rows = [features(stem, space.plan(network)) for network in networks]
    errors = held_out_errors(rows, milliseconds)
    return LatencyModel(
        weights=fit_latency(rows, milliseconds),
        networks=len(rows),
        median_error=float(np.median(errors)),
        p95_error=float(np.percentile(errors, 95)),
        threads=threads,
        device=processor_name(),
        runtime=f"ONNX Runtime {_runtime_version()}",
        seconds=time.monotonic() - start,
    )


def measured_latency(space: SearchSpace, network: Architecture, threads: int) -> float:
    """Median milliseconds of one image, as for the networks that a latency model is fitted to.

    Args:
        space: Fitted space.
        network: The network; its weights do not matter.
        threads: CPU threads.

    Raises:
        ExportError: If it cannot be written as ONNX, or ONNX Runtime does not run it.
    """
    content = _untrained(space, network)
    with refused("ONNX Runtime does not run the network"):
        session = OnnxClassifier(content, threads)
        (timing,) = time_undisturbed([partial(session, made_images(_image_shape(space), 1))])
    return timing.milliseconds(50)


def calibration_seconds(config: RunConfig) -> float:
    """What measuring may take of a run's budget."""
    budget = config.budget.seconds
    return MOST_SECONDS if budget is None else min(MOST_SECONDS, SHARE * budget)


def _sessions(
    space: SearchSpace, threads: int, deadline: float, seed: int
) -> tuple[Sequence[Architecture], Sequence[OnnxClassifier]]:
    """Networks, and what runs each, until the deadline or the most that are wanted."""
    least, most = NETWORKS
    networks: list[Architecture] = []
    sessions: list[OnnxClassifier] = []
    reason = "the space has no more within the limits."
    for network in _candidates(space, seed, 4 * most):
        if len(networks) == most or (len(networks) >= least and time.monotonic() > deadline):
            break
        try:
            session = OnnxClassifier(_untrained(space, network), threads)
            session(made_images(_image_shape(space), 1))
            sessions.append(session)
        except ExportError as error:
            reason = str(error)
            continue
        except GCNASError:
            raise
        except Exception as error:  # noqa: BLE001 - layer types of users are foreign code
            reason = f"{type(error).__name__}: {error}"
            continue
        networks.append(network)
    if len(networks) < least:
        raise ConfigurationError(
            f"Predicting latency needs {least} networks to measure, but there are {len(networks)}: {reason} "
            "Search without a limit or a target on latency, and measure with 'gcnas benchmark'."
        )
    return networks, sessions


def _candidates(space: SearchSpace, seed: int, most: int) -> Iterator[Architecture]:
    """Reference designs, then random networks, each once."""
    limits = space.limits
    others = Limits(limits.parameters, limits.multiply_adds, limits.activations, limits.size)
    free = space.fit(space.fitted, others)
    designs = [design(free) for design in free.references.values()]
    seen: set[Architecture | None] = {None}
    drawn = create_strategy("random", free, seed)
    for network in [*designs, *(drawn.ask(1)[0].architecture for _ in range(most))]:
        if network is not None and network not in seen and free.violation(network) is None:
            seen.add(network)
            yield network


def _untrained(space: SearchSpace, network: Architecture) -> bytes:
    channels = space.fitted.channels
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = build(space, network, (0.5,) * channels, (0.25,) * channels)
    return unchecked_onnx(module, _image_shape(space))


def _image_shape(space: SearchSpace) -> tuple[int, int, int]:
    image = space.fitted
    return image.channels, image.height, image.width


def _runtime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)
