"""Which choices mattered in a run: how much worse its scores are predicted once a choice is shuffled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gcnas.records import Architecture
from gcnas.report.choices import choice_table
from gcnas.report.curves import averaged
from gcnas.report.numbers import counted
from gcnas.run.trial import Trial
from gcnas.space import SearchSpace

FEWEST = 12
"""Evaluations below which nothing is fitted."""
MOST = 300
"""Of more, so many are drawn."""
FOLDS, REPEATS, SHUFFLES, TREES = 5, 2, 5, 50
ALIKE = 0.9
"""Choices whose ranks are correlated so much cannot be told apart and are shuffled together."""

Predictor = Callable[[Sequence[Architecture]], np.ndarray]
"""Scores of architectures, as far as their choices tell."""


@dataclass(frozen=True)
class Choice:
    """One choice, or several that went together.

    Attributes:
        names: The choices; the first one's values are those below.
        importance: By how much R2 falls, on networks not fitted on, when the choice is shuffled among them.
        spread: Standard deviation over folds drawn anew and shuffles.
        correlation: Rank correlation of the choice and the score: above 0, more was better.
        best: Median of the best quarter of networks; the true value of costs, not the logarithm.
        others: Median of the others.
    """

    names: tuple[str, ...]
    importance: float
    spread: float
    correlation: float
    best: float
    others: float


@dataclass(frozen=True)
class Importance:
    """What the evaluations of a run say about choices.

    Attributes:
        evaluations: Networks that were compared.
        epochs: Training that each of them got.
        r2: Share of the order of scores that choices predict for networks not fitted on; None where too few.
        choices: The most important first; empty if nothing can be told.
        without: Makes what predicts scores by the same choices, one network left out; None if nothing can be told.
    """

    evaluations: int
    epochs: int
    r2: float | None
    choices: tuple[Choice, ...] = ()
    without: Callable[[Architecture | None], Predictor] | None = None

    @property
    def sentence(self) -> str:
        """What can be told, in words."""
        if self.evaluations < FEWEST:
            return f"Too few evaluations of equal training to tell: {self.evaluations}, and {FEWEST} are the least."
        if self.r2 is None:
            return (
                f"Nothing to tell: all {self.evaluations} evaluations have the same score or the same choices."
            )
        if self.r2 <= 0:
            return (
                f"Too few evaluations to tell: from {self.evaluations}, nothing about the order of scores of other "
                f"networks can be predicted (cross-validated R\u00b2 {self.r2:.2f}, not above 0)."
            )
        alone = "" if self.choices else " None of them matters by itself."
        return (
            f"From {self.evaluations} evaluations of {counted(self.epochs, 'epoch')}, the choices predict a share of "
            f"{self.r2:.2f} of the order of scores (cross-validated R\u00b2).{alone}"
        )


def importance(trials: Sequence[Trial], space: SearchSpace) -> Importance:
    """Permutation importance of choices in a random forest, measured on networks that it was not fitted on.

    The scores are replaced by their ranks, so that one failed training does not rule. Choices that went together
    (``ALIKE``) are shuffled together. Source: Breiman, Random Forests, 2001, section 10.

    Args:
        trials: All trials of a run; those that :func:`comparable` chooses count.
        space: The run's fitted space.
    """
    used = comparable(trials)
    epochs = used[0].fidelity.epochs if used else 0
    if len(used) < FEWEST:
        return Importance(len(used), epochs, None)
    networks = [trial.proposal.architecture for trial in used]
    names, table = choice_table(space, networks)
    scores = np.array([trial.score for trial in used])
    if not names or np.ptp(scores) == 0:
        return Importance(len(used), epochs, None)
    ranks = _ranks(scores)
    groups = _groups(table)
    r2, losses = _losses(table, ranks, groups)
    if r2 <= 0:
        return Importance(len(used), epochs, r2)
    choices = [_choice(names, table, scores, group, loss) for group, loss in zip(groups, losses.T, strict=True)]
    told = (choice for choice in choices if choice.importance > 0)
    ordered = tuple(sorted(told, key=lambda choice: -choice.importance))
    return Importance(len(used), epochs, r2, ordered, _predictor(space, networks, names, table, ranks, scores))


def comparable(trials: Sequence[Trial]) -> list[Trial]:
    """Complete trials of equal training, one a network with its mean score, at most :data:`MOST` of them.

    The training is the longest that :data:`FEWEST` networks got; if none was given to so many, that of the most.
    """
    by_epochs: dict[int, list[Trial]] = {}
    for trial in trials:
        if trial.complete:
            by_epochs.setdefault(trial.fidelity.epochs, []).append(trial)
    levels = [averaged(by_epochs[epochs]) for epochs in sorted(by_epochs, reverse=True)]
    enough = next((level for level in levels if len(level) >= FEWEST), None)
    used = enough or max(levels, key=len, default=[])
    if len(used) <= MOST:
        return used
    drawn = np.random.default_rng(0).choice(len(used), MOST, replace=False)
    return [used[index] for index in sorted(drawn)]


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks between 0 and 1, equal for equal scores."""
    from scipy.stats import rankdata

    ranks: np.ndarray = (rankdata(scores) - 0.5) / len(scores)
    return ranks


