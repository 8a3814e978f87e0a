"""Choosing how much training candidates and the delivered network get."""

from collections.abc import Callable
from dataclasses import dataclass

from gcnas.config import RunConfig

CANDIDATE_IMAGES = 40_000
"""Images that a candidate sees in its training, unless the budget or the size of the data says otherwise."""

FINAL_IMAGES = 400_000
"""Images that the delivered network sees, where no wall clock rules."""

MOST_FINAL_IMAGES = 1_200_000
"""The most that it sees where one does."""

CANDIDATE_EPOCHS = (3, 30)
FINAL_EPOCHS = (20, 300)

CANDIDATES_IN_TIME = 8
"""A wall clock for the search is cut into so many candidates of the first reference's speed.

Many candidates with a few epochs each would choose networks that learn fast and end low (see
``benchmarks/product.py``).
"""

CANDIDATES_OF_WORKER = 6
"""Each of several workers gets at least so many, so that the first reference stays clear of the time limit."""

LONGEST_CANDIDATE = 1 / 4
"""No candidate takes more than this share of the search's wall clock."""


@dataclass(frozen=True)
class Amounts:
    """How much training things get.

    Attributes:
        epochs: Of each candidate.
        final_epochs: Of the final training, or its most where a wall clock rules.
        search_seconds: Wall clock of the search; None without one.
        candidate_seconds: Time limit of one candidate; None for none.
    """

    epochs: int
    final_epochs: int
    search_seconds: float | None = None
    candidate_seconds: float | None = None


def choose_amounts(
    config: RunConfig, images: int, images_per_second: Callable[[], float], workers: int = 1
) -> Amounts:
    """Amounts for a data set and a budget.

    Args:
        config: The configuration; what it fixes is kept.
        images: Images in the search-train split.
        images_per_second: Measures how fast the first reference design trains; called only where a wall clock
            rules.
        workers: Candidates trained at once, each at that speed.
    """
    epochs = config.epochs or _clamp(CANDIDATE_IMAGES / images, CANDIDATE_EPOCHS)
    final_images = FINAL_IMAGES if config.budget.seconds is None else MOST_FINAL_IMAGES
    final_epochs = config.final_epochs or _clamp(final_images / images, FINAL_EPOCHS)
    if config.budget.seconds is None:
        return Amounts(epochs, final_epochs, candidate_seconds=config.candidate_seconds)
    search_seconds = config.budget.seconds * (1 - config.final_share)
    if config.epochs is None:
        of_worker = (
            CANDIDATES_IN_TIME if workers == 1 else max(CANDIDATES_IN_TIME / workers, CANDIDATES_OF_WORKER)
        )
        affordable = search_seconds / of_worker * images_per_second() / images
        epochs = min(epochs, max(1, int(affordable)))
    limit = config.candidate_seconds or search_seconds * LONGEST_CANDIDATE
    return Amounts(epochs, final_epochs, search_seconds, limit)


def _clamp(value: float, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(bounds[1], round(value)))
