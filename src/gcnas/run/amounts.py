"""Choosing how much training candidates and the delivered network get."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from gcnas.config import RunConfig
from gcnas.export.onnx_extra import missing_packages
from gcnas.records import Fidelity
from gcnas.run.rungs import rungs

CANDIDATE_IMAGES = {"full": 40_000, "rungs": 120_000}
"""Images that a candidate sees in its full training, unless the budget or the size of the data says otherwise.

With rungs few candidates get so much, so the whole search costs less than with the same training for all.
"""

FINAL_IMAGES = 400_000
"""Images that the delivered network sees, where no wall clock rules."""

FINAL_IMAGES_IN_TIME = 1_200_000
"""Images for which a wall clock keeps time; more than these change little (see ``benchmarks/final_epochs.py``)."""

STRETCH = 2
"""The final training goes on to so many times the passes for which time is kept, where more of it is left over."""

CANDIDATE_EPOCHS = {"full": (3, 30), "rungs": (3, 90)}
FINAL_EPOCHS = (20, 300)

CANDIDATES_IN_TIME = {"full": 8, "rungs": 5}
"""A wall clock for the search is cut into so many full trainings at the first reference's speed.

With rungs that is three or four that are trained to the end, and what the lower rungs take.

Many candidates with a few epochs each would choose networks that learn fast and end low (see
``benchmarks/product.py``).
"""

TRAININGS_OF_WORKER = {"full": 6, "rungs": 4}
"""Each of several workers has time for at least so many full trainings, so that the first reference stays clear of the
time limit of an evaluation; on rungs none does a full training at a stretch."""

LEEWAY = 1.5
"""The passes for which time is kept are expected to take so many times as long as they take the first reference with
the search-train images: it sees the validation images as well, and the network may be slower."""

LONGEST_CANDIDATE = 1 / 4
"""No candidate takes more than this share of the search's wall clock."""

GRACE = 0.1
"""A candidate under way may run past the end of the search by this share of it."""

RESERVE_SHARE = 0.06
"""Share of the wall clock left, when the final training begins, that is kept for test, files and report."""

RESERVE_SECONDS = 3.0
"""The least of it."""

ONNX_SECONDS = 5.0
"""What it takes besides to import the packages of the extra ``onnx`` and to write the ONNX file."""

ONNX_SHARE = 0.2
"""Share of a short wall clock that may be kept for that; a longer training is worth more than punctuality."""


@dataclass(frozen=True)
class Amounts:
    """How much training things get.

    Attributes:
        epochs: Of a candidate's full training.
        final_epochs: Of the final training; where a wall clock rules, those for which time is kept at most.
        search_seconds: Wall clock of the search; None without one.
        candidate_seconds: Time limit of one candidate; None for none.
        speed: Images a second of the first reference in a worker; None where it was not measured.
        final_speed: The same with all threads of the run; None where it was not measured or is no other.
        stretched: Whether a final training goes on to :data:`STRETCH` times its passes while its wall clock lasts.
    """

    epochs: int
    final_epochs: int
    search_seconds: float | None = None
    candidate_seconds: float | None = None
    speed: float | None = None
    final_speed: float | None = None
    stretched: bool = False

    def most_final_epochs(self, timed: bool) -> int:
        """Passes that a final training may make.

        Args:
            timed: Whether it has a wall clock.
        """
        return STRETCH * self.final_epochs if timed and self.stretched else self.final_epochs


def choose_amounts(
    config: RunConfig,
    images: int,
    images_per_second: Callable[[], float],
    workers: int = 1,
    final_images_per_second: Callable[[], float] | None = None,
) -> Amounts:
    """Amounts for a data set and a budget.

    Args:
        config: The configuration; what it fixes is kept.
        images: Images in the search-train split.
        images_per_second: Measures how fast the first reference design trains; called only where a wall clock
            rules.
        workers: Candidates trained at once, each at that speed.
        final_images_per_second: Measures how fast the design trains in the final training; called only where that may
            end before its time. None where it is no faster.
    """
    images_per_second = cache(images_per_second)
    final = None if final_images_per_second is None else cache(final_images_per_second)
    if config.fidelity == "rungs":
        amounts = _amounts(config, "rungs", images, images_per_second, workers, final)
        if len(rungs(Fidelity(amounts.epochs), max(1, images // config.batch_size))) > 1:
            return amounts
    # Where there is time for one rung only, every candidate gets the same.
    return _amounts(config, "full", images, images_per_second, workers, final)


def _amounts(
    config: RunConfig,
    fidelity: str,
    images: int,
    images_per_second: Callable[[], float],
    workers: int,
    final_images_per_second: Callable[[], float] | None,
) -> Amounts:
    epochs = config.epochs or _clamp(CANDIDATE_IMAGES[fidelity] / images, CANDIDATE_EPOCHS[fidelity])
    final_images = FINAL_IMAGES if config.budget.seconds is None else FINAL_IMAGES_IN_TIME
    final_epochs = config.final_epochs or _clamp(final_images / images, FINAL_EPOCHS)
    if config.budget.seconds is None:
        return Amounts(epochs, final_epochs, candidate_seconds=config.candidate_seconds)
    speed = images_per_second()
    # What the final training cannot use, the search can.
    budget, seen = config.budget.seconds, LEEWAY * final_epochs * images
    share, needed = config.final_share * budget, partial(_needed, budget=budget, onnx=config.onnx)
    final_speed = None
    if final_images_per_second is not None and needed(seen / (speed * workers)) < share:
        final_speed = final_images_per_second()
    search_seconds = budget - min(share, needed(seen / (final_speed or speed)))
    if config.epochs is None:
        trainings = CANDIDATES_IN_TIME[fidelity]
        of_worker = trainings if workers == 1 else max(trainings / workers, TRAININGS_OF_WORKER[fidelity])
        # As long as a limit of the user's own would follow from.
        time = min(search_seconds, (config.candidate_seconds or math.inf) / LONGEST_CANDIDATE)
        affordable = time / of_worker * speed / images
        epochs = min(epochs, max(1, int(affordable)))
    limit = config.candidate_seconds or search_seconds * LONGEST_CANDIDATE
    stretched = config.final_epochs is None
    return Amounts(epochs, final_epochs, search_seconds, limit, speed, final_speed, stretched)


def _needed(training: float, *, budget: float, onnx: bool) -> float:
    """Seconds of a budget that leave a final training its own, however late a candidate of the search ends.

    Args:
        training: Seconds of training.
        budget: Seconds of the run.
        onnx: Whether an ONNX file is asked for.
    """
    # The least of which :func:`reserve` leaves as much.
    whole = max(training + RESERVE_SECONDS, training / (1 - RESERVE_SHARE))
    if _writes_onnx(onnx=onnx):
        whole = max(whole, min(training + RESERVE_SECONDS + ONNX_SECONDS, training / (1 - ONNX_SHARE)))
    return (whole + GRACE * budget) / (1 + GRACE)


def reserve(seconds: float, *, onnx: bool) -> float:
    """Seconds of the wall clock of a final training that are not for training.

    Args:
        seconds: What is left when it begins.
        onnx: Whether an ONNX file is asked for.
    """
    plain = max(RESERVE_SECONDS, RESERVE_SHARE * seconds)
    if not _writes_onnx(onnx=onnx):
        return plain
    return max(plain, min(RESERVE_SECONDS + ONNX_SECONDS, ONNX_SHARE * seconds))


def _writes_onnx(*, onnx: bool) -> bool:
    return onnx and not missing_packages()


def _clamp(value: float, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(bounds[1], round(value)))
