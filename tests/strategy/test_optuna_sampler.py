import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

import gcnas
from gcnas.strategy.gcnas import GCNASSettings
from gcnas.strategy.imitation import ImitationSettings
from gcnas.strategy.optuna_sampler import GCNASSampler, _noted
from gcnas.strategy.optuna_space import StudySpace, joined
from gcnas.strategy.surrogate import SurrogateSettings

QUICK = GCNASSettings(
    samples=8,
    parents=2,
    neighbours=8,
    mutants=4,
    random=8,
    surrogate=SurrogateSettings(critic_steps=(4, 1), process_steps=(4, 1)),
    imitation=ImitationSettings(steps=(2, 1)),
)

SMALL = GCNASSettings(
    samples=32,
    parents=4,
    neighbours=16,
    mutants=16,
    random=8,
    surrogate=SurrogateSettings(critic_steps=(30, 1), process_steps=(30, 1)),
    imitation=ImitationSettings(steps=(5, 1)),
)


def quick(seed: int = 0, startup: int = 2) -> GCNASSampler:
    return GCNASSampler(seed, n_startup_trials=startup, settings=QUICK)


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


class TestOptunaKit(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], GCNASSampler]:
        return lambda: quick(startup=1)


def table(trial: Trial) -> float:
    """Six categories that matter on their own and in pairs of neighbours."""
    random = np.random.default_rng(5)
    own, pairs = random.normal(size=(6, 5)), random.normal(size=(5, 5, 5))
    chosen = ["abcde".index(trial.suggest_categorical(f"c{index}", list("abcde"))) for index in range(6)]
    alone = sum(float(own[index, option]) for index, option in enumerate(chosen))
    return alone + sum(float(pairs[i, chosen[i], chosen[i + 1]]) for i in range(5))


def numbers(trial: Trial) -> float:
    rate = trial.suggest_float("rate", 1e-5, 1.0, log=True)
    width = trial.suggest_int("width", 8, 256, log=True)
    share = trial.suggest_float("share", 0.0, 1.0, step=0.125)
    depth = trial.suggest_int("depth", 2, 20, step=2)
    return (
        (math.log10(rate) + 3) ** 2
        + (math.log2(width) - 6) ** 2 / 4
        + (share - 0.5) ** 2
        + (depth - 12) ** 2 / 50
    )


def branches(trial: Trial) -> float:
    if trial.suggest_categorical("kind", ["number", "category"]) == "number":
        return 1.0 + trial.suggest_float("x", 0.0, 1.0)
    return float(trial.suggest_categorical("y", [0, 1, 2, 3]))


def study_of(
    sampler: optuna.samplers.BaseSampler,
    objective: Callable[[Trial], float],
    trials: int,
    **options: Any,
) -> optuna.Study:
    study = optuna.create_study(sampler=sampler, **options)
    study.optimize(objective, n_trials=trials)
    return study


def test_the_public_name() -> None:
    assert gcnas.GCNASSampler is GCNASSampler
    assert "GCNASSampler" in dir(gcnas)


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "direction"), [(table, "maximize"), (numbers, "minimize")])
def test_better_than_random(objective: Callable[[Trial], float], direction: str) -> None:
    """On average: in one study of 30 trials chance may be lucky."""
    own = [GCNASSampler(seed, settings=SMALL) for seed in range(6)]
    others = [RandomSampler(seed=seed) for seed in range(60)]
    found, random = (
        np.mean([study_of(sampler, objective, 30, direction=direction).best_value for sampler in samplers])
        for samplers in (own, others)
    )
    assert found > random if direction == "maximize" else found < random


