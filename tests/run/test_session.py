"""A run put together: what is kept of it, what may change when it goes on, and what it never touches."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.run.conftest import MakeTrial
from tests.run.toy import row

from gcnas.api import choose_trial
from gcnas.config import RunConfig
from gcnas.data import Dataset, load
from gcnas.delivery import finalize, write_searched
from gcnas.errors import BuildError, DamagedLedgerError, RunFolderError, SearchFailedError
from gcnas.opening import reopen, same_data
from gcnas.records import Cost, Limits
from gcnas.run import session
from gcnas.run.amounts import GRACE, LEEWAY, Amounts, choose_amounts, reserve
from gcnas.run.context import Context
from gcnas.run.driver import Clock
from gcnas.run.folder import RunFolder, write_text
from gcnas.run.ledger import Ledger, LedgerReader
from gcnas.run.middleware import Middleware
from gcnas.run.observer import Observer
from gcnas.run.policy_of_run import policy_of_run
from gcnas.run.repeats import TIME_SHARE
from gcnas.run.session import (
    CLOCK,
    delivery_seconds,
    elapsed,
    known_context,
    new_context,
    open_driver,
    open_ledger,
    references,
)
from gcnas.run.trial import RESUMED, Trial, changed
from gcnas.space import LayerType, SearchSpace, Shape
from gcnas.space.layer_type import Values
from gcnas.space.presets import CNN
from gcnas.space.presets.cnn import resnet9
from gcnas.training.platform import choose_device

ARRAYS = "<arrays>"


def pictures(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """150 images of 8x8 in three classes, told apart by their brightness."""
    random, labels = np.random.default_rng(seed), np.arange(150) % 3
    images = random.integers(0, 90, (150, 8, 8)) + 70 * labels[:, None, None]
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load(pictures())


class Sealed(Exception):  # noqa: N818 - a seal that was broken
    """The test split was opened."""


def sealed(dataset: Dataset) -> Dataset:
    """The same data without test images; opening them, or only looking at them, raises."""

    class Nothing:
        def __len__(self) -> int:
            return dataset.size_test

        def __getattr__(self, name: str) -> Any:
            raise Sealed(name)

    def closed(*_: object) -> None:
        raise Sealed

    without = replace(dataset, _test=Nothing())
    object.__setattr__(without, "open_test", closed)
    return without


def configured(**options: Any) -> RunConfig:
    return RunConfig.create(
        **{"data": ARRAYS, "budget": 5, "epochs": 1, "final_epochs": 1, "threads": 1, "max_params": 20_000}
        | options
    )


@pytest.fixture
def begin(tmp_path: Path, dataset: Dataset) -> Callable[..., Context]:
    torch.set_num_threads(1)

    def begin(data: Dataset = dataset, **options: Any) -> Context:
        folder = RunFolder.create(tmp_path / "run")
        return new_context(configured(**options), data, CNN, folder)

    return begin


def search(context: Context, observer: Observer | None = None) -> Trial:
    def keep_best(trial: Trial, weights: Mapping[str, Any]) -> None:
        write_searched(context, trial, weights)

    with open_ledger(context) as ledger:
        clock = Clock(elapsed(ledger))
        return open_driver(context, ledger, clock, keep_best, observer or Observer()).run()


def trials_of(context: Context) -> list[Trial]:
    with LedgerReader(context.folder.ledger) as ledger:
        return ledger.trials()


def test_a_limit_of_the_delivery_takes_the_place_of_a_soft_target(begin: Callable[..., Context]) -> None:
    """The best by its reward is smaller, and less accurate."""
    context = begin(
        soft="macs=10k:-1", references=False, strategy="random", fidelity="full", budget=8, epochs=3
    )
    search(context)
    with Ledger(context.folder.ledger) as ledger:
        trials = ledger.trials()
        most = max(trials, key=lambda trial: trial.evaluation.metrics["accuracy"] if trial.evaluation else 0.0)
        chosen = choose_trial(context, ledger, within=Limits(10**9))
        rewarded = choose_trial(context, ledger)
    assert chosen.evaluation is not None
    assert most.evaluation is not None
    assert chosen.evaluation.metrics["accuracy"] == most.evaluation.metrics["accuracy"]
    assert rewarded.score == max(trial.score for trial in trials)
    assert rewarded.number != chosen.number


# --- the test split


def test_search_never_opens_the_test_split(begin: Callable[..., Context], dataset: Dataset) -> None:
    """A whole search works on a data set that has no test images, and keeps a best network."""
    context = begin(sealed(dataset))
    best = search(context)
    assert best.complete
    assert len(trials_of(context)) == 5
    assert (context.folder.best / "weights.safetensors").is_file()
    # The seal works: what does open the split breaks it.
    with pytest.raises(Sealed):
        finalize(context, best, log_test=lambda _: None)
    # And the search found what it finds with the real data.
    other = replace(context, folder=RunFolder.create(context.folder.path.parent / "other"), dataset=dataset)
    search(other)
    assert [row(trial) for trial in trials_of(context)] == [row(trial) for trial in trials_of(other)]


# --- beginning and going on


def test_references_are_evaluated_first_unless_not_wanted(
    begin: Callable[..., Context], tmp_path: Path
) -> None:
    context = begin()
    search(context)
    sources = [trial.proposal.source for trial in trials_of(context)]
    assert sources == ["reference"] * 2 + ["edit"] * 3
    assert [trial.proposal.architecture for trial in trials_of(context)[:2]] == references(context)
    other = new_context(
        configured(references=False), context.dataset, CNN, RunFolder.create(tmp_path / "other")
    )
    search(other)
    assert {trial.proposal.source for trial in trials_of(other)} == {"start"}


def test_designs_that_last_are_known_where_the_final_training_is_long(begin: Callable[..., Context]) -> None:
    context = begin()
    first = resnet9(context.space).fingerprint
    images = len(context.dataset.train_index) + len(context.dataset.validation_index)

    def lasting(
        speed: float | None = None, final: int = 99, epochs: int = 59, decide: int | None = None, **options: Any
    ) -> list[str]:
        amounts = Amounts(epochs, final, speed=speed)
        if "budget" in options:
            amounts = replace(amounts, search_seconds=600.0, stretched=True)
        there = replace(context, config=context.config.changed(**options), amounts=amounts)
        return there.lasting(epochs=decide)

    assert (lasting(), lasting(final=100), lasting(final=100, epochs=60)) == ([], [first], [])
    # Where nothing got so far as the full training, what decides is a short one.
    assert lasting(final=100, epochs=60, decide=20) == [first]
    assert lasting(final=100, epochs=59, decide=60) == []
    # 240 seconds are left for the final training, which may go on to 198 passes, and 6 % of them are for the files.
    assert lasting(budget="15m", speed=images * 99 / 225.6) == []
    assert lasting(budget="15m", speed=images * 101 / 225.6) == [first]
    assert lasting(budget="15m", speed=images * 101 / 225.6, final=49) == []
    assert lasting(budget="15m") == [first]  # who knows


def test_what_lasts_is_delivered_after_short_trainings(begin: Callable[..., Context]) -> None:
    context = begin(budget=3)
    search(context)
    long = replace(context, amounts=replace(context.amounts, final_epochs=100))
    with open_ledger(context) as ledger:
        for name in ("resnet9", "vgg"):
            design = CNN.references[name]
            there = replace(long, space=replace(context.space, lasting=(lambda _: None, design)))
            assert choose_trial(there, ledger).proposal.architecture == design(context.space)
        # Within these limits the design is narrower than the one that is known to last.
        assert choose_trial(long, ledger).number == choose_trial(context, ledger).number


def test_what_lasts_depends_on_the_final_training_that_follows(begin: Callable[..., Context]) -> None:
    context = begin(budget=3)
    search(context)
    images = len(context.dataset.train_index) + len(context.dataset.validation_index)
    there = replace(
        context,
        space=replace(context.space, lasting=(CNN.references["resnet9"],)),
        amounts=replace(context.amounts, final_epochs=100, speed=float(images)),
    )
    training = 20.0 - reserve(20.0, onnx=there.config.onnx)
    times = (None, 20.0, 200.0)
    assert [there.passes_in(seconds) for seconds in times] == pytest.approx([100, training, 100])
    # Of 200 seconds, six in a hundred are for test and files.
    assert [there.passes_in(seconds, 0.4) for seconds in times] == pytest.approx(
        [100, 0.4 * training, 0.4 * 188]
    )
    assert there.passes_in(1.0) == 0
    first = CNN.references["resnet9"](context.space)
    with open_ledger(context) as ledger:
        usual = choose_trial(context, ledger)
        assert usual.proposal.architecture != first
        assert choose_trial(there, ledger).proposal.architecture == first
        assert choose_trial(there, ledger, passes=there.passes_in(200.0)).proposal.architecture == first
        assert choose_trial(there, ledger, passes=there.passes_in(20.0)).number == usual.number


def test_what_lasts_depends_on_the_trainings_that_were_reached(begin: Callable[..., Context]) -> None:
    """A full training is long, but the search ended on a lower rung: what decides is short."""
    context = begin(budget=3)
    search(context)
    (epochs,) = {trial.fidelity.epochs for trial in trials_of(context)}
    assert epochs < 60
    design = CNN.references["resnet9"]
    there = replace(
        context,
        space=replace(context.space, lasting=(design,)),
        amounts=replace(context.amounts, epochs=90, final_epochs=100),
    )
    with open_ledger(context) as ledger:
        assert choose_trial(context, ledger).proposal.architecture != design(context.space)
        assert choose_trial(there, ledger).proposal.architecture == design(context.space)


def test_a_space_made_of_another_may_lack_what_lasts(begin: Callable[..., Context]) -> None:
    context = begin()
    plain = replace(CNN, layer_types=CNN.layer_types[:1], references={}).fit(context.space.fitted)
    long = replace(context, space=plain, amounts=replace(context.amounts, final_epochs=100))
    assert plain.lasting
    assert long.lasting() == []


def test_a_run_goes_on_where_its_device_is_not(begin: Callable[..., Context], dataset: Dataset) -> None:
    context = begin()
    search(context)
    with LedgerReader(context.folder.ledger) as ledger:
        meta = ledger.meta()
    meta["platform"]["device"] = "cuda:99"
    told: list[str] = []

    class Told(Observer):
        def note(self, message: str) -> None:
            told.append(message)

    again = known_context(configured(budget=7), dataset, CNN, context.folder, meta, Told())
    assert again.platform.device == choose_device()
    assert len(told) == 1
    assert "'cuda:99' is not available here" in told[0]
    assert again.amounts.speed is None
    meta["amounts"]["speed"] = 1e9  # of the GPU
    there = known_context(configured(budget="10m"), dataset, CNN, context.folder, meta)
    assert there.amounts.speed is not None
    assert there.amounts.speed < 1e8


def test_processes_that_share_a_thread_are_slower(
    begin: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_reference_speed", lambda _: 1_000.0)
    amounts = begin(budget="10m", workers=8, threads=2).amounts
    assert (amounts.speed, amounts.final_speed) == (250.0, 1_000.0)


@pytest.mark.parametrize("failing", [1, 99])
def test_speed_is_measured_on_a_network_that_can_be_trained(
    begin: Callable[..., Context], monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Layer types of users may be wrong; a search without a wall clock lives with that too."""
    calls, build_it = [], session.build_seeded

    def build(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) <= failing:
            raise BuildError("a wrong shape")
        return build_it(*given, **named)

    monkeypatch.setattr(session, "build_seeded", build)
    context = begin()
    if failing == 1:
        assert session._reference_speed(context) > 0
    else:
        with pytest.raises(SearchFailedError, match=r"networks failed whose speed .* build: a wrong shape"):
            session._reference_speed(context)
    assert len(calls) == (2 if failing == 1 else len(references(context)) + session.SPEED_TRIES)


