"""The networks next to a chosen one: what they would change and what they would cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from gcnas.records import Architecture, Cost, Trajectory
from gcnas.report.curves import averaged, with_score
from gcnas.report.difference import difference
from gcnas.report.importance import Predictor
from gcnas.run.trial import Trial
from gcnas.space import SearchSpace
from gcnas.strategy.edits import allowed, architecture_of, neighbours

MOST = 400
"""Neighbours that are looked at, drawn at random from more."""
EVALUATED, OTHERS, LARGER = 5, 6, 2
"""The most that are shown of those that the run evaluated, of the others, and among these of dearer ones."""


@dataclass(frozen=True)
class Alternative:
    """A network one edit away.

    Attributes:
        words: The difference.
        architecture: The network.
        cost: Its cost.
        change: Of parameters and of multiply-adds, as shares of the chosen network's.
        trial: The run's trial of it, if there is one.
        score: That trial's score.
        predicted: Score as the run's choices predict it; None where they predict nothing.
        shorter: The trial with the most training among those that had less; None if there is none.
    """

    words: str
    architecture: Architecture
    cost: Cost
    change: tuple[float, float]
    trial: int | None
    score: float | None
    predicted: float | None
    shorter: Trial | None = None


@dataclass(frozen=True)
class Alternatives:
    """Networks next to a chosen one.

    Attributes:
        chosen: The chosen network's trial, with the mean score where the network was trained more than once.
        predicted: Its own score as the run's choices predict it, the one to compare predictions with.
        found: How many neighbours within the limits were looked at.
        failed: How many of them failed when the run tried them; they are not shown.
        shown: Those worth a look: evaluated ones by score, then others by multiply-adds.
    """

    chosen: Trial
    predicted: float | None
    found: int
    failed: int
    shown: tuple[Alternative, ...]


def alternatives(
    chosen: Trial, trials: Sequence[Trial], space: SearchSpace, predict: Predictor | None = None
) -> Alternatives:
    """Networks that one edit of the decisions leads to, with their costs.

    Of those that the run evaluated with as much training, the best are kept; of the others, those that no other beats
    in predicted score, parameters and multiply-adds at once, or without predictions some of the cheaper ones and the
    next dearer.

    Args:
        chosen: The network.
        trials: All trials of the run.
        space: The run's fitted space, with its limits.
        predict: Predicts scores.
    """
    epochs = chosen.fidelity.epochs
    equal = averaged(trial for trial in trials if trial.complete and trial.fidelity.epochs == epochs)
    known = {trial.proposal.fingerprint: trial for trial in equal}
    done = (t for t in trials if t.evaluation is not None and t.fidelity.epochs <= epochs)
    tried = {t.proposal.fingerprint: t for t in sorted(done, key=_training)} | known
    near = _networks(chosen, space)
    networks = [each for each in near if each.fingerprint not in tried or tried[each.fingerprint].complete]
    own = None if predict is None else float(predict([chosen.proposal.architecture])[0])
    predicted = [None] * len(networks) if predict is None or not networks else predict(networks).tolist()
    if (mean := known.get(chosen.proposal.fingerprint)) is not None:
        chosen = with_score(chosen, mean.score)  # as its neighbours have it
    found = [
        replace(
            _alternative(chosen, network, space.cost(network), known.get(network.fingerprint), score),
            shorter=None if network.fingerprint in known else tried.get(network.fingerprint),
        )
        for network, score in zip(networks, predicted, strict=True)
    ]
    evaluated = sorted(
        (each for each in found if each.score is not None), key=lambda each: -(each.score or 0.0)
    )
    others = [each for each in found if each.score is None]
    return Alternatives(
        chosen, own, len(near), len(near) - len(found), (*evaluated[:EVALUATED], *_worth_a_look(others))
    )


def _training(trial: Trial) -> tuple[int, bool]:
    """Of equal training a success counts."""
    return trial.fidelity.epochs, trial.complete


def _networks(chosen: Trial, space: SearchSpace) -> list[Architecture]:
    random = np.random.default_rng(0)
    edited = islice(neighbours(space, _as_now(space, chosen.proposal.trajectory), random), MOST)
    networks = {network.fingerprint: network for network in (architecture_of(space, each) for each in edited)}
    networks.pop(chosen.proposal.fingerprint, None)
    return [each for each in networks.values() if space.limits.violation(space.cost(each)) is None]


def _as_now(space: SearchSpace, trajectory: Trajectory) -> Trajectory:
    """Decisions with the masks of today: limits may have been others when they were made.

    Decisions that these forbid keep those of then.
    """
    growth = space.start()
    for action in trajectory.actions[:-1]:
        growth = growth.add(action)
    now = growth.stop()
    return now if allowed(now) else trajectory


def _alternative(
    chosen: Trial, network: Architecture, cost: Cost, trial: Trial | None, predicted: float | None
) -> Alternative:
    own = chosen.cost
    change = (cost.parameters / own.parameters - 1, cost.multiply_adds / own.multiply_adds - 1)
    words = difference(chosen.proposal.architecture, network)
    number, score = (None, None) if trial is None else (trial.number, trial.score)
    return Alternative(words, network, cost, change, number, score, predicted)


def _worth_a_look(others: list[Alternative]) -> list[Alternative]:
    ordered = sorted(others, key=lambda each: (each.cost.multiply_adds, each.cost.parameters, each.words))
    if any(each.predicted is not None for each in ordered):
        ordered = list({_figures(each): each for each in reversed(ordered)}.values())[::-1]
        return _spread([each for each in ordered if not any(_beats(other, each) for other in ordered)], OTHERS)
    dearer = [each for each in ordered if each.change[1] > 0][:LARGER]
    return _spread([each for each in ordered if each.change[1] <= 0], OTHERS - len(dearer)) + dearer


def _spread(ordered: list[Alternative], count: int) -> list[Alternative]:
    """So many, evenly from the first to the last."""
    if len(ordered) <= count:
        return ordered
    return [ordered[place] for place in np.linspace(0, len(ordered) - 1, count).round().astype(int)]


def _beats(one: Alternative, other: Alternative) -> bool:
    """Whether one is no worse in anything and better in something."""
    a, b = _figures(one), _figures(other)
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def _figures(each: Alternative) -> tuple[float, int, int]:
    """What is compared, the less the better."""
    return -(each.predicted or 0.0), each.cost.parameters, each.cost.multiply_adds