def test_the_seed_decides() -> None:
    first, same, other = (
        [trial.params for trial in study_of(quick(seed), numbers, 8).trials] for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other


def test_without_a_seed_studies_differ() -> None:
    def sampler() -> GCNASSampler:
        return GCNASSampler(n_startup_trials=2, settings=QUICK)

    assert study_of(sampler(), numbers, 3).trials[2].params != study_of(sampler(), numbers, 3).trials[2].params


@pytest.mark.slow
def test_a_resumed_study_goes_on_as_one_that_never_stopped(tmp_path: Path) -> None:
    whole = study_of(quick(), table, 12, direction="maximize")
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study_of(quick(), table, 7, direction="maximize", storage=storage, study_name="table")
    resumed = optuna.load_study(study_name="table", storage=storage, sampler=quick())
    resumed.optimize(table, n_trials=5)
    assert [trial.params for trial in resumed.trials] == [trial.params for trial in whole.trials]


def test_what_chance_draws_does_not_depend_on_what_it_drew_before(tmp_path: Path) -> None:
    """The first trials, parameters that come late, and one of more values than the strategy takes."""

    def objective(trial: Trial) -> float:
        x, many = trial.suggest_float("x", 0, 1), trial.suggest_categorical("many", range(1_500))
        if trial.number < 2:
            raise optuna.TrialPruned
        return x + many + (trial.suggest_float("late", 0, 1) if trial.number > 3 else 0)

    whole = study_of(quick(), objective, 6)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study_of(quick(), objective, 1, storage=storage, study_name="table")
    for count in (4, 1):
        resumed = optuna.load_study(study_name="table", storage=storage, sampler=quick())
        resumed.optimize(objective, n_trials=count)
    assert [trial.params for trial in resumed.trials] == [trial.params for trial in whole.trials]
    assert len({trial.params["x"] for trial in whole.trials}) == 6


def test_threads() -> None:
    def wide(trial: Trial) -> float:
        """Of so many networks that chance, which is not seeded in threads, draws none twice."""
        return float(sum(trial.suggest_categorical(f"c{number}", list(range(20))) for number in range(6)))

    study = optuna.create_study(sampler=quick(), direction="maximize")
    study.optimize(wide, n_trials=12, n_jobs=3)
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 12


def test_trials_under_way_are_not_repeated() -> None:
    """Trials that have asked for one of their parameters are known by the others as well."""

    def objective(trial: Trial) -> float:
        return float(trial.suggest_categorical("x", [0, 1, 2]) + trial.suggest_categorical("y", [0, 1, 2]))

    study = study_of(quick(), objective, 4)
    trials = [study.ask() for _ in range(4)]
    for trial in trials:
        trial.suggest_categorical("x", [0, 1, 2])
    assert len({tuple(trial.relative_params.items()) for trial in trials}) == 4
    late = {(trial.relative_params["x"], trial.relative_params["y"]) for trial in trials}
    assert not late & {(trial.params["x"], trial.params["y"]) for trial in study.trials[:4]}


def test_an_exhausted_space_goes_on() -> None:
    study = study_of(quick(), lambda trial: trial.suggest_int("x", 1, 3), 8)
    assert {trial.params["x"] for trial in study.trials} == {1, 2, 3}


def test_branches() -> None:
    study = study_of(GCNASSampler(0, n_startup_trials=6, settings=QUICK), branches, 25)
    categories = [trial.params["y"] for trial in study.trials[1:] if "y" in trial.params]
    # Every category is tried, and none again as long as there is an untried one or a number.
    assert study.best_value == 0
    assert len(categories) <= 8
    assert all(("x" in trial.params) != ("y" in trial.params) for trial in study.trials)


def test_a_range_that_moves() -> None:
    def objective(trial: Trial) -> float:
        return trial.suggest_float("x", trial.number, trial.number + 10) + trial.suggest_int("y", 0, 3)

    study = study_of(quick(), objective, 10)
    assert all(trial.number <= trial.params["x"] <= trial.number + 10 for trial in study.trials)


def test_all_of_a_range_that_depends_on_another_is_known() -> None:
    def objective(trial: Trial) -> float:
        first = trial.suggest_int("first", 1, 64)
        return float(trial.suggest_int("second", 1, first) + first)

    sampler = quick()
    study = study_of(sampler, objective, 12)
    ranges = sampler.infer_relative_search_space(study, study.trials[-1])
    most = max(trial.params["first"] for trial in study.trials)
    assert ranges["second"] == IntDistribution(1, most)
    space = StudySpace(ranges, study.trials)
    assert len(sampler._evaluations(space, study.trials, study.direction)) == 12


def test_a_range_that_the_user_narrows_becomes_narrow() -> None:
    study = optuna.create_study()
    for number in range(40):
        ranges = {"x": IntDistribution(1, 64 if number < 18 else 8), "kind": CategoricalDistribution("ab")}
        study.add_trial(create_trial(params={"x": 1, "kind": "a"}, distributions=ranges, value=1.0))
        found = quick().infer_relative_search_space(study, study.trials[-1])
        assert found["x"].high == (64 if number < 37 else 8)


def test_a_range_that_few_trials_have_stays_whole() -> None:
    study = optuna.create_study()
    for number in range(60):
        ranges: dict[str, BaseDistribution] = {"kind": CategoricalDistribution("ab")}
        params: dict[str, Any] = {"kind": "a" if number % 20 == 0 else "b"}
        if params["kind"] == "a":
            ranges, params = ranges | {"x": IntDistribution(1, 60 - number)}, params | {"x": 1}
        study.add_trial(create_trial(params=params, distributions=ranges, value=1.0))
    assert quick().infer_relative_search_space(study, study.trials[-1])["x"] == IntDistribution(1, 60)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (FloatDistribution(0, 1), FloatDistribution(0.5, 3), FloatDistribution(0, 3)),
        (FloatDistribution(0.1, 1, log=True), FloatDistribution(0.5, 3), FloatDistribution(0.5, 3)),
        (IntDistribution(0, 8, step=4), IntDistribution(4, 16, step=4), IntDistribution(0, 16, step=4)),
        (IntDistribution(0, 8, step=4), IntDistribution(2, 18, step=4), IntDistribution(2, 18, step=4)),
        (IntDistribution(0, 8), FloatDistribution(0, 1), FloatDistribution(0, 1)),
        (CategoricalDistribution("ab"), CategoricalDistribution("abc"), CategoricalDistribution("abc")),
    ],
)
def test_ranges_are_joined_where_they_are_of_one_kind(
    old: BaseDistribution, new: BaseDistribution, expected: BaseDistribution
) -> None:
    assert joined(old, new) == expected


