"""Candidates as tasks of a Ray cluster of several nodes on this machine."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.execution.deeds import Broken, Deeds, Late, job
from typer.testing import CliRunner

import gcnas
from gcnas.cli.app import app
from gcnas.config import RunConfig
from gcnas.errors import ConfigurationError, DataError, WorkerError
from gcnas.execution import Job, Needs, Outcome, RayExecutor, cluster_worker, worker
from gcnas.execution import cluster as on_cluster
from gcnas.execution.base import LEAST_SECONDS
from gcnas.execution.cluster_worker import Sent, Shipment
from gcnas.execution.worker import Done, RunError, refuse_in_worker
from gcnas.execution.worker_process import Bounds
from gcnas.records import EvaluationState
from gcnas.run import rungs
from gcnas.run.observer import Observer
from gcnas.run.trial import Trial

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.xdist_group("ray")
"""Two clusters at once are slow to start on a small machine."""

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without room for candidates, and two nodes with room for one each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        paths = [str(ROOT), str(Path(gcnas.__file__).resolve().parents[1])]
        patch.setenv("PYTHONPATH", os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        made.add_node(num_cpus=1)
        made.add_node(num_cpus=1)
        made.wait_for_nodes()
        yield made
        on_cluster.disconnect()
        made.shutdown()


def run(executor: RayExecutor, *jobs: Job) -> dict[int, Outcome]:
    for given in jobs:
        executor.submit(given)
    found: dict[int, Outcome] = {}
    while len(found) < len(jobs):
        found |= {outcome.job.trial: outcome for outcome in executor.wait()}
    return found


def begin(cluster: Any, setup: Any = Deeds(), **options: Any) -> RayExecutor:  # noqa: B008
    return RayExecutor(setup, capacity=2, address=cluster.address, **options)


def test_results_come_whole_and_every_failure_costs_its_candidate_only(cluster: Any) -> None:
    shares: list[tuple[int, float]] = []
    with begin(cluster, on_progress=lambda trial, share: shares.append((trial, share))) as executor:
        assert (executor.capacity, executor.isolated, executor.wait()) == (2, True, [])
        deeds = ("score", "raise", "not finite", "hard exit", "segfault", "slower")
        jobs = [job(number, deed) for number, deed in enumerate(deeds, start=1)]
        outcomes = run(executor, *jobs)
        assert executor.wait(0.0) == []
    assert [outcomes[number].job for number in outcomes] == [jobs[number - 1] for number in outcomes]
    kinds = {deed: outcomes[number].evaluation.error_kind for number, deed in enumerate(deeds, start=1)}
    assert kinds == {
        "score": None,
        "raise": "crash",
        "not finite": "not-finite",
        "hard exit": "crash",
        "segfault": "crash",
        "slower": None,
    }
    assert "no such layer" in str(outcomes[2].evaluation.error)
    assert "died" in str(outcomes[4].evaluation.error)
    assert outcomes[1].evaluation.score == 0.01
    assert outcomes[1].weights is not None
    assert outcomes[1].weights["weight"].tolist() == [1]
    assert 6 in {trial for trial, _ in shares}  # quick ones are done before anybody looks


@pytest.mark.slow
def test_setting_a_process_up_takes_no_time_of_its_candidate(cluster: Any) -> None:
    """Processes of a node are new for each run, and here take four times the limit until they can begin."""
    with begin(cluster, Late(), bounds=Bounds(grace=0.2)) as executor:
        assert run(executor, job(1, seconds=0.5))[1].evaluation.score == 0.01
    with begin(cluster, Late(60.0), bounds=Bounds(start=0.5)) as executor:
        assert "was not set up after 0 s" in str(run(executor, job(1))[1].evaluation.error)


def test_news_that_come_late_are_not_lost() -> None:
    """Who reads the board clears it, so an answer that nobody waited for would be the only one."""
    asked: list[str] = []
    late = iter((True, True, False, False))

    def get(answer: str, timeout: float) -> dict[int, float]:
        assert answer == asked[-1]
        if next(late):
            raise ray.exceptions.GetTimeoutError
        return {}

    def read() -> str:
        asked.append(f"answer {len(asked)}")
        return asked[-1]

    executor = RayExecutor.__new__(RayExecutor)
    executor._ray = SimpleNamespace(get=get, exceptions=ray.exceptions)
    executor._board = SimpleNamespace(read=SimpleNamespace(remote=read))
    executor._reading, executor._tasks = None, {}
    counts = []
    for _ in range(4):
        executor._look()
        counts.append(len(asked))
    assert counts == [1, 1, 1, 2]


def test_folders_of_killed_processes_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begins = cluster_worker._left()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    kept = [f"{begins}{os.getpid()}-a", f"{begins}1-b", f"{begins}abc", "gcnas-ray-elsewhere-1-c", "gcnas-d"]
    for name in (f"{begins}{process.pid}-e", *kept):
        (tmp_path / name).mkdir()
    cluster_worker._delete_left()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_what_waits_for_a_place_is_given_back(cluster: Any) -> None:
    begun: set[int] = set()
    numbers = {1, 2, 3, 4}
    with RayExecutor(
        Deeds(), capacity=4, address=cluster.address, on_progress=lambda trial, _: begun.add(trial)
    ) as executor:
        assert executor.withdraw() == []
        for number in numbers:
            executor.submit(job(number, "loop"))
        while len(begun) < 2:
            assert executor.wait(0.1) == []
        assert set(executor.withdraw()) == numbers - begun
        assert executor.withdraw() == []
        assert executor.wait(0.1) == []
        assert {task.job.trial for task in executor._tasks.values()} == begun


@pytest.mark.slow
def test_a_candidate_without_an_end_is_cancelled(cluster: Any) -> None:
    with begin(cluster, bounds=Bounds(grace=0.5, silence=2.0)) as executor:
        outcomes = run(executor, job(1, "loop", seconds=1.0), job(2, "deaf loop"))
    assert [outcomes[number].evaluation.error_kind for number in (1, 2)] == ["time-out", "time-out"]
    assert "the limit is 1.0 s" in str(outcomes[1].evaluation.error)
    assert "No sign of progress" in str(outcomes[2].evaluation.error)


@pytest.mark.slow
def test_checkpoints_travel_with_the_messages(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "start").write_bytes(b"weights")
    start, keep = tmp_path / "start", tmp_path / "later" / "keep"
    given = Job(1, job(1).proposal, job(1).fidelity, start=start, keep=keep)
    with begin(cluster, Copying()) as executor:
        assert run(executor, given)[1].job == given
    assert keep.read_bytes() == b"weights, trained"
    missing = Job(2, job(2).proposal, job(2).fidelity, start=tmp_path / "missing")
    with begin(cluster, Copying()) as executor:
        assert run(executor, missing)[2].evaluation.metrics["began anew"] == 1


class Copying:
    """A setup whose jobs go on from a file and leave one, as trainings do."""

    def __call__(self, tell: Any) -> Any:
        def evaluate(given: Job) -> Any:
            start = given.start.read_bytes() if given.start is not None else b""
            if given.keep is not None:
                given.keep.write_bytes(start + b", trained")
            return 0.5, {"began anew": float(given.start is None)}, None

        return evaluate


@pytest.mark.parametrize(
    ("how", "error"), [("refuse", DataError), pytest.param("bug", WorkerError, marks=pytest.mark.slow)]
)
def test_what_cannot_be_set_up_ends_the_run(cluster: Any, how: str, error: type[Exception]) -> None:
    with begin(cluster, Broken(how)) as executor:
        executor.submit(job(1))
        with pytest.raises(error, match=r"gone|a bug"):
            executor.wait()


def test_an_error_of_the_run_ends_it(cluster: Any) -> None:
    with begin(cluster) as executor:
        executor.submit(job(1, "run error"))
        with pytest.raises(DataError, match="The images are gone"):
            executor.wait()


class Killer(Observer):
    """Takes a node from the cluster while candidates run on both."""

    def __init__(self, cluster: Any) -> None:
        self._cluster, self.count = cluster, 0
        self.finished_after: set[int] = set()
        self._removal: threading.Thread | None = None

    def trial_finished(self, trial: Trial, best: Trial | None) -> None:
        self.count += 1
        if self._removal is None and self.count == 2:
            node = self._cluster.worker_nodes.copy().pop()
            # Beside the search, so that it is going on when the node dies.
            self._removal = threading.Thread(target=self._cluster.remove_node, args=(node, False))
            self._removal.start()
        elif self._removal is not None:
            if self.count == 6:
                self._removal.join()
            if not self._removal.is_alive():
                self.finished_after.add(trial.number)


class Hanging:
    """A setup whose first job says where it is, and never ends; the others do.

    Args:
        told: File that holds the node.
        again: Whether all jobs hang.
    """

    def __init__(self, told: Path, again: bool) -> None:
        self._told, self._again = told, again

    def __call__(self, tell: Any) -> Any:
        def evaluate(given: Job) -> Any:
            first = not self._told.exists()
            if first or self._again:
                self._told.write_text(ray.get_runtime_context().get_node_id())
                time.sleep(600)
            return 0.5, {"pid": os.getpid()}, None

        return evaluate


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True])
def test_what_a_lost_node_was_at_is_repeated(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """On another node; a candidate whose nodes are lost time and again counts as failed."""
    monkeypatch.setattr(on_cluster, "LOST_NODES", 1)
    told, outcomes = tmp_path / "node", []
    with begin(cluster, Hanging(told, again)) as executor:
        executor.submit(job(1))
        waiting = threading.Thread(target=lambda: outcomes.extend(executor.wait()))
        waiting.start()
        for _ in range(1 + again):
            while not told.exists() or not told.read_text():
                time.sleep(0.1)
            (victim,) = (node for node in cluster.worker_nodes if node.node_id == told.read_text())
            if again:
                told.unlink()
            cluster.remove_node(victim, allow_graceful=False)
            cluster.add_node(num_cpus=1)
        waiting.join(120)
    (outcome,) = outcomes
    if again:
        assert "Its node was lost 2 times" in str(outcome.evaluation.error)
    else:
        assert outcome.evaluation.score == 0.5
    cluster.wait_for_nodes()


@pytest.mark.slow
def test_a_search_by_command_climbs_rungs_on_the_cluster(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default strategy and checkpoints that go to the nodes and come back; resumed, it goes on there."""
    monkeypatch.setattr(rungs, "LEAST_STEPS", 1)
    run = tmp_path / "run"
    few = ["--final-epochs", "1", "--threads", "1", "--no-onnx", "--no-report"]
    asked = ["search", "digits", "--out", run, "--budget", "9", "--epochs", "3", "--max-params", "20k", *few]
    began = CliRunner().invoke(app, [*map(str, asked), "--executor", "ray", "--address", cluster.address])
    assert began.exit_code == 0, began.output
    trials = gcnas.load(run).trials
    assert len(trials) == 9
    assert any(trial.continues for trial in trials)
    assert RunConfig.from_yaml(run / "config.yaml")["executor"] == "ray"
    refused = CliRunner().invoke(app, ["resume", str(run), "--budget", "11"])
    assert refused.exit_code == 1, refused.output
    assert "--address" in str(refused.exception)
    assert not ray.is_initialized()
    again = CliRunner().invoke(app, ["resume", str(run), "--budget", "11", "--address", cluster.address])
    assert again.exit_code == 0, again.output
    trials = gcnas.load(run).trials
    assert (len(trials), {trial.evaluation.state for trial in trials}) == (11, {EvaluationState.COMPLETE})
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_node_killed_during_a_search_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "budget": 12,
        "strategy": "random",
        "references": False,
        "fidelity": "full",
        "epochs": 2,
        "final_epochs": 1,
        "max_params": "20k",
        "threads": 1,
        "onnx": False,
        "report": False,
    }
    serial = gcnas.search("digits", out=tmp_path / "serial", workers=1, **options)
    killer = Killer(cluster)
    far = gcnas.search(
        "digits",
        out=tmp_path / "ray",
        executor="ray",
        address=cluster.address,
        observer=killer,
        **options,
    )
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    assert len(killer.finished_after) > 5
    # As many as fitted; the final training, and what reads the run later, needs no cluster.
    assert RunConfig.from_yaml(tmp_path / "ray" / "config.yaml")["workers"] == 2
    assert not ray.is_initialized()
    assert killer.count == 12
    assert [trial.attempts for trial in far.trials] == [0] * 12
    assert table(far.trials) == table(serial.trials)
    assert all(trial.evaluation.state is EvaluationState.COMPLETE for trial in far.trials)


