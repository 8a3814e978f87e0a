"""Evaluations one after the other in this process."""

import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from gcnas.errors import CandidateError, GCNASError, NotFiniteError
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
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Put a job in the queue."""
        self._jobs.append(job)

    def wait(self) -> list[Outcome]:
        """Run the oldest job."""
        if not self._jobs:
            return []
        job = self._jobs.popleft()
        start = self._clock()
        try:
            score, metrics, weights = self._evaluate(job)
            if not math.isfinite(score):
                raise NotFiniteError(f"The score is {score}.")
        except GCNASError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a candidate raises costs that candidate only
            return [Outcome(job, failure(job, error, self._clock() - start))]
        evaluation = Evaluation(
            job.proposal,
            EvaluationState.COMPLETE,
            score,
            job.fidelity,
            dict(metrics),
            seconds=self._clock() - start,
        )
        return [Outcome(job, evaluation, weights)]


def failure(job: Job, error: BaseException, seconds: float) -> Evaluation:
    """The evaluation of a job that raised.

    A typed failure is its message; an unforeseen one comes with the last lines of its traceback.
    """
    if isinstance(error, CandidateError):
        kind, message = error.kind, str(error)
    else:
        kind, message = "crash", "".join(traceback.format_exception(error))[-MAX_MESSAGE:]
    return Evaluation(
        job.proposal,
        EvaluationState.FAILED,
        fidelity=job.fidelity,
        error_kind=kind,
        error=message[:MAX_MESSAGE],
        seconds=seconds,
    )
