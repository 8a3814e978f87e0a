"""Curves over the trials of a run."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import mean

import numpy as np

from gcnas.run.trial import Trial, decisive

Curve = tuple[tuple[int, float], ...]
"""Pairs of trial number and score."""

MAX_STEPS = 200


def best_so_far(trials: Iterable[Trial]) -> Curve:
    """Trial number and best score, at every improvement and at the last finished trial.

    A score after more training is an improvement over all scores after less.
    """
    curve: list[tuple[int, float]] = []
    last, best = 0, (0, float("-inf"))
    for trial in trials:
        if trial.evaluation is None:
            continue
        last = trial.number
        if trial.complete and (trial.fidelity.epochs, trial.score) > best:
            best = (trial.fidelity.epochs, trial.score)
            curve.append((trial.number, trial.score))
    if curve and last > curve[-1][0]:
        curve.append((last, curve[-1][1]))
    return tuple(curve)


def expected_best(scores: Sequence[float]) -> Curve:
    """Mean of the best of the first n scores over all orders of the scores, by n.

    The k-th best of N is the best of n drawn without replacement with the probability that none of the k - 1
    better ones is drawn times that of drawing it then: ``prod_{i<k} (N-n-i+1)/(N-i+1) * n/(N-k+1)``.
    """
    total = len(scores)
    if not total:
        return ()
    ranked = np.sort(np.asarray(scores, dtype=float))[::-1]
    left = total - np.arange(total)
    curve = []
    for n in np.unique(np.linspace(1, total, min(total, MAX_STEPS)).round().astype(int)):
        missed = np.clip((left - n) / left, 0, None).cumprod()
        probabilities = np.concatenate(([1.0], missed[:-1])) * np.minimum(n / left, 1)
        curve.append((int(n), float(probabilities @ ranked)))
    return tuple(curve)


def pareto_front(trials: Iterable[Trial], metric: str = "parameters") -> tuple[Trial, ...]:
    """Trials with the most training that none beats in score at as low a cost, the lowest cost first.

    A network that was trained again with another seed counts once, with its mean score.

    Args:
        trials: All trials.
        metric: Field of their costs.
    """
    front: list[Trial] = []
    for trial in sorted(
        averaged(decisive(trials)), key=lambda t: (getattr(t.cost, metric), -t.score, t.number)
    ):
        if not front or trial.score > front[-1].score:
            front.append(trial)
    return tuple(front)


def averaged(trials: Iterable[Trial]) -> list[Trial]:
    """The first trial of each network, with the mean score of all."""
    networks: dict[str, list[Trial]] = {}
    for trial in trials:
        networks.setdefault(trial.proposal.fingerprint, []).append(trial)
    return [
        group[0] if len(group) == 1 else with_score(group[0], mean(t.score for t in group))
        for group in networks.values()
    ]


def with_score(trial: Trial, score: float) -> Trial:
    """The same trial with another score."""
    if trial.evaluation is None:
        return trial
    return replace(trial, evaluation=replace(trial.evaluation, score=score))