def test_a_choice_that_there_is_no_more_is_no_point() -> None:
    study = optuna.create_study(direction="maximize")
    for kind, choices in (("c", "abc"), ("a", "ab"), ("b", "ab")):
        ranges = {"kind": CategoricalDistribution(list(choices))}
        study.add_trial(create_trial(params={"kind": kind}, distributions=ranges, value=1.0))
    assert learnt(quick(), study, ranges) == {(0,): 1.0, (1,): 1.0}
    study.add_trial(
        create_trial(
            params={"kind": "a", "x": 0.5}, distributions=ranges | {"x": FloatDistribution(0, 1)}, value=2.0
        )
    )
    StudySpace(ranges | {"x": FloatDistribution(0, 1)}, study.trials)


def test_a_long_proposal_is_noted_whole() -> None:
    """Storages have room for some 2,000 characters of each attribute."""
    ranges = {f"parameter of a long name {index}": FloatDistribution(0, 1) for index in range(60)}
    study = optuna.create_study(sampler=GCNASSampler(0, n_startup_trials=100))
    study.optimize(lambda trial: sum(trial.suggest_float(name, 0, 1) for name in ranges), n_trials=2)
    trial = study.ask()
    trial.suggest_float("parameter of a long name 0", 0, 1)
    attributes = study.trials[-1].system_attrs
    assert len(attributes) > 2
    assert all(len(text) <= 1_000 for text in attributes.values())
    assert _noted(attributes) == pytest.approx({name: trial.relative_params[name] for name in ranges})
    assert _noted(dict(list(attributes.items())[:-1])) == {}


def test_what_has_no_score() -> None:
    """Failed, pruned and infinite trials, and those without parameters, stop nothing."""

    def objective(trial: Trial) -> float:
        if trial.number == 1:
            return 0.0
        x = trial.suggest_float("x", 0.0, 1.0)
        trial.report(x, 1)
        if trial.number % 5 == 2:
            raise optuna.TrialPruned
        if trial.number % 5 == 3:
            raise RuntimeError("made up")
        return {0: math.nan, 4: -math.inf}.get(trial.number % 5, x)

    study = optuna.create_study(sampler=quick())
    with warnings.catch_warnings():
        study.optimize(objective, n_trials=20, catch=RuntimeError)
    states = [trial.state for trial in study.trials]
    assert {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL} == set(states)


@pytest.mark.parametrize("error", [RuntimeError("made up"), optuna.TrialPruned()])
def test_trials_that_end_before_all_is_asked_for_are_known(error: Exception) -> None:
    """What was proposed for the rest is known; the ones of the start, which have no proposal, are not."""

    def objective(trial: Trial) -> float:
        first = trial.suggest_categorical("first", list("abc"))
        trial.report(0.0, 1)
        if first == "a":
            raise error
        return trial.suggest_float("second", 0, 1)

    study = optuna.create_study(sampler=quick())
    for first in "bc":
        study.enqueue_trial({"first": first, "second": 0.5})
    study.optimize(objective, n_trials=2)
    ranges = quick().infer_relative_search_space(study, study.trials[-1])
    while not any(trial.params["first"] == "a" for trial in study.trials):
        study.optimize(objective, n_trials=1, catch=RuntimeError)
    space = StudySpace(ranges, [t for t in study.trials if t.state is TrialState.COMPLETE])
    known = quick()._evaluations(space, study.trials, study.direction)
    assert len(known) == len(study.trials)
    assert space.decode(known[-1].proposal.trajectory, np.random.default_rng(0))["first"] == "a"


