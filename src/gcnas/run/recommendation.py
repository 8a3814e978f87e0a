"""Which network a run delivers."""

from collections.abc import Sequence

from gcnas.records import Limits
from gcnas.run.trial import Trial, best_trial

REFERENCE = "reference"
"""Source of the designs by people."""


def recommend(trials: Sequence[Trial], limits: Limits, validation_images: int) -> Trial | None:
    """The best trial, but a design by people unless the search clearly beat it.

    A score is an accuracy on so many validation images after a short training. The best of many such scores is
    too high by chance, so a searched network takes the place of the best reference design only if it is better by
    more than one standard error of a difference of two accuracies, sqrt(2 p (1 - p) / images).

    Args:
        trials: All trials.
        limits: Limits on what is delivered.
        validation_images: Images behind each score.
    """
    best = best_trial(trials, limits)
    reference = best_trial([trial for trial in trials if trial.proposal.source == REFERENCE], limits)
    if best is None or reference is None:
        return best
    margin = (2 * reference.score * (1 - reference.score) / validation_images) ** 0.5
    return best if best.score > reference.score + margin else reference