def _groups(table: np.ndarray) -> list[list[int]]:
    """Columns that go together: each is correlated with another one of its group."""
    from scipy.sparse.csgraph import connected_components
    from scipy.stats import rankdata

    correlations = np.abs(np.corrcoef(rankdata(table, axis=0).T).reshape(table.shape[1], -1))
    count, numbers = connected_components(correlations >= ALIKE, directed=False)
    return [np.flatnonzero(numbers == number).tolist() for number in range(count)]


def _losses(table: np.ndarray, ranks: np.ndarray, groups: list[list[int]]) -> tuple[float, np.ndarray]:
    """Cross-validated R2, and by how much it falls: (repeats * shuffles, groups)."""
    from sklearn.model_selection import KFold

    total = float(((ranks - ranks.mean()) ** 2).sum())
    random = np.random.default_rng(0)
    errors = np.zeros(REPEATS)
    shuffled = np.zeros((REPEATS, SHUFFLES, len(groups)))
    for repeat in range(REPEATS):
        for fitted, held in KFold(FOLDS, shuffle=True, random_state=repeat).split(table):
            forest = _forest(repeat).fit(table[fitted], ranks[fitted])
            copies = _copies(table[held], groups, random)
            predicted = forest.predict(copies.reshape(-1, table.shape[1])).reshape(-1, len(held))
            squares = ((predicted - ranks[held]) ** 2).sum(axis=1)
            errors[repeat] += squares[0]
            shuffled[repeat] += squares[1:].reshape(SHUFFLES, len(groups))
    losses = (shuffled - errors[:, None, None]) / total
    return 1 - float(errors.mean()) / total, losses.reshape(-1, len(groups))


def _copies(table: np.ndarray, groups: list[list[int]], random: np.random.Generator) -> np.ndarray:
    """The table, then copies in each of which one group is shuffled: predicted in one call, which is far faster."""
    copies = np.repeat(table[None], 1 + SHUFFLES * len(groups), axis=0)
    for number in range(SHUFFLES * len(groups)):
        columns = groups[number % len(groups)]
        copies[1 + number][:, columns] = table[random.permutation(len(table))][:, columns]
    return copies


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(TREES, min_samples_leaf=2, max_features=0.5, random_state=seed, n_jobs=1)


def _choice(
    names: tuple[str, ...], table: np.ndarray, scores: np.ndarray, group: list[int], loss: np.ndarray
) -> Choice:
    from scipy.stats import spearmanr

    column, name = table[:, group[0]], names[group[0]]
    quarter = np.quantile(scores, 0.75)
    # Where most have the least score, the best are those above it.
    top = scores > quarter if quarter == scores.min() else scores >= quarter
    best, others = (float(np.median(column[part])) if part.any() else float("nan") for part in (top, ~top))
    if name.startswith("log "):
        best, others = 10**best, 10**others
    # What went the other way: correlation and medians are those of the first.
    signs = [1.0, *(spearmanr(column, table[:, index])[0] for index in group[1:])]
    plain = tuple(
        f"{'less ' if sign < 0 else ''}{names[index].removeprefix('log ')}"
        for index, sign in zip(group, signs, strict=True)
    )
    return Choice(
        plain, float(loss.mean()), float(loss.std()), float(spearmanr(column, scores)[0]), best, others
    )


def _predictor(
    space: SearchSpace,
    known: Sequence[Architecture],
    names: tuple[str, ...],
    table: np.ndarray,
    ranks: np.ndarray,
    scores: np.ndarray,
) -> Callable[[Architecture | None], Predictor]:
    """Makes what predicts scores; those of known networks by the trees that have not seen them, as of the others.

    A network that others are compared with is left out: they are like it, and its own score would make them better.
    """

    def without(apart: Architecture | None) -> Predictor:
        name = None if apart is None else apart.fingerprint
        kept = [index for index, network in enumerate(known) if network.fingerprint != name]
        forest = _forest(0).set_params(oob_score=True).fit(table[kept], ranks[kept])
        seen = {known[index].fingerprint: place for place, index in enumerate(kept)}

        def predict(architectures: Sequence[Architecture]) -> np.ndarray:
            # The known ones hold every column open that differs among them.
            found, rows = choice_table(space, [*known, *architectures])
            columns = [found.index(name) for name in names]
            predicted = forest.predict(rows[len(known) :, columns])
            for place, network in enumerate(architectures):
                if (index := seen.get(network.fingerprint)) is not None:
                    predicted[place] = forest.oob_prediction_[index]
            # The inverse of the ranks.
            likely: np.ndarray = np.quantile(scores, predicted.clip(0, 1), method="hazen")
            return likely

        return predict

    return without
