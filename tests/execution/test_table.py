import pytest
from tests.tabular.tiny import write

from gcnas.errors import GCNASError
from gcnas.execution import Job
from gcnas.execution.table import TableExecutor
from gcnas.records import Evaluation, EvaluationState, Fidelity, Proposal
from gcnas.tabular import Description, Table, load_table

FULL = Fidelity(10)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    path, description = write(tmp_path_factory.mktemp("tiny"))
    return load_table(path, Description.read(description))


def _job(table: Table, number: int, key: str, fidelity: Fidelity = FULL) -> Job:
    architecture = table.space.from_key(key)
    return Job(number, Proposal(architecture, table.space.encode(architecture), "test"), fidelity)


def _keys(table: Table, *seconds: float) -> list[str]:
    """Keys of networks whose training takes these seconds."""
    found = []
    for wanted in seconds:
        found.append(
            next(
                key for key in table.rows
                if key not in table.space.representatives
                and key not in found
                and (entry := table.entry(table.space.from_key(key)))
                and entry.seconds == wanted
            )
        )  # fmt: skip
    return found


def _run(executor: TableExecutor) -> list[tuple[float, list[int]]]:
    steps = []
    while outcomes := executor.wait():
        steps.append((executor.clock, [outcome.job.trial for outcome in outcomes]))
    return steps


def test_one_worker_takes_one_job_after_the_other(table: Table) -> None:
    executor = TableExecutor(table)
    for number, key in enumerate(_keys(table, 5, 2, 3)):
        executor.submit(_job(table, number, key))
    assert _run(executor) == [(5.0, [0]), (7.0, [1]), (10.0, [2])]


def test_three_workers_finish_in_the_order_of_their_ends(table: Table) -> None:
    executor = TableExecutor(table, capacity=3)
    for number, key in enumerate(_keys(table, 5, 2, 3)):
        executor.submit(_job(table, number, key))
    assert [outcome.job.trial for outcome in executor.wait()] == [1]
    # Starts at 2, when its worker is free, and ends at 5 together with the first.
    executor.submit(_job(table, 3, _keys(table, 3)[0]))
    assert _run(executor) == [(3.0, [2]), (5.0, [0, 3])]
    assert executor.wait() == []


def test_a_job_that_comes_late_starts_late(table: Table) -> None:
    executor = TableExecutor(table, capacity=2)
    executor.submit(_job(table, 0, _keys(table, 4)[0]))
    executor.wait()
    executor.submit(_job(table, 1, _keys(table, 2)[0]))
    assert _run(executor) == [(6.0, [1])]


def test_evaluations_hold_the_reward_and_nothing_of_the_test(table: Table) -> None:
    executor = TableExecutor(table)
    job = _job(table, 0, "c2c2")
    executor.submit(job)
    (outcome,) = executor.wait()
    entry = table.entry(job.proposal.architecture)
    assert entry is not None
    expected = Evaluation(
        job.proposal, EvaluationState.COMPLETE, entry.reward, FULL, seconds=entry.seconds
    )  # fmt: skip
    assert outcome.evaluation == expected
    assert outcome.weights is None


def test_a_shorter_training_has_its_own_columns(table: Table) -> None:
    executor = TableExecutor(table)
    executor.submit(_job(table, 0, "c2c2"))
    executor.submit(_job(table, 1, "c2c2", Fidelity(2)))
    (full,), (short,) = executor.wait(), executor.wait()
    assert short.evaluation.score == pytest.approx(full.evaluation.score - 10)
    assert short.evaluation.seconds == pytest.approx(full.evaluation.seconds / 5)
    assert executor.clock == pytest.approx(full.evaluation.seconds * 1.2)


@pytest.mark.parametrize("key", ["c2p2", "p2p2c1"])
def test_what_the_table_lacks_is_infeasible_and_takes_no_time(table: Table, key: str) -> None:
    executor = TableExecutor(table)
    executor.submit(_job(table, 0, key))
    (outcome,) = executor.wait()
    assert outcome.evaluation.state is EvaluationState.INFEASIBLE
    assert outcome.evaluation.score is None
    assert key in str(outcome.evaluation.error)
    assert executor.clock == 0.0


def test_there_is_at_least_one_worker(table: Table) -> None:
    with pytest.raises(GCNASError, match="0"):
        TableExecutor(table, capacity=0)


def test_waiting_no_longer_than_told(table: Table) -> None:
    executor = TableExecutor(table, capacity=2)
    for number, key in enumerate(_keys(table, 5, 2)):
        executor.submit(_job(table, number, key))
    assert executor.wait(1.5) == []
    assert executor.clock == 1.5
    assert [outcome.job.trial for outcome in executor.wait(10.0)] == [1]
    assert executor.clock == 2.0
