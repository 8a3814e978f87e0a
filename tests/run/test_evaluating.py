"""Real candidates in worker processes: the same scores, nothing of the test split, images shared."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.run.test_session import configured, pictures, search, trials_of
from tests.run.toy import row

from gcnas import api
from gcnas.data import Dataset, load
from gcnas.errors import ConfigurationError, DataError, WorkerError
from gcnas.execution import ProcessExecutor, SerialExecutor
from gcnas.execution.packing import unpack
from gcnas.run import evaluating
from gcnas.run.context import MIXED_FROM, Context
from gcnas.run.evaluating import SHARED_IMAGES, CandidateSetup, create_executor, for_workers
from gcnas.run.folder import RunFolder
from gcnas.run.ledger import LedgerReader
from gcnas.run.observer import Observer
from gcnas.run.session import known_context, new_context, open_ledger
from gcnas.space import load_space
from gcnas.space.presets import CNN

Begin = Callable[..., Context]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load(pictures())


@pytest.fixture
def begin(tmp_path: Path, dataset: Dataset) -> Begin:
    torch.set_num_threads(1)

    def begin(name: str = "run", **options: object) -> Context:
        return new_context(
            configured(**{"workers": 2, "threads": 2, "strategy": "random"} | options),
            dataset,
            CNN,
            RunFolder.create(tmp_path / name),
        )

    return begin


@pytest.mark.slow
def test_scores_do_not_depend_on_the_worker(begin: Begin, tmp_path: Path) -> None:
    """Two workers with one thread each give the table of one process with one thread, to the last bit."""
    parallel = begin()
    assert parallel.platform.threads == 1
    search(parallel)
    alone = replace(
        parallel,
        config=parallel.config.changed(workers=1, threads=1),
        folder=RunFolder.create(tmp_path / "alone"),
    )
    search(alone)
    one, other = trials_of(parallel), trials_of(alone)
    assert all(trial.complete for trial in one)
    assert list(map(row, one)) == list(map(row, other))
    assert not list((parallel.folder.path / "cache").iterdir())
    assert {file.name for file in parallel.folder.logs.iterdir()} == {"worker-1.log", "worker-2.log"}


def test_the_reward_is_the_one_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five of seven images are of one class, so that the two accuracies differ."""
    images, labels = pictures()
    kept = np.flatnonzero((labels == 0) | (np.arange(len(labels)) % 5 == 0))
    context = new_context(
        configured(reward="balanced-accuracy", strategy="random", references=False),
        load((images[kept], labels[kept])),
        CNN,
        RunFolder.create(tmp_path / "run"),
    )
    search(context)
    found = [trial.evaluation for trial in trials_of(context)]
    assert [each.score for each in found if each] == [
        each.metrics["balanced_accuracy"] for each in found if each
    ]
    assert any(each.score != each.metrics["accuracy"] for each in found if each)
    asked, plain = list[float](), api.recommend

    def note(*given: Any, **named: Any) -> Any:
        asked.append(named["validation_images"])
        return plain(*given, **named)

    monkeypatch.setattr(api, "recommend", note)
    with open_ledger(context) as ledger:
        api.choose_trial(context, ledger)
    assert (
        0 < asked[0] < len(context.dataset.validation_index)
    )  # so many as would have this error if classes were equal


def test_candidates_are_trained_without_mixed_images(begin: Begin) -> None:
    context = begin()
    executor = create_executor(context, Observer())
    assert setup_of(executor).recipe.mixed_from is None
    executor.close()
    assert context.final_recipe.mixed_from == MIXED_FROM


def test_one_worker_needs_no_process(begin: Begin) -> None:
    assert isinstance(create_executor(begin(workers=1), Observer()), SerialExecutor)


def test_images_that_a_killed_process_left_are_deleted(begin: Begin) -> None:
    context = begin(workers=1)
    left = context.folder.path / "cache" / SHARED_IMAGES
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"left")
    create_executor(context, Observer()).close()
    assert not left.exists()


def test_one_worker_with_a_memory_limit_has_a_process_of_its_own(begin: Begin) -> None:
    """What is asked for is kept: nothing could end this process alone."""
    executor = create_executor(begin(workers=1, worker_memory="2G"), Observer())
    assert isinstance(executor, ProcessExecutor)
    assert (executor.capacity, executor._bounds.memory) == (1, 2 * 10**9)
    executor.close()


def setup_of(executor: object) -> CandidateSetup:
    assert isinstance(executor, ProcessExecutor)
    setup = unpack(executor._parcels[0])
    assert isinstance(setup, CandidateSetup)
    return setup


