"""Worker processes: whatever a candidate does to its process costs that candidate only."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from tests.execution.deeds import Broken, Deeds, job

from gcnas.errors import ConfigurationError, DataError, WorkerError
from gcnas.execution import Job, Outcome, ProcessExecutor, SerialExecutor, processes, worker, worker_process
from gcnas.execution.memory import private_memory
from gcnas.execution.worker_process import Bounds, WorkerProcess
from gcnas.records import EvaluationState

Begin = Callable[..., ProcessExecutor]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    executors = []

    def begin(workers: int = 1, setup: Any = Deeds(), **options: Any) -> ProcessExecutor:  # noqa: B008
        executors.append(ProcessExecutor([setup] * workers, logs=tmp_path, **options))
        return executors[-1]

    yield begin
    for executor in executors:
        executor.close()


def run(executor: ProcessExecutor, *jobs: Job) -> dict[int, Outcome]:
    """All outcomes by trial; never more jobs at once than there are workers."""
    waiting, found, under_way = list(jobs), {}, 0
    while waiting or under_way:
        while waiting and under_way < executor.capacity:
            executor.submit(waiting.pop(0))
            under_way += 1
        for outcome in executor.wait():
            assert outcome.job.trial not in found
            found[outcome.job.trial] = outcome
            under_way -= 1
    return found


def pid(outcome: Outcome) -> int:
    return int(outcome.evaluation.metrics["pid"])


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(") ")[1][0] == "Z"
    except OSError:
        return True


def cpu_seconds(process: int) -> float:
    times = psutil.Process(process).cpu_times()
    return float(times.user + times.system)


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


# --- work


def test_workers_are_reused_and_results_come_whole(begin: Begin) -> None:
    executor = begin(2)
    assert (executor.capacity, executor.isolated) == (2, True)
    assert executor.wait() == []
    jobs = [job(number) for number in range(1, 9)]
    outcomes = run(executor, *jobs)
    assert [outcomes[number].job for number in range(1, 9)] == jobs
    for number, outcome in outcomes.items():
        evaluation = outcome.evaluation
        assert (evaluation.state, evaluation.score) == (EvaluationState.COMPLETE, number / 100)
        assert (evaluation.proposal, evaluation.fidelity) == (jobs[number - 1].proposal, jobs[0].fidelity)
        assert outcome.weights is not None
        assert outcome.weights["weight"].tolist() == [number]
    assert len({pid(outcome) for outcome in outcomes.values()}) <= 2
    assert os.getpid() not in {pid(outcome) for outcome in outcomes.values()}
    assert executor.wait() == []


def test_a_copy_of_a_run_may_lack_the_folder_for_logs(tmp_path: Path) -> None:
    executor = ProcessExecutor([Deeds()], logs=tmp_path / "run" / "logs")
    try:
        assert run(executor, job(1))[1].evaluation.score == 0.01
    finally:
        executor.close()


def test_files_that_stay_are_no_error_at_the_end(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    executor = begin(scratch=[tmp_path / "folder", tmp_path / "file"])
    executor.close()
    assert not (tmp_path / "file").exists()


def test_an_interrupted_end_is_gone_on_with(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = begin(2)
    executor.submit(job(1, "loop"))
    executor.submit(job(2, "loop"))
    assert wait_until(
        lambda: len(executor._workers) == 2 and all(w.ready for w in executor._workers.values()), 60
    )
    processes = [worker._process for worker in executor._workers.values()]
    with monkeypatch.context() as patched:
        patched.setattr(WorkerProcess, "close", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            executor.close()
    assert wait_until(lambda: all(gone(process.pid) for process in processes))
    executor.close()
    assert not executor._workers


def test_what_an_observer_raises_costs_no_result(begin: Begin) -> None:
    def tell(trial: int, share: float) -> None:
        if trial == 1:
            raise KeyError("observer")

    executor = begin(1, on_progress=tell)
    run(executor, job(2))
    time.sleep(worker.PROGRESS_SECONDS)
    executor.submit(job(1))
    assert wait_until(lambda: executor._messages.qsize() == 2)
    (outcome,) = executor.wait()
    assert outcome.evaluation.score == 0.01
    with pytest.raises(KeyError, match="observer"):
        executor.wait()


def test_no_more_workers_are_started_than_there_is_work_for(begin: Begin) -> None:
    executor = begin(50)
    outcomes = run(executor, job(1), job(2))
    assert len(outcomes) == 2
    assert len(list(Path(executor._logs).glob("worker-*.log"))) <= 2


def test_a_worker_that_is_ready_a_moment_late_is_counted(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = WorkerProcess.idle.fget
    assert idle is not None

    def seen_just_before(worker: WorkerProcess) -> bool:
        seen = idle(worker)
        assert wait_until(lambda: worker.ready)
        return bool(seen)

    monkeypatch.setattr(WorkerProcess, "idle", property(seen_just_before))
    executor = begin(50)
    assert len(run(executor, job(1), job(2))) == 2
    assert len(list(Path(executor._logs).glob("worker-*.log"))) <= 2


def test_who_is_done_first_comes_first(begin: Begin) -> None:
    executor = begin(2)
    run(executor, job(1, "slow"), job(2, "slow"))  # both are set up now
    executor.submit(job(3, "slower"))
    executor.submit(job(4))
    assert [outcome.job.trial for outcome in executor.wait()] == [4]
    # A free worker takes the next job while the other one is still busy.
    executor.submit(job(5))
    assert [outcome.job.trial for outcome in executor.wait()] == [5]
    assert [outcome.job.trial for outcome in executor.wait()] == [3]


def test_more_jobs_than_workers_wait_their_turn(begin: Begin) -> None:
    """As at a resume with fewer workers than trials were under way."""
    executor = begin(1)
    for number in (1, 2, 3):
        executor.submit(job(number))
    found: list[int] = []
    while len(found) < 3:
        found += [outcome.job.trial for outcome in executor.wait()]
    assert found == [1, 2, 3]


def test_what_no_worker_has_is_given_back(begin: Begin) -> None:
    executor = begin(1)
    for number in (1, 2, 3):
        executor.submit(job(number, "slower"))
    assert [outcome.job.trial for outcome in executor.wait()] == [1]  # the second has begun
    assert executor.withdraw() == [3]
    assert [outcome.job.trial for outcome in executor.wait()] == [2]
    assert (executor.withdraw(), executor.wait()) == ([], [])


def test_progress_is_told_with_the_trial(begin: Begin) -> None:
    told: list[tuple[int, float]] = []
    run(begin(on_progress=lambda trial, share: told.append((trial, share))), job(7))
    assert told == [(7, 0.5)]


def test_results_are_those_of_the_serial_executor(begin: Begin) -> None:
    jobs = [job(1), job(2, "raise"), job(3, "not finite"), job(4, "exit"), job(5, "memory error")]
    serial = SerialExecutor(Deeds()(lambda _trial, _share: None))
    for given in jobs:
        serial.submit(given)
    expected = [serial.wait()[0].evaluation for _ in jobs]
    found = run(begin(2), *jobs)
    for given, evaluation in zip(jobs, expected, strict=True):
        other = found[given.trial].evaluation
        assert (other.state, other.score, other.error_kind) == (
            evaluation.state,
            evaluation.score,
            evaluation.error_kind,
        )
        assert (other.error or "").splitlines()[-1:] == (evaluation.error or "").splitlines()[-1:]
    assert [evaluation.error_kind for evaluation in expected] == [
        None,
        "crash",
        "not-finite",
        "crash",
        "out-of-memory",
    ]


# --- candidates that take their process with them


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("abort", "SIGABRT"),
        ("kill", "SIGKILL"),
        ("segfault", "SIGSEGV"),
        ("hard exit", "exit code 3"),
    ],
)
def test_a_crash_costs_one_candidate_and_its_worker_is_replaced(begin: Begin, deed: str, words: str) -> None:
    outcomes = run(begin(), job(1), job(2, deed), job(3))
    evaluation = outcomes[2].evaluation
    assert (evaluation.state, evaluation.error_kind) == (EvaluationState.FAILED, "crash")
    assert words in (evaluation.error or "")
    assert (evaluation.proposal, evaluation.fidelity) == (job(2, deed).proposal, job(2).fidelity)
    assert outcomes[3].evaluation.score == 0.03
    assert pid(outcomes[1]) != pid(outcomes[3])
    assert gone(pid(outcomes[1]))


@pytest.mark.parametrize("deed", ["leave a child", "leave a daemon"])
def test_what_a_candidate_has_forked_holds_nobody_up(begin: Begin, deed: str) -> None:
    """The child has the worker's connection, which so is not closed by the death of the worker."""
    start, executor = time.monotonic(), begin()
    outcomes = run(executor, job(1, deed, seconds=30.0), job(2))
    error = outcomes[1].evaluation.error or ""
    assert "exit code 3" in error
    assert outcomes[2].evaluation.score == 0.02
    executor.submit(job(3, deed))
    time.sleep(0.2)
    executor.close()
    assert time.monotonic() - start < 20
    child = int(error.split("child ")[1])
    assert gone(child) == (deed == "leave a child")
    if deed == "leave a daemon":  # it is nobody's any more
        os.kill(child, signal.SIGKILL)