def map_out(executor: Any, ready: list[str]) -> list[str]:
    return [executor._tasks.pop(ref) for ref in ready]


def test_what_arrives_after_an_error_is_given_before_it() -> None:
    executor: Any = object.__new__(RayExecutor)
    executor._problem, executor._tasks = WorkerError("made up"), {"ref": "outcome"}
    executor._ray = SimpleNamespace(wait=lambda refs, **_: (refs, []))
    executor._finish_all = partial(map_out, executor)
    assert executor.wait() == ["outcome"]
    for speak in (executor.wait, lambda: executor.submit(job(1))):
        with pytest.raises(WorkerError, match="made up"):
            speak()


def test_what_was_fetched_is_given_before_the_cluster_is_called_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise WorkerError("The Ray cluster is gone.")

    executor: Any = object.__new__(RayExecutor)
    executor._problem, executor._tasks = None, {"ref": "ref"}
    executor._ray = SimpleNamespace(wait=lambda refs, **_: (refs, []))
    executor._finish_all, executor._look = partial(map_out, executor), gone
    assert executor.wait() == ["ref"]
    with pytest.raises(WorkerError, match="gone"):
        executor.wait()


@pytest.mark.parametrize("kind", ["RaySystemError", "ConnectionError"])
def test_a_cluster_that_is_gone_when_spoken_to_ends_the_run_in_one_sentence(kind: str) -> None:
    """Not only while it is waited for."""

    def gone(*_: Any, **__: Any) -> None:
        raise getattr(ray.exceptions, kind, ConnectionError)("no answer\nfrom the head")

    executor: Any = object.__new__(RayExecutor)
    executor._problem, executor._tasks = None, {"ref": None}
    executor._ray = SimpleNamespace(nodes=gone, wait=gone, exceptions=ray.exceptions)
    for speak in (lambda: executor.submit(job(1)), executor.wait):
        with pytest.raises(WorkerError, match=r"cluster is gone.*no answer") as caught:
            speak()
        assert "\n" not in str(caught.value)