def test_workers_map_the_images_and_have_no_test_split(begin: Begin, dataset: Dataset) -> None:
    context = begin()
    executor = create_executor(context, Observer())
    parcel = executor._parcels[0]  # type: ignore[attr-defined]
    # The images and those of the test split are in no message to a worker.
    assert len(parcel.content) < 0.8 * dataset.images.nbytes
    found = setup_of(executor).dataset
    assert isinstance(found.images, np.memmap)
    assert not found.images.flags.writeable
    assert found.size_test == 0 < dataset.size_test
    assert len(found.open_test("look", lambda _: None).images) == 0
    for name in ("train", "validation"):
        one, other = getattr(found, name)(), getattr(dataset, name)()
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)
    executor.close()
    assert not list((context.folder.path / "cache").iterdir())


def test_a_gpu_gets_small_sets_into_its_memory(begin: Begin) -> None:
    setup = setup_of(create_executor(begin(), Observer()))
    assert setup._data() is setup.dataset
    on_gpu = replace(setup, platform=replace(setup.platform, device="cuda:1"))
    assert not isinstance(on_gpu._data().images, np.memmap)


def test_images_that_do_not_fit_into_memory_end_the_run_in_a_sentence(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")

    monkeypatch.setattr(evaluating, "CandidateTrainer", full)
    with pytest.raises(WorkerError, match=r"images do not fit.*Tried to allocate 1 GiB.*--resolution"):
        create_executor(begin(workers=1), Observer())


def test_full_disk_is_told(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DataError, match=r"images that worker processes share cannot be written.*workers=1"):
        dataset.for_workers(tmp_path / "cache" / "workers.npy")


@pytest.mark.slow
def test_the_number_of_workers_may_change_when_a_run_goes_on(begin: Begin, dataset: Dataset) -> None:
    context = begin(workers=2)
    search(context)
    with LedgerReader(context.folder.ledger) as ledger:
        meta = ledger.meta()
    assert meta["workers"] == 2
    assert meta["platform"]["threads"] == 1
    config = context.config.changed(workers=1, budget=6)
    again = known_context(config, dataset, CNN, context.folder, meta)
    assert (again.workers.count, again.platform.threads, again.final_platform.threads) == (1, 2, 2)
    search(again)
    assert len(trials_of(again)) == 6


@pytest.mark.slow
def test_a_space_of_the_users_own_file_works_in_workers(begin: Begin, tmp_path: Path) -> None:
    file = tmp_path / "evaluated_space.py"
    file.write_text((Path(__file__).parents[2] / "examples" / "my_space.py").read_text())
    context = begin()
    own = new_context(
        configured(workers=2, threads=2, strategy="random", budget=3, max_params=None),
        context.dataset,
        load_space(f"{file}:SPACE"),
        RunFolder.create(tmp_path / "own"),
    )
    search(own)
    assert [trial.complete for trial in trials_of(own)] == [True] * 3


def test_a_space_that_changed_meanwhile_ends_the_run(begin: Begin) -> None:
    setup = setup_of(create_executor(begin(), Observer()))
    with pytest.raises(WorkerError, match="file of the space was changed"):
        replace(setup, fingerprint="another")(lambda _trial, _share: None)


def test_a_space_that_cannot_be_sent_is_refused_before_anything_is_written(
    dataset: Dataset, tmp_path: Path
) -> None:
    class Local(type(CNN.layer_types[0])):  # type: ignore[misc]
        pass

    space = replace(CNN, layer_types=(Local(),), references={})
    folder = RunFolder.create(tmp_path / "run")
    with pytest.raises(ConfigurationError, match=r"cannot be pickled.*workers=1"):
        new_context(configured(workers=2), dataset, space, folder)
    assert not folder.config.exists()
    assert new_context(configured(workers=1), dataset, space, folder).workers.count == 1


def test_designs_by_people_are_not_sent_to_workers(dataset: Dataset, tmp_path: Path) -> None:
    designs = (lambda _: None,)
    space = replace(CNN, references={"mine": designs[0]}, lasting=designs)
    context = new_context(configured(workers=2), dataset, space, RunFolder.create(tmp_path / "run"))
    with pytest.raises((AttributeError, pickle.PicklingError), match="pickle"):
        pickle.dumps(space)
    assert pickle.dumps(for_workers(space))
    assert context.space.lasting == designs


def test_without_proc_the_user_is_told(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    class Notes(Observer):
        heard = ""

        def note(self, message: str) -> None:
            self.heard += message

    monkeypatch.setattr("gcnas.run.evaluating.private_memory", lambda _pid: None)
    notes = Notes()
    create_executor(begin(), notes)
    assert "memory of worker processes is not limited" in notes.heard


SCRIPT = """
import sys
import gcnas
result = gcnas.search("digits", out=sys.argv[1], budget=3, epochs=1, final_epochs=1, workers=2, threads=2)
print(len(result.trials))
"""


@pytest.mark.slow
def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    """Worker processes do not execute the user's script again."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.stdout.splitlines()[-1:] == ["3"], done.stderr
