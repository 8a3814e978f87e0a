"""Evaluations looked up in a table, on simulated workers with a simulated clock."""

import heapq

from gcnas.errors import GCNASError
from gcnas.execution.base import Executor, Job, Outcome
from gcnas.records import Evaluation, EvaluationState
from gcnas.tabular import Table

NOT_IN_TABLE = "not-in-table"
"""Kind of the error of a network that the table lacks."""


class TableExecutor(Executor):
    """Looks scores up; the clock jumps from one finished job to the next, the earliest first.

    A job starts when a simulated worker is free and takes the seconds that the table gives, 0 if it gives none. A
    network that the table lacks is infeasible and takes no time.

    Args:
        table: The table.
        capacity: Number of simulated workers.

    Attributes:
        clock: Simulated seconds since the start.
    """

    def __init__(self, table: Table, capacity: int = 1) -> None:
        if capacity < 1:
            raise GCNASError(f"A table needs at least one simulated worker, but got {capacity}.")
        self.capacity = capacity
        self.clock = 0.0
        self._table = table
        self._free = [0.0] * capacity
        self._running: list[tuple[float, int, Outcome]] = []
        self._submitted = 0

    def submit(self, job: Job) -> None:
        """Give a job to the worker that is free first."""
        evaluation = look_up(self._table, job)
        end = max(self.clock, heapq.heappop(self._free)) + evaluation.seconds
        heapq.heappush(self._free, end)
        self._submitted += 1
        heapq.heappush(self._running, (end, self._submitted, Outcome(job, evaluation)))

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Move the clock to the next job that is done, and give all that are done then.

        Args:
            seconds: The clock moves on by at most so many simulated seconds.
        """
        done: list[Outcome] = []
        if self._running:
            end = max(self.clock, self._running[0][0])
            self.clock = end if seconds is None else min(end, self.clock + seconds)
        while self._running and self._running[0][0] <= self.clock:
            done.append(heapq.heappop(self._running)[2])
        return done


def look_up(table: Table, job: Job) -> Evaluation:
    """What the table says about a job; infeasible where it says nothing."""
    entry = table.entry(job.proposal.architecture, job.fidelity.epochs)
    if entry is None:
        return Evaluation(
            job.proposal,
            EvaluationState.INFEASIBLE,
            error_kind=NOT_IN_TABLE,
            error=f"{NOT_IN_TABLE}: {table.space.key(job.proposal.architecture)}",
        )
    return Evaluation(job.proposal, EvaluationState.COMPLETE, entry.reward, job.fidelity, seconds=entry.seconds)