def test_speed_that_was_not_measured_is_that_of_a_design(
    begin: Callable[..., Context], dataset: Dataset
) -> None:
    context = begin(budget=3)
    assert context.amounts.speed is None
    search(context)
    trials = trials_of(context)
    with LedgerReader(context.folder.ledger) as ledger:
        meta = ledger.meta()
    found = trials[0].evaluation
    assert found is not None
    again = known_context(configured(budget="10m"), dataset, CNN, context.folder, meta, None, trials)
    assert again.amounts.speed == pytest.approx(len(dataset.train_index) / found.training_seconds)
    assert 500 < (again.amounts.search_seconds or 0) < 600  # the final training is a single pass
    assert known_context(configured(), dataset, CNN, context.folder, meta).amounts.speed is None


def test_everything_keeps_to_the_limits(begin: Callable[..., Context]) -> None:
    context = begin(max_params=3_000, max_macs="40k", budget=8)
    assert context.space.limits == Limits(3_000, 40_000)
    search(context)
    assert all(context.space.limits.violation(trial.cost) is None for trial in trials_of(context))


def test_run_goes_on_with_what_it_began_with(begin: Callable[..., Context], dataset: Dataset) -> None:
    context = begin()
    search(context)
    with LedgerReader(context.folder.ledger) as ledger:
        meta = ledger.meta()
    again = known_context(configured(budget=7), dataset, CNN, context.folder, meta)
    assert again.platform == context.platform
    assert again.fidelity == context.fidelity
    assert again.amounts.epochs == context.amounts.epochs == 1
    before = trials_of(context)
    search(again)
    after = trials_of(context)
    assert after[:5] == before
    assert len(after) == 7
    with Ledger(context.folder.ledger) as opened:
        assert elapsed(opened) == after[-1].elapsed
        opened.event(10_000.0, "delivered", "trial 1")
        assert elapsed(opened) == 10_000.0


