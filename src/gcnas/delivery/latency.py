"""The latency of the delivered network, measured, beside the one predicted."""

from functools import partial

from gcnas.export.onnx_session import OnnxClassifier
from gcnas.export.pixels_in import made_images
from gcnas.export.timing import time_undisturbed
from gcnas.run.context import Context
from gcnas.run.observer import Observer
from gcnas.run.trial import Trial


def measure_latency(context: Context, trial: Trial, onnx: bytes, observer: Observer) -> dict[str, float]:
    """Time single images on an ONNX file with the run's number of latency threads.

    Args:
        context: The run.
        trial: The network's trial.
        onnx: The file.
        observer: Told where the network takes longer than the limit, since the search could only predict.

    Returns:
        What ``metrics.json`` keeps: median and 95th percentile in milliseconds, the threads, and the prediction
        where there is one.
    """
    threads = context.config.latency_threads
    classify = OnnxClassifier(onnx, threads)
    image = made_images(context.dataset.image_shape, 1)
    (timing,) = time_undisturbed([partial(classify, image)])
    median, predicted = timing.milliseconds(50), trial.cost.latency
    found = {"latency_ms": median, "latency_p95_ms": timing.milliseconds(95), "latency_threads": threads}
    limit = context.space.limits.latency
    if limit is not None and median > limit:
        observer.note(
            f"The delivered network takes {median:.4g} ms, more than the limit of {limit:.4g} ms (predicted: "
            f"{predicted or 0:.4g}). Choose another one with 'gcnas finalize RUN --max-latency', or measure again on "
            "an idle machine with 'gcnas benchmark RUN'."
        )
    return found if predicted is None else found | {"latency_predicted_ms": predicted}