def test_a_program_that_a_candidate_has_started_is_killed_with_it(begin: Begin) -> None:
    """It has not the worker's connection, so that the death of the worker is known at once."""
    outcomes = run(begin(), job(1, "leave a program"), job(2))
    child = int((outcomes[1].evaluation.error or "").split("child ")[1])
    assert outcomes[2].evaluation.score == 0.02
    assert wait_until(lambda: gone(child), 2.0)


def test_a_result_is_told_although_no_further_worker_can_be_started(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = begin(2)
    executor.submit(job(1))
    executor.wait()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    executor.submit(job(2, "slow"))
    for number in (3, 4):
        with pytest.raises(WorkerError, match="cannot be started"):
            executor.submit(job(number, "slow"))
    assert [outcome.job.trial for outcome in executor.wait()] == [2]
    with pytest.raises(WorkerError, match="cannot be started"):
        executor.wait()


@pytest.mark.parametrize("refused", ["_listen", "_watch"])
def test_without_threads_no_process_is_left(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start, begin_thread = worker_process._start, threading.Thread.start

    def note(*arguments: Any) -> subprocess.Popen[bytes]:
        started.append(start(*arguments))
        return started[-1]

    def refuse(thread: Any) -> None:
        if thread._target.__name__ == refused:
            raise RuntimeError("can't start new thread")
        begin_thread(thread)

    monkeypatch.setattr(worker_process, "_start", note)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    executor = begin()
    with pytest.raises(WorkerError, match="can't start new thread"):
        executor.submit(job(1))
    assert len(started) == (refused == "_listen")
    assert all(process.returncode is not None for process in started)
    executor.close()


def test_a_failure_is_told_although_no_worker_can_take_its_place(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = begin()
    executor.submit(job(1))
    executor.wait()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    executor.submit(job(2, "abort"))
    (outcome,) = executor.wait()
    assert (outcome.job.trial, outcome.evaluation.error_kind) == (2, "crash")
    with pytest.raises(WorkerError, match="cannot be started"):
        executor.wait()


def test_a_crash_leaves_its_last_words(begin: Begin) -> None:
    outcome = run(begin(), job(1, "abort"))[1]
    assert "about to abort" in (outcome.evaluation.error or "")
    assert "Fatal Python error: Aborted" in (outcome.evaluation.error or "")


def test_a_log_that_somebody_deleted_is_no_reason_to_wait_for_ever(begin: Begin, tmp_path: Path) -> None:
    executor = begin()
    run(executor, job(1))
    for log in tmp_path.glob("*.log"):
        log.unlink()
    outcomes = run(executor, job(2, "kill"), job(3))
    assert outcomes[2].evaluation.error_kind == "crash"
    assert outcomes[3].evaluation.score == 0.03


def test_a_log_on_a_disk_that_is_gone_holds_nobody_up(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    executor = begin()
    run(executor, job(1))
    log = executor._workers[0]._log
    broken = SimpleNamespace(fileno=log.fileno, name=log.name, closed=False, close=refuse)
    executor._workers[0]._log = broken  # type: ignore[assignment]
    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", refuse)
        executor.submit(job(2, "slow"))
        (outcome,) = executor.wait(30.0)
        assert outcome.job.trial == 2
        executor.submit(job(3, "kill"))
        (outcome,) = executor.wait(30.0)
        assert outcome.evaluation.error_kind == "crash"
    log.close()
    assert executor._guard.is_alive()
    assert run(executor, job(4))[4].evaluation.score == 0.04


def test_a_candidate_that_prints_on_and_on_fills_no_disk(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "MAX_LOG", 100_000)
    sizes, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            sizes.append(sum(log.stat().st_size for log in tmp_path.glob("worker-1*.log")))

    monkeypatch.setattr(processes, "CHECK_SECONDS", 0.02)
    watcher = threading.Thread(target=watch)
    watcher.start()
    outcomes = run(begin(bounds=Bounds(grace=0.3)), job(1, "endless chatter", seconds=1.5), job(2))
    done.set()
    watcher.join()
    assert outcomes[1].evaluation.error_kind == "time-out"
    assert outcomes[2].evaluation.score == 0.02
    assert max(sizes) > 100_000
    assert sum(after < before for before, after in pairwise(sizes)) > 1  # emptied, again and again


@pytest.mark.parametrize("deed", ["loop", "deaf loop"])
def test_an_endless_loop_ends_at_the_time_limit(begin: Begin, deed: str) -> None:
    executor = begin(2, bounds=Bounds(grace=0.3))
    start = time.monotonic()
    outcomes = run(executor, job(1), job(2, deed, seconds=0.4), job(3), job(4))
    evaluation = outcomes[2].evaluation
    assert (evaluation.state, evaluation.error_kind) == (EvaluationState.FAILED, "time-out")
    assert "the limit is 0.4 s" in (evaluation.error or "")
    assert 0.8 <= evaluation.seconds <= time.monotonic() - start
    assert {number for number, outcome in outcomes.items() if outcome.evaluation.score} == {1, 3, 4}


def test_without_a_time_limit_silence_ends_a_loop(begin: Begin) -> None:
    # What has a time limit may be silent: it is only there to follow.
    outcomes = run(begin(bounds=Bounds(silence=0.5)), job(1, "loop"), job(2, seconds=60.0))
    assert outcomes[1].evaluation.error_kind == "time-out"
    assert "No sign of progress" in (outcomes[1].evaluation.error or "")
    assert outcomes[2].evaluation.score == 0.02


@pytest.mark.skipif(
    private_memory(os.getpid()) is None, reason="no /proc: the memory of workers is not limited"
)
def test_a_hoard_ends_at_the_memory_limit(begin: Begin) -> None:
    outcomes = run(begin(bounds=Bounds(memory=300 * 10**6)), job(1, "hoard"), job(2))
    evaluation = outcomes[1].evaluation
    assert (evaluation.state, evaluation.error_kind) == (EvaluationState.FAILED, "out-of-memory")
    assert "its limit is 300 MB" in (evaluation.error or "")
    assert outcomes[2].evaluation.score == 0.02


def test_killed_idle_worker_costs_nothing(begin: Begin) -> None:
    executor = begin()
    victim = pid(run(executor, job(1))[1])
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: gone(victim))
    outcome = run(executor, job(2))[2]
    assert outcome.evaluation.score == 0.02
    assert pid(outcome) != victim


# --- errors of the run


def test_errors_of_the_run_pass(begin: Begin) -> None:
    executor = begin()
    executor.submit(job(1, "run error"))
    with pytest.raises(DataError, match="images are gone"):
        executor.wait()


def test_results_that_came_with_an_error_of_the_run_are_given_first(begin: Begin) -> None:
    executor = begin(2)
    run(executor, job(1, "slow"), job(2, "slow"))  # both workers are ready now
    executor.submit(job(3))
    executor.submit(job(4, "run error"))
    time.sleep(1.0)
    assert [outcome.job.trial for outcome in executor.wait()] == [3]
    with pytest.raises(DataError, match="images are gone"):
        executor.wait()


def test_results_that_arrive_after_an_error_of_the_run_are_given_before_it(begin: Begin) -> None:
    executor = begin(1)
    run(executor, job(1))  # the worker is ready now
    executor.submit(job(2))
    heard: list[Any] = []
    until = time.monotonic() + 60
    while not any(isinstance(message, worker.Done) for _, message in heard) and time.monotonic() < until:
        heard.append(executor._messages.get(timeout=60))
    for each in heard:
        executor._messages.put(each)
    executor._problem = WorkerError("made up")
    assert [outcome.job.trial for outcome in executor.wait()] == [2]
    for speak in (executor.wait, lambda: executor.submit(job(3))):  # else it might never be told
        with pytest.raises(WorkerError, match="made up"):
            speak()


def test_a_worker_that_lost_its_gpu_is_replaced(begin: Begin) -> None:
    """Nothing else could be evaluated there."""
    executor = begin(1)
    outcomes = run(executor, job(1), job(2, "lose the GPU"), job(3), job(4))
    assert [outcomes[number].evaluation.error_kind for number in (1, 2, 3, 4)] == [None, "crash", None, None]
    assert pid(outcomes[1]) != pid(outcomes[3]) == pid(outcomes[4])


def test_a_job_that_waited_for_a_worker_gets_no_more_than_what_is_left(begin: Begin) -> None:
    executor = begin(1)
    run(executor, job(9))  # starting the process would count against the first one alone
    executor.submit(replace(job(1, "slow"), left=60.0))
    executor.submit(replace(job(2), left=60.0))
    first, second = executor.wait() + executor.wait()
    assert (first.job.trial, second.job.trial) == (1, 2)
    assert 0 < (second.job.seconds or 0) < (first.job.seconds or 0) - 0.4 < 60


@pytest.mark.parametrize(
    ("how", "words"),
    [("refuse", "The images are gone"), ("raise", "a bug"), ("die", "3 worker processes in a row died")],
)
def test_workers_that_cannot_be_set_up_end_the_run(begin: Begin, how: str, words: str) -> None:
    executor = begin(2, Broken(how))
    executor.submit(job(1))
    executor.submit(job(2))
    with pytest.raises(WorkerError, match=words):
        executor.wait()


def test_a_refused_process_ends_the_run(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(WorkerError, match=r"cannot be started.*/no/such/python.*workers=1"):
        begin().submit(job(1))


def test_workers_that_are_never_ready_end_the_run(begin: Begin) -> None:
    executor = begin(1, Broken("sleep"), bounds=Bounds(start=0.2))
    executor.submit(job(1))
    with pytest.raises(WorkerError, match=r"not set up after 0 s"):
        executor.wait()


@pytest.mark.skipif(
    private_memory(os.getpid()) is None, reason="no /proc: the memory of workers is not limited"
)
def test_a_limit_below_what_a_worker_needs_ends_the_run(begin: Begin) -> None:
    executor = begin(bounds=Bounds(memory=1_000_000))
    executor.submit(job(1))
    with pytest.raises(WorkerError, match=r"before it evaluates anything, and may take 1 MB.*--worker-memory"):
        executor.wait()


def test_what_cannot_be_pickled_is_told_with_a_way_out(begin: Begin) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be pickled .*workers=1"):
        begin(1, lambda _tell: None)


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="no /proc: no such order of killing")
def test_where_memory_runs_out_workers_die_before_their_driver(begin: Begin) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    executor = begin()
    (outcome,) = run(executor, job(1)).values()
    assert int(Path(f"/proc/{pid(outcome)}/oom_score_adj").read_text()) == max(own, worker.FIRST_TO_DIE)


# --- the end


def test_close_ends_workers_and_deletes_scratch_files(begin: Begin, tmp_path: Path) -> None:
    scratch = tmp_path / "images"
    scratch.touch()
    executor = begin(2, scratch=[scratch])
    outcomes = run(executor, job(1, "slow"), job(2, "slow"))
    executor.submit(job(3, "deaf loop"))
    start = time.monotonic()
    executor.close()
    executor.close()
    assert time.monotonic() - start < 5
    assert all(gone(pid(outcome)) for outcome in outcomes.values())
    assert not scratch.exists()


DRIVER = """
import sys
from pathlib import Path
from gcnas.execution import ProcessExecutor
from tests.execution.deeds import Deeds, job
executor = ProcessExecutor([Deeds()] * 2, logs=Path(sys.argv[1]))
executor.submit(job(1, "slower")), executor.submit(job(2, "slower"))  # so that one worker does not do both
pids = [int(outcome.evaluation.metrics["pid"]) for _ in range(2) for outcome in executor.wait()]
print(*pids, flush=True)
executor.submit(job(3, sys.argv[2])), executor.submit(job(4, sys.argv[2]))
while True:
    executor.wait()
"""


def start_driver(tmp_path: Path, repository: Path, deed: str) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path), deed],
        cwd=repository,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    workers = [int(word) for word in process.stdout.readline().split()]
    if len(set(workers)) != 2:
        process.kill()
        pytest.fail(f"two workers were to do one job each, but these did: {workers}")
    return process, workers


@pytest.mark.parametrize("deed", ["deaf loop", "score"])
def test_workers_die_with_their_driver(tmp_path: Path, repository: Path, deed: str) -> None:
    """Even inside C code that never returns to Python, and even if the driver is killed."""
    process, workers = start_driver(tmp_path, repository, deed)
    with process:
        if deed == "deaf loop":
            before = {worker: cpu_seconds(worker) for worker in workers}
            assert wait_until(lambda: all(cpu_seconds(each) > before[each] + 0.5 for each in workers), 60.0)
        assert not any(map(gone, workers))
        process.kill()
    assert wait_until(lambda: all(map(gone, workers)))


def test_ctrl_c_is_the_drivers_alone(tmp_path: Path, repository: Path) -> None:
    process, workers = start_driver(tmp_path, repository, "loop")
    with process:
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        time.sleep(0.3)
        assert not any(map(gone, workers))
        process.kill()


def test_waiting_no_longer_than_told(begin: Begin) -> None:
    executor = begin()
    executor.submit(job(1))
    start = time.monotonic()
    assert executor.wait(0.0) == []  # the worker is being started
    assert time.monotonic() - start < 1.0
    (outcome,) = executor.wait(60.0)
    assert outcome.job.trial == 1