def test_an_independent_sampler_hears_of_trials() -> None:
    heard: list[str] = []

    class Listener(optuna.samplers.RandomSampler):
        def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
            heard.append(f"before {trial.number}")

        def after_trial(self, study: optuna.Study, trial: FrozenTrial, *_: Any) -> None:
            heard.append(f"after {trial.number}")

    study = optuna.create_study(sampler=GCNASSampler(0, independent_sampler=Listener(0)))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert heard == ["before 0", "after 0", "before 1", "after 1"]


@pytest.mark.slow
def test_failures_are_avoided() -> None:
    def objective(trial: Trial) -> float:
        kinds = [trial.suggest_categorical(name, list("abcd")) for name in ("first", "second", "third")]
        if kinds[0] == "a":
            raise RuntimeError("made up")
        return float(kinds.count("a") + kinds.count("b"))

    study = optuna.create_study(sampler=GCNASSampler(0, settings=SMALL), direction="maximize")
    study.optimize(objective, n_trials=30, catch=RuntimeError)
    late = study.trials[20:]
    assert sum(trial.state is TrialState.FAIL for trial in late) <= 3


@pytest.mark.slow
def test_a_broken_constraint_is_avoided() -> None:
    def objective(trial: Trial) -> float:
        kinds = [trial.suggest_categorical(name, list("abcd")) for name in ("first", "second", "third")]
        trial.set_constraint("not a", 1.0 if kinds[0] == "a" else -1.0)
        return float(kinds.count("a"))

    study = study_of(GCNASSampler(0, settings=SMALL), objective, 30, direction="maximize")
    assert sum(trial.params["first"] == "a" for trial in study.trials[20:]) <= 4


def test_the_values_that_were_fixed_are_learnt_from() -> None:
    study = optuna.create_study(sampler=quick(), direction="maximize")
    best = dict.fromkeys((f"c{index}" for index in range(6)), "a")
    study.enqueue_trial(best)
    study.optimize(table, n_trials=6)
    assert study.trials[0].params == best
    assert learnt(quick(), study, study.trials[0].distributions)[(0,) * 6] == study.trials[0].value


def learnt(
    sampler: GCNASSampler, study: optuna.Study, ranges: Mapping[str, BaseDistribution]
) -> dict[tuple[int, ...], float | None]:
    """What the strategy is told of a study: for the category of each parameter, the score."""
    trials = study.get_trials()
    space = StudySpace(ranges, [trial for trial in trials if trial.state is TrialState.COMPLETE])
    known = sampler._evaluations(space, trials, study.direction)
    return {
        tuple(action.hyperparameters[0] for action in each.proposal.trajectory.actions[:-1]): each.score
        for each in known
    }


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_pruned_trials_are_no_better_than_the_worst_and_failed_ones_may_be_ignored(
    direction: str, sign: int
) -> None:
    ranges = {"kind": CategoricalDistribution(list("abcdefg"))}
    outcomes: list[tuple[TrialState, float | None, dict[int, float]]] = [
        (TrialState.COMPLETE, 2.0, {}),
        (TrialState.COMPLETE, -1.0, {}),
        (TrialState.PRUNED, None, {3: 5.0}),
        (TrialState.PRUNED, None, {2: 7.0, 4: -6.0}),
        (TrialState.FAIL, None, {}),
    ]
    study = optuna.create_study(direction=direction)
    for kind, (state, value, reported) in zip("abcde", outcomes, strict=True):
        study.add_trial(
            create_trial(
                state=state,
                params={"kind": kind},
                distributions=ranges,
                value=None if value is None else sign * value,
                intermediate_values={step: sign * each for step, each in reported.items()},
            )
        )
    # Neither infinity nor what breaks a constraint says how bad a complete trial may be.
    study.add_trial(create_trial(params={"kind": "f"}, distributions=ranges, value=-sign * math.inf))
    broken = {"constraints": (1.0,)}
    study.add_trial(
        create_trial(params={"kind": "g"}, distributions=ranges, value=-50.0 * sign, system_attrs=broken)
    )
    expected = {(0,): 2.0, (1,): -1.0, (2,): -1.0, (3,): -6.0, (5,): -sys.float_info.max, (6,): None}
    assert learnt(quick(), study, ranges) == expected | {(4,): None}
    assert learnt(GCNASSampler(0, ignore_failed=True, settings=QUICK), study, ranges) == expected


def test_no_startup_trials_are_an_error() -> None:
    with pytest.raises(ValueError, match="n_startup_trials must be at least 1"):
        GCNASSampler(n_startup_trials=0)