def test_a_task_refuses_to_begin_a_search_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that calls `gcnas.search` at its top level is imported by the workers for its classes."""
    monkeypatch.setattr(on_cluster, "evaluate", lambda *_: refuse_in_worker())
    try:
        with pytest.raises(ConfigurationError, match="__main__"):
            on_cluster._task("run", [None], None, SimpleNamespace(tell=SimpleNamespace(remote=None)))  # type: ignore[arg-type]
    finally:
        worker._in_worker.clear()


def test_a_script_that_leaves_while_it_is_set_up_is_told() -> None:
    def leave() -> Shipment:
        sys.exit(3)

    result = cluster_worker.evaluate("none of them", leave, Sent(job(3)), lambda *_: None)
    assert result.message == RunError("WorkerError", "A worker cannot be set up: SystemExit: 3")


def test_a_full_disk_on_a_node_costs_the_head_start_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    given = replace(job(3), start=tmp_path / "start", keep=tmp_path / "keep")
    monkeypatch.setitem(
        cluster_worker._evaluators, "run", lambda here: (0.5, {"start": here.start is None}, None)
    )
    result = cluster_worker.evaluate("run", lambda: None, Sent(given, b"weights"), lambda *_: None)  # type: ignore[arg-type, return-value]
    assert isinstance(result.message, Done)
    assert result.message.outcome.evaluation.score == 0.5
    assert result.message.outcome.evaluation.metrics["start"] is True
    assert result.kept is None


def table(trials: Any) -> list[tuple[int, str, float]]:
    return sorted((trial.number, trial.proposal.fingerprint, trial.score) for trial in trials)


def test_places_are_counted_node_by_node(cluster: Any) -> None:
    assert on_cluster.slots(cluster.address, Needs()) == 2
    with pytest.raises(ConfigurationError, match=r"2 CPU cores.*add a node"):
        on_cluster.slots(cluster.address, Needs(cpus=2))
    with pytest.raises(ConfigurationError, match=r"0\.5 GPU"):
        on_cluster.slots(cluster.address, Needs(gpus=0.5))
    assert on_cluster.lacking(cluster.address, Needs()) is None
    assert "add a node" in (on_cluster.lacking(cluster.address, Needs(gpus=0.5)) or "")
    on_cluster.disconnect()


def test_a_search_that_is_refused_is_connected_no_longer(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next one would be refused by that cluster too, whatever address it names."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="No node of the Ray cluster"):
        gcnas.search("digits", executor="ray", address=cluster.address, worker_gpus=1, out="run")
    assert not ray.is_initialized()


@pytest.mark.slow
def test_candidates_share_a_gpu(cluster: Any) -> None:
    """Ray keeps the books of GPUs, whether there are any or not: two halves fit on one at the same time."""
    node = cluster.add_node(num_cpus=4, num_gpus=1)
    cluster.wait_for_nodes()
    try:
        assert on_cluster.slots(cluster.address, Needs(gpus=0.5)) == 2
        assert on_cluster.slots(cluster.address, Needs(gpus=0.75)) == 1
        on_cluster.disconnect()
        ends: list[float] = []
        with begin(cluster, needs=Needs(gpus=0.5), bounds=Bounds(grace=0.5)) as executor:
            found = [*run(executor, job(1), job(2)).values(), *run(executor, job(5), job(6)).values()]
            # None is used twice: after a candidate that spoilt its GPU all others would fail.
            assert len({outcome.evaluation.metrics["pid"] for outcome in found}) == 4
            for number in (3, 4):
                executor.submit(job(number, "loop", seconds=6.0))
            while len(ends) < 2:
                for outcome in executor.wait():
                    assert outcome.evaluation.error_kind == "time-out"
                    ends.append(time.monotonic())
        # One after the other, they would end 8 seconds apart.
        assert ends[1] - ends[0] < 6
    finally:
        cluster.remove_node(node)
        on_cluster.disconnect()


@pytest.mark.parametrize("address", ["nowhere", "ray://127.0.0.1:10001", "127.0.0.1:99999", ":6379"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ConfigurationError, match="HOST:PORT"):
        on_cluster.connect(address)


def test_an_address_where_nothing_answers() -> None:
    start = time.monotonic()
    with pytest.raises(ConfigurationError, match=r"Nothing answers at 127\.0\.0\.1:9"):
        on_cluster.connect("127.0.0.1:9")
    assert time.monotonic() - start < 10


def test_what_answers_and_is_no_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No file of the current folder is executed meanwhile, such as one that is called as a library is."""
    marker = tmp_path / "executed"
    for library in ("ray", "colorama", "click", "requests"):
        code = f"import sys\nif 'health-check' in sys.argv:\n    open({str(marker)!r}, 'w')\n"
        (tmp_path / f"{library}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(on_cluster, "HEALTH_SECONDS", 3.0)
    start = time.monotonic()
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(ConfigurationError, match="is no healthy Ray"),
    ):
        on_cluster.connect(f"127.0.0.1:{other.getsockname()[1]}")
    assert time.monotonic() - start < 20
    assert not ray.is_initialized()
    assert not marker.exists()


