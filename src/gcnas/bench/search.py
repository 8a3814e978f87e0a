"""One search of a strategy on a table or a synthetic problem."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import cast

from gcnas.bench.arms import create_arm
from gcnas.bench.problem import Problem
from gcnas.errors import BenchError
from gcnas.execution import Job, Outcome
from gcnas.execution.table import TableExecutor, look_up
from gcnas.records import Evaluation, EvaluationState, Proposal
from gcnas.run.middleware import MAX_REJECTIONS, Unique
from gcnas.run.trial import Rejection
from gcnas.strategy import SignalSource, Strategy
from gcnas.tabular import Table

MAX_QUERIES = 1_000_000
"""Most queries of a run."""


@dataclass(frozen=True)
class Query:
    """One evaluated network of a run: unique, and known to the table.

    Attributes:
        key: Its key in the table.
        score: Reward.
        test: Test score, which the strategy did not see; None if there is none.
        source: Who proposed it.
        duplicates: Proposals since the query before that repeated a network.
        infeasible: Proposals since then that the table lacks.
        overhead: Seconds of processor time in ``ask`` and ``tell``.
        clock: Simulated seconds when it was finished.
    """

    key: str
    score: float
    test: float | None
    source: str
    duplicates: int
    infeasible: int
    overhead: float
    clock: float


@dataclass(frozen=True)
class Run:
    """One strategy with one seed on one table.

    Attributes:
        space: Name of the space.
        strategy: Name of the strategy.
        seed: Seed of the strategy.
        budget: Queries that it was allowed.
        optimum: Highest reward in the table.
        queries: In order; fewer than the budget if the optimum was found, or nothing new was proposed.
        repeats_after: Repeats after the last query, where they ended the run; a ``raw.csv`` does not tell them.
        overhead_after: Seconds of processor time that the strategy spent on these; nor does it tell that.
    """

    space: str
    strategy: str
    seed: int
    budget: int
    optimum: float
    queries: tuple[Query, ...]
    repeats_after: int = 0
    overhead_after: float = 0.0

    @property
    def overhead(self) -> float:
        """Seconds of processor time that the strategy spent on all of it."""
        return sum(query.overhead for query in self.queries) + self.overhead_after


class InTable(Unique):
    """Lets every network of the table pass once."""

    def __init__(self, inner: Strategy, log: list[Rejection], table: Problem) -> None:
        super().__init__(inner, log, ())
        self._table = _as_table(table)

    def verdict(self, proposal: Proposal) -> Evaluation | None:
        """Infeasible if there is no number for it, a duplicate if it was proposed before."""
        evaluation = look_up(self._table, Job(0, proposal, self._table.fidelity))
        return evaluation if evaluation.state is EvaluationState.INFEASIBLE else super().verdict(proposal)


def search_table(table: Problem, strategy_name: str, seed: int, budget: int, batch: int = 1) -> Run:
    """Search until the optimum is found, the budget is spent, or nothing new is proposed.

    A query is one unique network of the table. A repeat is told the score that the network got, a network that the
    table lacks is told as infeasible; both are free, but 1,000 in a row end the run.

    Args:
        table: The table, or a synthetic problem.
        strategy_name: Name of the strategy, or of an arm of an experiment.
        seed: Its seed.
        budget: Most queries.
        batch: Proposals asked for at once, and simulated workers.

    Raises:
        ConfigurationError: If there is no such strategy.
        BenchError: If not one network of the table was proposed.
    """
    strategy = create_arm(strategy_name, table.space, seed, signals_of(table))
    return search_with(table, strategy, strategy_name, seed, budget, batch)


def search_with(table: Problem, inner: Strategy, name: str, seed: int, budget: int, batch: int = 1) -> Run:
    """The same with a strategy that is made already; ``name`` and ``seed`` are what the run is called.

    Raises:
        BenchError: If not one network of the table was proposed.
    """
    log: list[Rejection] = []
    strategy = InTable(inner, log, table)
    executor = TableExecutor(_as_table(table), batch)
    queries: list[Query] = []
    best, fruitless = float("-inf"), 0.0
    while len(queries) < budget and best < table.best:
        start = time.process_time()
        proposals = strategy.ask(min(batch, budget - len(queries)))
        asked = time.process_time() - start
        if not proposals:
            fruitless = asked
            break
        finished = _evaluate(executor, proposals, table)
        start = time.process_time()
        strategy.tell([outcome.evaluation for outcome, _ in finished])
        overhead = (asked + time.process_time() - start) / len(finished)
        queries += _queries(table, finished, log, overhead)
        best = max(best, *(query.score for query in queries[-len(finished) :]))
    if not queries:
        raise BenchError(
            f"None of the first {MAX_REJECTIONS:,} proposals of {name} is in the table of "
            f"{table.space.name}; if that table is not damaged, the strategy cannot search it."
        )
    after = sum(rejection.reason == "duplicate" for rejection in log)
    return Run(table.space.name, name, seed, budget, table.best, tuple(queries), after, fruitless)


def signals_of(problem: Problem) -> SignalSource | None:
    """What a table knows of networks without training; None where it knows nothing."""
    if not isinstance(problem, Table) or not problem.measured:
        return None
    return SignalSource(tuple(problem.measured), problem.signals)


def _as_table(problem: Problem) -> Table:
    # Executors look scores up by ``entry`` and ``space.key`` alone, which every problem has.
    return cast("Table", problem)


def _evaluate(
    executor: TableExecutor, proposals: list[Proposal], table: Problem
) -> list[tuple[Outcome, float]]:
    """Outcomes in the order in which they are finished, with the simulated time of each."""
    for number, proposal in enumerate(proposals):
        executor.submit(Job(number, proposal, table.fidelity))
    finished: list[tuple[Outcome, float]] = []
    while len(finished) < len(proposals):
        finished += [(outcome, executor.clock) for outcome in executor.wait()]
    return finished


def _queries(
    table: Problem, finished: list[tuple[Outcome, float]], log: list[Rejection], overhead: float
) -> list[Query]:
    """What is kept of a batch; what was rejected before it is counted with its first query."""
    rejected = Counter(rejection.reason for rejection in log)
    log.clear()
    queries = []
    for outcome, clock in finished:
        architecture, score = outcome.evaluation.proposal.architecture, outcome.evaluation.score
        query = Query(
            key=table.space.key(architecture),
            score=float("nan") if score is None else score,
            test=table.test(architecture),
            source=outcome.evaluation.proposal.source,
            duplicates=rejected["duplicate"],
            infeasible=rejected["limit"],
            overhead=overhead,
            clock=clock,
        )
        queries.append(query)
        rejected.clear()
    return queries
