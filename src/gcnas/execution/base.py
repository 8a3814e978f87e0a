"""What every executor is: where evaluations run."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gcnas.records import Evaluation, Fidelity, Proposal

LEAST_SECONDS = 1.0
"""Time limit of a job for which nothing is left; none would mean no limit, and less is no try."""


@dataclass(frozen=True)
class Job:
    """One evaluation to run.

    Attributes:
        trial: Number of the trial.
        proposal: What to evaluate.
        fidelity: How much training it gets.
        seconds: Time limit; None for none.
        start: Checkpoint of a shorter training of this network to go on from; it may be missing.
        keep: Where to leave a checkpoint for a longer training.
        left: Seconds until the search is over when the job is submitted; None where no time ends it. A job that waits
            for a place, or is repeated, gets no more than what is left of them.
    """

    trial: int
    proposal: Proposal
    fidelity: Fidelity
    seconds: float | None = None
    start: Path | None = None
    keep: Path | None = None
    left: float | None = None

    def after(self, waited: float) -> "Job":
        """The job as it begins when it has waited so many seconds: with no more time than the search has left."""
        if self.left is None:
            return self
        left = max(self.left - waited, LEAST_SECONDS)
        return replace(self, left=left, seconds=left if self.seconds is None else min(self.seconds, left))


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        job: The job as it began: its time limit is the shorter one if the search had less time left by then.
        evaluation: Its result, complete or failed.
        weights: Trained weights by name (tensors on the CPU), where there are any.
    """

    job: Job
    evaluation: Evaluation
    weights: Mapping[str, Any] | None = None


class Executor(ABC):
    """Runs jobs.

    Contract:
        - ``submit`` takes a job without waiting for it; at most ``capacity`` are under way.
        - ``wait`` blocks until at least one job is done and gives all that are; each job once. With more than one
          under way it may be told to come back after some seconds, then without any.
        - A job never raises: its failure is an outcome. ``KeyboardInterrupt`` may pass; the jobs under way are
          then lost.
    """

    capacity: int = 1

    isolated: bool = False
    """Whether a candidate that takes its process with it leaves the driver alive."""

    def prepare(self) -> None:  # noqa: B027 - most are ready when they are made
        """Get ready for jobs, so that what cannot be is found out before any is written down."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Take a job."""

    @abstractmethod
    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Wait for results.

        Args:
            seconds: Longest time to wait; None for as long as it takes. An executor that runs its one job in here
                need not look at it.
        """

    def withdraw(self) -> list[int]:
        """Give back the jobs that nobody has begun, by the numbers of their trials; nothing more is told of them."""
        return []

    def close(self) -> None:  # noqa: B027 - an executor that holds nothing has nothing to free
        """Free what the executor holds; jobs under way are lost."""