@pytest.mark.slow
def test_the_end_of_the_search_cancels_what_finds_no_place(cluster: Any) -> None:
    """Two nodes are busy with loops that end with the search; a third job never gets a place before."""
    with begin(cluster, bounds=Bounds(grace=0.5)) as executor:
        jobs = [replace(job(number, "loop", seconds=4.0), left=4.0) for number in (1, 2)]
        waiting = replace(job(3, seconds=60.0), left=1.0)
        outcomes = run(executor, *jobs, waiting)
    assert outcomes[3].job == replace(
        waiting, seconds=LEAST_SECONDS, left=LEAST_SECONDS
    )  # none, but for the least
    assert {outcome.evaluation.error_kind for outcome in outcomes.values()} == {"time-out"}
    assert "before the cluster had a place" in str(outcomes[3].evaluation.error)
    assert outcomes[3].evaluation.seconds == 0


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'gcnas\[ray\]'"):
        on_cluster.connect(None)


@pytest.mark.parametrize(
    ("began", "words"), [(None, "the cluster had a place"), (5.0, "its process was set up")]
)
def test_what_was_missing_when_the_search_ended_is_said(
    monkeypatch: pytest.MonkeyPatch, began: float | None, words: str
) -> None:
    executor = RayExecutor.__new__(RayExecutor)
    monkeypatch.setattr(executor, "_bounds", Bounds(), raising=False)
    task = on_cluster._Task(job(1), frozenset("A"), end=9.0, setting_up=began)
    assert executor._judge(task, 8.0) is None
    assert words in str(executor._judge(task, 10.0))