def test_a_run_that_goes_on_has_its_threads(begin: Callable[..., Context], dataset: Dataset) -> None:
    """Also where it is workers that train, and the strategy alone computes here."""
    context = begin(threads=4, workers=2)
    with open_ledger(context) as ledger:
        again = known_context(context.config, dataset, CNN, context.folder, ledger.meta())
        torch.set_num_threads(1)
        try:
            driver = open_driver(again, ledger, Clock(), lambda *_: None, Observer())
            driver._executor.close()
            assert torch.get_num_threads() == again.platform.threads == 2
        finally:
            torch.set_num_threads(1)


@pytest.mark.parametrize(
    "facts", [{}, {"data": "odd", "image": "odd"}, {"data": {}, "image": {"channels": None}}]
)
def test_facts_that_are_missing_or_odd_are_damage(tmp_path: Path, facts: Mapping[str, Any]) -> None:
    folder = RunFolder.create(tmp_path / "run")
    write_text(folder.config, configured().to_yaml())
    with Ledger(folder.ledger, facts) as ledger:
        with pytest.raises(DamagedLedgerError):
            same_data(folder, pictures())
        with pytest.raises(DamagedLedgerError):
            policy_of_run(ledger, configured(), CNN, "reinforce")


def test_final_passes_are_those_of_the_kind_of_budget_that_a_run_has_now(
    begin: Callable[..., Context], dataset: Dataset
) -> None:
    context = begin(budget="10m", final_epochs=None, epochs=1)
    with open_ledger(context) as ledger:
        meta = ledger.meta()
    meta |= {"amounts": {**meta["amounts"], "final_epochs": 250}}
    asked = partial(configured, final_epochs=None)
    usual = choose_amounts(asked(budget=7), len(dataset.train_index), lambda: 1.0).final_epochs
    assert usual != 250
    for budget, passes in (("20m", 250), (7, usual)):
        there = known_context(asked(budget=budget), dataset, CNN, context.folder, meta)
        assert there.amounts.final_epochs == passes
    moved = known_context(asked(budget=1), dataset, CNN, context.folder, meta | {CLOCK: 600.0})
    assert moved.amounts.final_epochs == 250


