"""Evaluations one after the other in this process."""

import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from gcnas.errors import CandidateError, GCNASError, NotFiniteError, OutOfMemoryError, WorkerError
from gcnas.execution.base import Executor, Job, Outcome
from gcnas.records import Evaluation, EvaluationState

Evaluated: TypeAlias = tuple[float, Mapping[str, float], Mapping[str, Any] | None]
"""Score, further figures by name, and trained weights if there are any."""

MAX_MESSAGE = 4_000
"""Characters of an error that are kept."""


class SerialExecutor(Executor):
    """Runs each job when it is waited for.

    Args:
        evaluate: Evaluates one job; a :class:`~gcnas.errors.CandidateError` that it raises, or any other error
            that is not one of the run, becomes a failed evaluation.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self, evaluate: Callable[[Job], Evaluated], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._evaluate, self._clock = evaluate, clock
        self._jobs: deque[tuple[Job, float]] = deque()
        self._unusable = False

    def submit(self, job: Job) -> None:
        """Put a job in the queue."""
        self._jobs.append((job, self._clock()))

    def wait(self, seconds: float | None = None) -> list[Outcome]:  # noqa: ARG002 - it waits for nobody
        """Run the oldest job.

        Raises:
            WorkerError: If the job before it left this process without a GPU.
        """
        if not self._jobs:
            return []
        if self._unusable:
            raise WorkerError(
                "The last candidate left the GPU unusable for this process. Resume the run: a new process can use it."
            )
        job, since = self._jobs.popleft()
        outcome = attempt(self._evaluate, job.after(self._clock() - since), self._clock)
        self._unusable = spoils_gpu(outcome)
        return [outcome]

    def withdraw(self) -> list[int]:
        """Give back the queue."""
        withdrawn = [job.trial for job, _ in self._jobs]
        self._jobs.clear()
        return withdrawn


def attempt(
    evaluate: Callable[[Job], Evaluated], job: Job, clock: Callable[[], float] = time.monotonic
) -> Outcome:
    """Run one job; whatever the candidate raises is its failure.

    Raises:
        GCNASError: Where the run itself cannot go on.
    """
    start = clock()
    try:
        score, metrics, weights = evaluate(job)
        if not math.isfinite(score):
            raise NotFiniteError(f"The score is {score}.")
    except GCNASError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it raises costs that candidate only
        return Outcome(job, failure(job, error, clock() - start))
    evaluation = Evaluation(
        job.proposal, EvaluationState.COMPLETE, score, job.fidelity, dict(metrics), seconds=clock() - start
    )
    return Outcome(job, evaluation, weights)


def spoils_gpu(outcome: Outcome) -> bool:
    """Whether a candidate met an error after which its process cannot use the GPU any more.

    Such errors (an assertion or an illegal address in a kernel) come again at every later call; that memory ran out
    is none of them.
    """
    evaluation = outcome.evaluation
    return evaluation.error_kind != OutOfMemoryError.kind and "CUDA error" in (evaluation.error or "")


def failure(job: Job, error: BaseException, seconds: float) -> Evaluation:
    """The evaluation of a job that raised.

    A typed failure is its message; an unforeseen one comes with the last lines of its traceback.
    """
    if isinstance(error, CandidateError):
        kind, message = error.kind, str(error)
    elif isinstance(error, MemoryError):
        kind, message = OutOfMemoryError.kind, f"Memory ran out: {error!r}"
    else:
        kind, message = "crash", "".join(traceback.format_exception(error))[-MAX_MESSAGE:]
    return Evaluation(
        job.proposal,
        EvaluationState.FAILED,
        fidelity=job.fidelity,
        metrics={},
        error_kind=kind,
        error=message[:MAX_MESSAGE],
        seconds=seconds,
    )
