"""An executor that is made when there is something to evaluate."""

from collections.abc import Callable

from gcnas.execution.base import Executor, Job, Outcome


class LateExecutor(Executor):
    """Takes jobs to an executor that is made for the first of them: a run that goes on may have nothing to evaluate.

    Args:
        make: Makes the executor.
        capacity: Most jobs at once, as that of the executor.
        isolated: Whether candidates have other processes, as with the executor.
    """

    def __init__(self, make: Callable[[], Executor], *, capacity: int, isolated: bool) -> None:
        self._make, self.capacity, self.isolated = make, capacity, isolated
        self._made: Executor | None = None

    def prepare(self) -> None:
        """Make the executor, if it is not there yet."""
        self._executor()

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._executor().submit(job)

    def _executor(self) -> Executor:
        if self._made is None:
            self._made = self._make()
        return self._made

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Wait for results; none are there before the first job."""
        return [] if self._made is None else self._made.wait(seconds)

    def withdraw(self) -> list[int]:
        """Give back the jobs that nobody has begun."""
        return [] if self._made is None else self._made.withdraw()

    def close(self) -> None:
        """Free what the executor holds."""
        if self._made is not None:
            self._made.close()