def test_amounts_stay_even_where_they_were_chosen(begin: Callable[..., Context], dataset: Dataset) -> None:
    """Epochs chosen by a measured speed are not measured again."""
    context = begin(budget="30s", epochs=None, final_epochs=None)
    with open_ledger(context) as ledger:
        meta = ledger.meta()
    longer = configured(budget="300s", epochs=None, final_epochs=None)
    again = known_context(longer, dataset, CNN, context.folder, meta)
    assert again.amounts.epochs == context.amounts.epochs
    assert again.amounts.final_epochs == context.amounts.final_epochs
    assert context.amounts.speed is not None
    assert again.amounts.speed == context.amounts.speed
    passes = context.amounts.final_epochs * len(dataset.train_index) / context.amounts.speed
    onnx = context.config.onnx

    def kept(training: float, seconds: float) -> float:
        """The least, by trying, that leaves the final training its own where a candidate is late."""
        tries = (seconds / 2 * part / 2_000 for part in range(2_001))
        found = (
            own
            for own in tries
            if (left := own - GRACE * (seconds - own)) - reserve(left, onnx=onnx) >= training
        )
        return next(found, seconds / 2)

    for found, seconds in ((context, 30), (again, 300)):
        assert found.amounts.search_seconds == pytest.approx(seconds - kept(LEEWAY * passes, seconds), rel=2e-3)
    fewer = known_context(longer.changed(final_epochs=1), dataset, CNN, context.folder, meta).amounts
    assert (fewer.search_seconds, fewer.final_epochs) == (again.amounts.search_seconds, 1)
    faster = meta | {"amounts": meta["amounts"] | {"final_speed": 2.5 * context.amounts.speed}}
    found = known_context(longer, dataset, CNN, context.folder, faster).amounts
    assert found.search_seconds == pytest.approx(300 - kept(LEEWAY * passes / 2.5, 300), rel=2e-3)
    assert found.final_speed == 2.5 * context.amounts.speed
    # Runs from before the speed was noted had half.
    old = meta | {"amounts": {k: v for k, v in meta["amounts"].items() if k != "speed"}}
    assert known_context(longer, dataset, CNN, context.folder, old).amounts.search_seconds == 150


