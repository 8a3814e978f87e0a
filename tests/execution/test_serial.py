"""Evaluations in this process: what becomes of results and of errors."""

from dataclasses import replace

import pytest

from gcnas.errors import (
    BuildError,
    CandidateError,
    DataError,
    NotFiniteError,
    OutOfMemoryError,
    RunFolderError,
    TimeLimitError,
    WorkerError,
)
from gcnas.execution import Evaluated, Job, SerialExecutor
from gcnas.execution.serial import MAX_MESSAGE
from gcnas.records import Architecture, EvaluationState, Fidelity, Layer, Proposal, Trajectory
from gcnas.training.memory import memory_errors


def job(number: int) -> Job:
    architecture = Architecture((Layer("dot", (("filters", number),), (0,)),))
    return Job(number, Proposal(architecture, Trajectory((), ()), "random"), Fidelity(2, 3))


def test_what_is_withdrawn_is_not_run() -> None:
    executor = SerialExecutor(lambda given: (given.trial / 10, {}, None))
    executor.submit(job(1))
    executor.submit(job(2))
    assert [outcome.job.trial for outcome in executor.wait()] == [1]
    assert executor.withdraw() == [2]
    assert (executor.withdraw(), executor.wait()) == ([], [])


class Steps:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_jobs_run_in_order_when_waited_for() -> None:
    ran: list[int] = []

    def evaluate(given: Job) -> Evaluated:
        ran.append(given.trial)
        return given.trial / 10, {"loss": 1.0}, {"weight": given.trial}

    executor = SerialExecutor(evaluate, Steps())
    assert executor.capacity == 1
    assert executor.wait() == []
    executor.submit(job(1))
    executor.submit(job(2))
    assert ran == []
    (first,), (second,) = executor.wait(), executor.wait()
    assert executor.wait() == []
    assert ran == [1, 2]
    assert (first.job, second.job) == (job(1), job(2))
    assert first.weights == {"weight": 1}
    evaluation = second.evaluation
    assert (evaluation.state, evaluation.score) == (EvaluationState.COMPLETE, 0.2)
    assert (evaluation.proposal, evaluation.fidelity) == (job(2).proposal, Fidelity(2, 3))
    assert (evaluation.metrics, evaluation.seconds, evaluation.error) == ({"loss": 1.0}, 1.0, None)
    executor.close()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (CandidateError("odd"), "crash"),
        (BuildError("no such shape"), "build"),
        (NotFiniteError("the loss became nan"), "not-finite"),
        (OutOfMemoryError("3 GiB"), "out-of-memory"),
        (TimeLimitError("after 3 s"), "time-out"),
    ],
)
def test_typed_failures_are_their_message(error: CandidateError, kind: str) -> None:
    executor = SerialExecutor(raising(error), Steps())
    executor.submit(job(1))
    (outcome,) = executor.wait()
    evaluation = outcome.evaluation
    assert (evaluation.state, evaluation.score) == (EvaluationState.FAILED, None)
    assert (evaluation.error_kind, evaluation.error) == (kind, str(error))
    assert (evaluation.fidelity, evaluation.seconds, outcome.weights) == (Fidelity(2, 3), 1.0, None)


def test_other_errors_come_with_the_end_of_their_traceback() -> None:
    def deep(depth: int) -> Evaluated:
        if depth:
            return deep(depth - 1)
        raise IndexError("x" * 2_000 + " the end")

    executor = SerialExecutor(lambda given: deep(200 if given.trial == 1 else 0))
    executor.submit(job(1))
    executor.submit(job(2))
    (long,), (short,) = executor.wait(), executor.wait()
    for outcome in (long, short):
        assert outcome.evaluation.error_kind == "crash"
        assert (outcome.evaluation.error or "").strip().endswith("the end")
        assert len(outcome.evaluation.error or "") <= MAX_MESSAGE
    assert (short.evaluation.error or "").startswith("Traceback")
    assert "IndexError" in (short.evaluation.error or "")


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_scores_are_finite(score: float) -> None:
    executor = SerialExecutor(lambda _: (score, {}, {"weight": 1}))
    executor.submit(job(1))
    (outcome,) = executor.wait()
    assert outcome.evaluation.state is EvaluationState.FAILED
    assert outcome.evaluation.error_kind == "not-finite"
    assert outcome.weights is None


@pytest.mark.parametrize("error", [DataError("gone"), RunFolderError("full"), KeyboardInterrupt()])
def test_errors_of_the_run_pass(error: BaseException) -> None:
    executor = SerialExecutor(raising(error))
    executor.submit(job(1))
    with pytest.raises(type(error)):
        executor.wait()
    assert executor.wait() == []


def raising(error: BaseException):
    def evaluate(given: Job) -> Evaluated:
        raise error

    return evaluate


# --- waiting, and GPUs that are lost


def test_a_job_that_waited_gets_no_more_than_what_is_left() -> None:
    limits: list[float | None] = []

    def evaluate(given: Job) -> Evaluated:
        limits.append(given.seconds)
        return 0.5, {}, None

    executor = SerialExecutor(evaluate, Steps())
    waits = replace(job(1), left=30.0)
    for number, seconds in ((1, None), (2, 100.0), (3, 3.0)):
        executor.submit(replace(waits, trial=number, seconds=seconds))
    executor.submit(replace(waits, left=2.0))
    executor.submit(job(5))
    for _ in range(5):
        executor.wait()
    # The clock says 1 to 5 when they are given; three steps a job go by.
    assert limits == [30.0 - (6 - 1), 30.0 - (9 - 2), 3.0, 1.0, None]


def test_a_gpu_without_room_is_not_lost() -> None:
    def evaluate(given: Job) -> Evaluated:
        if given.trial == 1:
            with memory_errors():
                raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        return 0.5, {}, None

    executor = SerialExecutor(evaluate)
    for number in (1, 2):
        executor.submit(job(number))
    (first,), (second,) = executor.wait(), executor.wait()
    assert first.evaluation.error_kind == "out-of-memory"
    assert second.evaluation.state is EvaluationState.COMPLETE


def test_a_gpu_that_is_lost_costs_one_candidate_and_ends_the_run() -> None:
    def evaluate(given: Job) -> Evaluated:
        if given.trial == 2:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return 0.5, {}, None

    executor = SerialExecutor(evaluate)
    for number in (1, 2, 3):
        executor.submit(job(number))
    (first,), (second,) = executor.wait(), executor.wait()
    assert first.evaluation.state is EvaluationState.COMPLETE
    assert second.evaluation.error_kind == "crash"
    with pytest.raises(WorkerError, match="Resume the run"):
        executor.wait()
