"""Which network a run delivers."""

from collections.abc import Sequence
from statistics import mean

import numpy as np

from gcnas.errors import GCNASError, LimitsTooTightError, SearchFailedError
from gcnas.records import METRICS, Limits, Proposal
from gcnas.run.trial import Trial, decisive

REFERENCE, TRANSFERRED = "reference", "transferred"
"""Sources of the designs by people, and of the network of another run."""

BALANCED = "balanced-accuracy"
"""The reward that is a mean over classes."""

PATIENCE = 2
"""Designs by people get so many times the time limit of other candidates."""

BEHIND = 4
"""Standard errors that a design which is known to last may be behind after a short training, where a long one follows.
On 32x32 pixels it is 3 points behind one in the manner of VGG after 13 passes, 1 to 2 after 60, and ahead after 100
(``benchmarks/designs.py``). What is further ahead of it suits the data better."""


def is_given(proposal: Proposal) -> bool:
    """Whether nobody had to find the network: a design by people, or the network of another run."""
    return proposal.source in (REFERENCE, TRANSFERRED)


def time_limit(proposal: Proposal, seconds: float) -> float:
    """Time limit of an evaluation: longer for designs by people, so that a slow hour does not take one out."""
    return PATIENCE * seconds if is_given(proposal) else seconds


def recommend(
    trials: Sequence[Trial], limits: Limits, validation_images: float, lasting: Sequence[str] = ()
) -> Trial | None:
    """The best network, but a design by people unless the search clearly beat it.

    Only evaluations with the most training count (:func:`~gcnas.run.trial.decisive`). Where several networks,
    the best among them, were trained again with another seed, the decision is among these, by the mean of their scores.

    A score is an accuracy on so many validation images after a short training. The best of many such scores is
    too high by chance, so a searched network takes the place of the best reference design only if it is better by
    more than one standard error of a difference of two accuracies (:func:`margin`).

    What learns most in a short training is not what reaches most in a long one. Where a long one follows, a design that
    is known to last is delivered unless the best network is ahead of it by more than :data:`BEHIND` such errors.

    Args:
        trials: All trials.
        limits: Limits on what is delivered.
        validation_images: Images behind each score, see :func:`images_behind`.
        lasting: Fingerprints of the designs that are known to last, the best first; none where no long training
            follows on short ones.

    Returns:
        The first trial of the network at that training; None if there is no complete one.
    """
    scores = contenders(trials, limits)
    best = _best(scores)
    if best is None:
        return None
    # All of them: only what seemed best was trained again.
    scored = _all_scores(decisive(trials, limits))
    reference = best_design(trials, limits)
    bar = best[1] - BEHIND * margin(best[1], validation_images)
    near = {trial.proposal.fingerprint: trial for trial, score in scored if score >= bar}
    if lasts := [near[name] for name in lasting if name in near]:
        return lasts[0]
    if reference is None or best[1] > reference[1] + margin(reference[1], validation_images):
        return best[0]
    return reference[0]


def margin(score: float, images: float) -> float:
    """One standard error of a difference of two accuracies, each measured on so many images.

    The share is that of one more image that is right and one more that is wrong (Laplace): where all are right, the
    next need not be.
    """
    share = min(max(score, 0.0), 1.0)  # a soft reward may be above 1
    share = (share * images + 1) / (images + 2)
    return float((2 * share * (1 - share) / images) ** 0.5)


def images_behind(labels: Sequence[int] | np.ndarray, reward: str) -> float:
    """Images behind a score: those of the split, or for the mean over classes as many as would have its error.

    Of C classes with n_1, n_2, … images these are C² / (1 / n_1 + 1 / n_2 + …), if all are as hard.

    Args:
        labels: Of the validation images.
        reward: ``accuracy`` or ``balanced-accuracy``.
    """
    if reward != BALANCED:
        return len(labels)
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return float(len(counts) ** 2 / (1 / counts).sum())


def contenders(trials: Sequence[Trial], limits: Limits) -> list[tuple[Trial, float]]:
    """The networks that a recommendation is chosen among: the first trial of each, and its mean score."""
    return _scores(decisive(trials, limits))


def best_design(trials: Sequence[Trial], limits: Limits) -> tuple[Trial, float] | None:
    """The design by people that a searched network is held against, with its mean score; None if there is none.

    Where none of those trained again is one, as when there was no time for it or its repeat failed, it is the best of
    all that can be compared.
    """
    return _best(_given(contenders(trials, limits)) or _given(_all_scores(decisive(trials, limits))))


def nothing_within(trials: Sequence[Trial], limits: Limits, within: Limits) -> GCNASError:
    """Why no network is recommended.

    Args:
        trials: All trials.
        limits: Limits of the run.
        within: Limits that were asked for beside them.
    """
    trained = [trial for trial in trials if trial.complete]
    if not trained:
        return SearchFailedError("No trial of this run was trained successfully yet; resume the search first.")
    allowed = [trial for trial in trained if limits.violation(trial.cost) is None]
    if not allowed:
        return LimitsTooTightError(
            f"None of the {len(trained)} trained networks of this run is within its limits {_bounds(limits, trained)}. "
            "Allow more: gcnas resume RUN with wider limits, or with a larger budget to search within these."
        )
    return LimitsTooTightError(
        f"None of the {len(allowed)} trained networks of this run is within {_bounds(within, allowed)}. Allow more, or "
        "go on with the search within such limits: gcnas resume RUN with the same options and a larger budget."
    )


def _bounds(limits: Limits, trained: Sequence[Trial]) -> str:
    """Limits as options, each with the least that a network needs."""
    bounds = []
    for option, name in METRICS.items():
        if (bound := getattr(limits, name)) is not None:
            least = min(trained, key=lambda trial: getattr(trial.cost, name))
            figure = getattr(least.cost, name)
            words = f"{figure:,}" if isinstance(figure, int) else f"{figure:.4g}"
            bounds.append(f"--max-{option} {bound:,} (the least is {words}, trial {least.number})")
    return " and ".join(bounds)


def _scores(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """First trial and mean score of each network repeated, if these are several and hold the best.

    They do not where the repeat of the best failed, or where a limit leaves out what was repeated: then all networks
    count by their first scores, since a mean of two would stand beside scores that are the best of many.
    """
    groups = _by_network(trials)
    repeated = [group for group in groups if len(group) > 1]
    if len(repeated) > 1 and max(groups, key=lambda group: group[0].score) in repeated:
        return _means(repeated)
    return [(group[0], group[0].score) for group in groups]


def _all_scores(trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
    """The same of all networks: what is not among those by its first score."""
    first = {group[0].proposal.fingerprint: (group[0], group[0].score) for group in _by_network(trials)}
    return list(
        (first | {trial.proposal.fingerprint: (trial, score) for trial, score in _scores(trials)}).values()
    )


def _by_network(trials: Sequence[Trial]) -> list[list[Trial]]:
    networks: dict[str, list[Trial]] = {}
    for trial in trials:
        networks.setdefault(trial.proposal.fingerprint, []).append(trial)
    return list(networks.values())


def _means(groups: Sequence[Sequence[Trial]]) -> list[tuple[Trial, float]]:
    """First trial and mean score of each network."""
    return [(group[0], mean(trial.score for trial in group)) for group in groups]


def _given(scores: Sequence[tuple[Trial, float]]) -> list[tuple[Trial, float]]:
    """The designs by people."""
    return [(trial, score) for trial, score in scores if is_given(trial.proposal)]


def _best(scores: Sequence[tuple[Trial, float]]) -> tuple[Trial, float] | None:
    return max(scores, key=lambda pair: pair[1], default=None)