def test_time_asked_for_with_fewer_passes_stays_after_a_kill(begin: Callable[..., Context]) -> None:
    """What is asked for later, fewer passes alone, gives a search that is over no time."""
    context = begin(budget="10m", final_epochs=150)
    write_text(context.folder.config, context.config.changed(budget="60m", final_epochs=20).to_yaml())
    searches = []
    with open_ledger(context) as ledger:
        for options in (
            {"budget": "60m", "final_epochs": 20},
            {"workers": 1},
            {"final_epochs": 20},  # once more
            {"final_epochs": 19},
        ):
            ledger.event(1.0, RESUMED, changed(options))
            searches.append(reopen(context.folder, pictures(), None, {}, Observer()).amounts.search_seconds)
    assert searches[0] == searches[1] == searches[2]
    assert searches[3] < searches[0]
    again = reopen(context.folder, pictures(), None, {"budget": "60m"}, Observer())
    assert again.amounts.search_seconds == searches[0]


def test_precision_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 where images are large enough to gain, if all layer types are known to bear it, or it is asked for."""
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    images, labels = pictures()
    large = load((images.repeat(2, 1).repeat(2, 2), labels))
    own = replace(CNN, layer_types=(*CNN.layer_types, Own()))

    def autocast(name: str, data: Dataset, space: SearchSpace = CNN, **options: Any) -> bool:
        context = new_context(configured(**options), data, space, RunFolder.create(tmp_path / name))
        with open_ledger(context) as ledger:
            meta = ledger.meta()
        # It goes on as it was, on whatever machine.
        with monkeypatch.context() as other:
            other.setattr("torch.cpu.get_capabilities", dict, raising=False)
            again = known_context(context.config, data, space, context.folder, meta)
        assert again.platform == context.platform
        return context.platform.autocast

    assert not autocast("small", load(pictures()))
    assert autocast("large", large)
    assert not autocast("single", large, precision="float32")
    assert not autocast("own", large, own)
    assert autocast("wanted", large, own, precision="bfloat16")


class Own(LayerType):
    """A type of the user's."""

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost()

    def build(self, shape: Shape, values: Values) -> torch.nn.Module:
        return torch.nn.Identity()


def test_other_data_or_space_is_refused(begin: Callable[..., Context], dataset: Dataset) -> None:
    context = begin()
    with open_ledger(context) as ledger:
        meta = ledger.meta()
    with pytest.raises(RunFolderError, match=r"data of .* has changed"):
        known_context(context.config, load(pictures(1)), CNN, context.folder, meta)
    with pytest.raises(RunFolderError, match=r"space of .* has changed"):
        known_context(context.config, dataset, replace(CNN, max_depth=19), context.folder, meta)


