from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.report.conftest import MakeRun

from gcnas.records import Fidelity, Proposal
from gcnas.report import importance as module
from gcnas.report.curves import with_score
from gcnas.report.importance import FEWEST, Importance, importance
from gcnas.report.record import read_run
from gcnas.space import SearchSpace


def by_depth(proposal: Proposal, number: int) -> float:
    noise = int(proposal.fingerprint[:4], 16) / 0xFFFF
    return 0.5 + 0.02 * proposal.architecture.depth + 0.01 * noise


def by_nothing(proposal: Proposal, number: int) -> float:
    return int(proposal.fingerprint[:8], 16) / 0xFFFFFFFF


def test_the_choice_that_decides_is_found(make_run: MakeRun, space: SearchSpace) -> None:
    folder = read_run(make_run(trials=60, outcome=by_depth))
    found = importance(folder.trials, space)
    assert found.r2 is not None
    assert found.r2 > 0.5
    first = found.choices[0]
    assert "layers" in first.names
    assert first.correlation > 0.8
    assert first.best > first.others
    assert first.importance > 3 * found.choices[1].importance
    assert "60 evaluations of" in found.sentence
    assert found.without is not None
    networks = sorted((trial.proposal.architecture for trial in folder.trials), key=lambda each: each.depth)
    shallow, deep = found.without(None)([networks[0], networks[-1]])
    assert shallow < deep
    assert (importance(folder.trials, space).choices, found.r2) == (found.choices, found.r2)


def test_a_network_is_compared_without_its_own_score(make_run: MakeRun, space: SearchSpace) -> None:
    """Its neighbours are like it: a lucky score of its own would make all of them look better."""
    folder = read_run(make_run(trials=60, outcome=by_depth))
    networks = [trial.proposal.architecture for trial in folder.trials]
    middle = sorted(folder.trials, key=lambda trial: trial.score)[30]
    top = max(trial.score for trial in folder.trials) + 1e-3
    lucky = [with_score(trial, top) if trial is middle else trial for trial in folder.trials]
    found = importance(lucky, space)
    assert found.without is not None
    unseen = importance([trial for trial in folder.trials if trial is not middle], space)
    assert unseen.without is not None
    apart, fair = found.without(middle.proposal.architecture)(networks), unseen.without(None)(networks)
    flattered = found.without(None)(networks)
    assert np.abs(apart - fair).mean() < 0.5 * np.abs(flattered - fair).mean()


def test_opposites_are_told() -> None:
    """The share of one of two options is what the share of the other is not."""
    random = np.random.default_rng(0)
    table = random.random((30, 2))
    table = np.column_stack([table[:, 0], 1 - table[:, 0], table[:, 1], table[:, 1] + 0.3 * random.random(30)])
    groups = module._groups(table)
    assert groups == [[0, 1], [2, 3]]
    scores = table[:, 0]
    choice = module._choice(("with add", "with concat", "a", "b"), table, scores, groups[0], np.array([0.1]))
    assert choice.names == ("with add", "less with concat")
    assert choice.correlation == pytest.approx(1)


def test_what_goes_together_over_a_third_is_one_group() -> None:
    steps = np.arange(40.0)
    table = np.column_stack([steps, steps + 6 * np.sin(steps), steps + 9 * np.sin(steps)])
    correlations = np.abs(np.corrcoef(np.argsort(np.argsort(table, 0), 0).T))
    one, two, ends = correlations[0, 1], correlations[1, 2], correlations[0, 2]
    assert min(one, two) >= module.ALIKE > ends
    assert module._groups(table) == [[0, 1, 2]]


def test_where_nothing_can_be_told_nothing_is(make_run: MakeRun, space: SearchSpace) -> None:
    found = importance(read_run(make_run(trials=40, outcome=by_nothing)).trials, space)
    assert found.r2 is not None
    assert found.r2 <= 0
    assert (found.choices, found.without) == ((), None)
    assert "Too few evaluations to tell" in found.sentence
    assert f"{found.r2:.2f}" in found.sentence


def test_what_can_be_told_though_no_choice_matters_by_itself() -> None:
    found = Importance(40, 3, 0.03)
    assert "predict a share of 0.03" in found.sentence
    assert found.sentence.endswith("None of them matters by itself.")


@pytest.mark.parametrize(
    ("trials", "outcome", "words"),
    [
        (FEWEST - 1, by_depth, "Too few evaluations of equal training to tell: 11"),
        (20, lambda *_: 0.5, "all 20 evaluations have the same score"),
        (20, lambda *_: None, "Too few evaluations of equal training to tell: 0"),
        (20, lambda *_: ("crash", "no"), "Too few evaluations of equal training to tell: 0"),
    ],
)
def test_too_few(make_run: MakeRun, space: SearchSpace, trials: int, outcome: Any, words: str) -> None:
    found = importance(read_run(make_run(trials=trials, outcome=outcome)).trials, space)
    assert (found.r2, found.choices, found.without) == (None, (), None)
    assert words in found.sentence


def test_many_are_thinned_out(make_run: MakeRun, space: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 20)
    trials = read_run(make_run(trials=30, outcome=by_depth)).trials
    used = module.comparable(trials)
    assert len(used) == 20
    assert used == sorted(used, key=lambda trial: trial.number)


def test_what_goes_together_is_shuffled_together() -> None:
    random = np.random.default_rng(0)
    table = random.normal(size=(40, 3))
    table[:, 2] = -(table[:, 0] ** 3)
    assert module._groups(table) == [[0, 2], [1]]
    copies = module._copies(table, [[0, 2], [1]], random)
    assert (copies[0] == table).all()
    assert np.allclose(copies[1][:, 2], -(copies[1][:, 0] ** 3))
    assert (copies[1][:, 1] == table[:, 1]).all()
    assert not (copies[1] == table).all()


def test_the_longest_training_of_enough_networks_counts_and_repeats_are_one(
    make_run: MakeRun, space: SearchSpace
) -> None:
    """Three networks that were trained to the end say less than all that were trained a little."""
    trials = [
        replace(trial, fidelity=Fidelity(3)) for trial in read_run(make_run(trials=30, outcome=by_depth)).trials
    ]
    longer = [replace(trial, number=trial.number + 30, fidelity=Fidelity(9)) for trial in trials[:3]]
    found = importance([*trials, *longer], space)
    assert (found.evaluations, found.epochs) == (30, 3)
    assert "30 evaluations of 3 epochs" in found.sentence
    again = [with_score(replace(trial, number=trial.number + 60), trial.score + 0.1) for trial in trials[:15]]
    used = module.comparable([*trials, *again, *longer])
    assert [trial.number for trial in used] == [trial.number for trial in trials]
    assert [trial.score for trial in used[:15]] == pytest.approx([t.score + 0.05 for t in trials[:15]])
    assert [trial.score for trial in used[15:]] == [trial.score for trial in trials[15:]]
    enough = [replace(trial, number=trial.number + 90, fidelity=Fidelity(9)) for trial in trials[:FEWEST]]
    assert importance([*trials, *enough], space).epochs == 9
    few = module.comparable([*trials[: FEWEST - 1], *longer])
    assert {trial.fidelity.epochs for trial in few} == {3}


def test_most_networks_at_the_least_score_are_not_the_best_quarter() -> None:
    table, scores = np.arange(16.0)[:, None], np.array([0.1] * 13 + [0.5, 0.6, 0.7])
    choice = module._choice(("depth",), table, scores, [0], np.zeros(2))
    assert (choice.best, choice.others) == (14.0, 6.0)
