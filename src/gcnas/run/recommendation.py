"""Which network a run delivers."""

from collections.abc import Sequence
from statistics import mean

from gcnas.records import Limits
from gcnas.run.trial import Trial, decisive

REFERENCE = "reference"
"""Source of the designs by people."""


def recommend(trials: Sequence[Trial], limits: Limits, validation_images: int) -> Trial | None:
    """The best network, but a design by people unless the search clearly beat it.

    Only evaluations with the most training count (:func:`~gcnas.run.trial.decisive`). Where some networks were trained
    again with another seed, the decision is among them, by the mean of their scores.

    A score is an accuracy on so many validation images after a short training. The best of many such scores is
    too high by chance, so a searched network takes the place of the best reference design only if it is better by
    more than one standard error of a difference of two accuracies, sqrt(2 p (1 - p) / images).

    Args:
        trials: All trials.
        limits: Limits on what is delivered.
        validation_images: Images behind each score.

    Returns:
        The first trial of the network at that training; None if there is no complete one.
    """
    scores = _scores(decisive(trials, limits))
    best = _best(scores)
    reference = _best([(t, score) for t, score in scores if t.proposal.source == REFERENCE])
    if best is None or reference is None:
        return None if best is None else best[0]
    margin = (2 * reference[1] * (1 - reference[1]) / validation_images) ** 0.5
    return best[0] if best[1] > reference[1] + margin else reference[0]


def _scores(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """First trial and mean score of each network; of those repeated, if any were."""
    networks: dict[str, list[Trial]] = {}
    for trial in trials:
        networks.setdefault(trial.proposal.fingerprint, []).append(trial)
    repeated = [group for group in networks.values() if len(group) > 1]
    return [(group[0], mean(t.score for t in group)) for group in repeated or networks.values()]


def _best(scores: Sequence[tuple[Trial, float]]) -> tuple[Trial, float] | None:
    return max(scores, key=lambda pair: pair[1], default=None)