def test_configuration_is_written_and_facts_are_kept(begin: Callable[..., Context]) -> None:
    context = begin(seed=7)
    assert RunConfig.create(**RunConfig.from_yaml(context.folder.config)) == context.config
    with open_ledger(context) as ledger:
        facts = ledger.meta()
    assert {"version", "created", "image", "space", "platform", "amounts", "data"} <= facts.keys()
    assert facts["data"]["counts"] == {"train": 90, "validation": 30, "test": 30}
    assert facts["data"]["mirror"] is context.recipe.augmentation.mirror
    for flip in (True, False):
        assert replace(context, config=context.config.changed(flip=flip)).facts()["data"]["mirror"] is flip
    assert facts["image"] == {"channels": 1, "height": 8, "width": 8, "classes": 3}


def test_recipe_follows_the_configuration(begin: Callable[..., Context]) -> None:
    context = begin(batch_size=16, learning_rate=0.05, weight_decay=0.0, flip=True)
    recipe = context.recipe
    assert (recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (16, 0.05, 0.0)
    assert recipe.augmentation.mirror
    assert recipe.augmentation.shift == 1  # a twelfth of eight rows, at least one
    assert not replace(context, config=context.config.changed(flip=False)).recipe.augmentation.mirror
    for rows, shift in ((1, 0), (3, 0), (4, 1), (24, 2)):
        shape = replace(context.dataset.preprocessing, resolution=(rows, 64))
        wide = replace(context, dataset=replace(context.dataset, preprocessing=shape))
        assert wide.recipe.augmentation.shift == shift
    for measured in (True, False):
        config, dataset = context.config.changed(flip=None), replace(context.dataset, mirror=measured)
        assert replace(context, config=config, dataset=dataset).recipe.augmentation.mirror is measured


@pytest.mark.parametrize("budget", [5, "1m"])
def test_the_time_limit_of_a_candidate_reaches_the_driver(begin: Callable[..., Context], budget: Any) -> None:
    context = begin(budget=budget, candidate_seconds=7.5)
    with open_ledger(context) as ledger:
        driver = open_driver(context, ledger, Clock(), lambda *_: None, Observer())
        driver._executor.close()
    kinds, strategy = list[str](), driver._strategy
    while isinstance(strategy, Middleware):
        kinds.append(type(strategy).__name__)
        strategy = strategy._inner
    assert driver._stop.candidate_seconds == 7.5
    assert ("WithinTime" in kinds) == (budget == "1m")
    assert {"Unique", "WithinLimits", "Reconsidering", "ReferencesFirst"} <= set(kinds)


def test_progress_of_candidates_is_told(begin: Callable[..., Context]) -> None:
    class Bar(Observer):
        shares: list[float] = []  # noqa: RUF012 - of this test only

        def trial_progress(self, trial: int, share: float) -> None:
            self.shares.append(share)

    search(begin(budget=1), Bar())
    assert Bar.shares[-1] == 1.0


# --- rungs


class Shorn(Observer):
    """Deletes the checkpoints whenever a trial begins."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def trial_started(self, trial: Trial) -> None:
        shutil.rmtree(self._folder.checkpoints, ignore_errors=True)


def test_candidates_climb_and_the_best_are_repeated(
    begin: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcnas.run.rungs.LEAST_STEPS", 1)
    context = begin(budget=20, epochs=4, strategy="random")
    best = search(context)
    trials = trials_of(context)
    assert [trial.proposal.source for trial in trials[:4]] == ["reference"] * 4
    levels = [trial.fidelity.epochs for trial in trials]
    assert levels[:4] == [1, 4, 1, 4]
    assert set(levels) == {1, 4}
    assert best.fidelity.epochs == 4
    further = [trial for trial in trials if trial.continues]
    spent = {trial.evaluation.trained_epochs for trial in further if trial.evaluation}
    assert max(spent) < 4
    repeats = [trial for trial in trials if trial.fidelity.seed != context.fidelity.seed]
    assert [trial.number for trial in repeats] == [19, 20]
    assert "reference" in {trial.proposal.source for trial in repeats}
    files = list(context.folder.checkpoints.iterdir())
    assert 0 < len(files) < sum(level == 1 for level in levels)


def test_run_without_checkpoints_begins_anew(
    begin: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcnas.run.rungs.LEAST_STEPS", 1)
    context = begin(budget=6, epochs=4, strategy="random")
    search(context, Shorn(context.folder))
    further = [trial for trial in trials_of(context) if trial.continues]
    assert further
    assert all(trial.complete for trial in further)
    assert {trial.evaluation.trained_epochs for trial in further if trial.evaluation} == {4.0}


def test_full_fidelity_trains_each_candidate_alike(begin: Callable[..., Context]) -> None:
    context = begin(budget=24, epochs=2, strategy="random", fidelity="full", max_params=4_000)
    search(context)
    trials = trials_of(context)
    assert {trial.fidelity for trial in trials} == {context.fidelity}
    assert len({trial.proposal.fingerprint for trial in trials}) == len(trials) == 24
    assert not context.folder.checkpoints.exists()


def test_trainings_that_a_strategy_asks_for_are_known_when_a_run_goes_on(
    begin: Callable[..., Context], dataset: Dataset, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from gcnas.records import Fidelity\n"
        "from gcnas.strategy import RandomStrategy, StrategyState\n"
        "class Forgetful(RandomStrategy):\n"
        "    def ask(self, n):\n"
        "        return [replace(p, fidelity=Fidelity(2)) for p in super().ask(n)]\n"
        "    def state_dict(self):\n"
        "        return StrategyState()\n"
        "    def load_state_dict(self, state):\n"
        "        pass\n"
    )
    options = {"strategy": f"{file}:Forgetful", "fidelity": "full", "epochs": 1, "references": False}
    context = begin(budget=2, **options)
    search(context)
    with LedgerReader(context.folder.ledger) as ledger:
        meta = ledger.meta()
    config = context.config.changed(budget=4)
    search(known_context(config, dataset, CNN, context.folder, meta))
    trials = trials_of(context)
    assert [trial.fidelity.epochs for trial in trials] == [2, 2, 2, 2]
    assert len({trial.proposal.fingerprint for trial in trials}) == 4


@pytest.mark.slow
def test_strategy_of_all_rungs_learns_from_them(begin: Callable[..., Context]) -> None:
    context = begin(budget=14, epochs=3, strategy="gcnas", max_params=4_000)
    search(context)
    with LedgerReader(context.folder.ledger) as ledger:
        told = ledger.strategy_state().tensors["experience.epochs"]
    levels = [trial.fidelity.epochs for trial in trials_of(context)]
    assert set(told.tolist()) <= {0, 1, 3}
    assert (told == 3).sum() == levels.count(3) > 0


def test_seconds_of_deliveries_are_none_of_the_search(tmp_path: Path, make_trial: MakeTrial) -> None:
    trials = [replace(make_trial(number, 0.5), elapsed=10.0 * number) for number in (1, 2, 4)]
    with Ledger(tmp_path / "run.db", {"name": "toy"}) as ledger:
        assert delivery_seconds(ledger) == 0
        ledger.commit(pending=[replace(trial, evaluation=None, elapsed=None) for trial in trials])
        ledger.commit(finished=trials[:2])
        assert (elapsed(ledger), delivery_seconds(ledger)) == (20.0, 0.0)
        ledger.event(29.0, "test-opened", "final test of trial 2")  # as far as a killed delivery came
        assert delivery_seconds(ledger) == 9.0
        ledger.event(30.0, "delivered", "trial 2")
        ledger.event(30.0, "resumed", "budget=2m")
        ledger.commit(finished=trials[2:])
        assert (elapsed(ledger), delivery_seconds(ledger)) == (40.0, 10.0)
        ledger.event(46.5, "scaled", "phi 1")
        assert (elapsed(ledger), delivery_seconds(ledger)) == (46.5, 16.5)


def test_a_raised_wall_clock_is_time_to_search(dataset: Dataset, tmp_path: Path) -> None:
    """Whatever went into deliveries before: with a minute more, there are 30 s of search."""
    context = new_context(
        configured(budget="1m", workers=1, threads=1), dataset, CNN, RunFolder.create(tmp_path / "r")
    )
    with open_ledger(context) as ledger:
        ledger.event(30.0, "resumed", "")
        ledger.event(60.0, "delivered", "trial 1")
        for seconds, end in ((30.0, 60.0), (60.0, 90.0)):
            each = replace(context, amounts=replace(context.amounts, search_seconds=seconds))
            driver = open_driver(each, ledger, Clock(elapsed(ledger)), lambda *_: None, Observer())
            assert driver._stop.seconds == end
            assert driver._stop.delivering == 30
            assert driver._repeats is not None
            assert driver._repeats._seconds == TIME_SHARE * (end - 30)
            driver._executor.close()
