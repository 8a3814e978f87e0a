"""The executor that is made for the first job."""

from tests.execution.deeds import job

from gcnas.execution import Evaluated, Executor, Job, LateExecutor, SerialExecutor


def test_it_is_made_once_and_for_the_first_job() -> None:
    made: list[Executor] = []

    def make() -> Executor:
        made.append(SerialExecutor(evaluate))
        return made[-1]

    def evaluate(given: Job) -> Evaluated:
        return given.trial / 10, {}, None

    executor = LateExecutor(make, capacity=1, isolated=False)
    assert (executor.wait(), executor.withdraw()) == ([], [])
    assert not made
    executor.submit(job(1))
    executor.prepare()
    executor.submit(job(2))
    executor.submit(job(3))
    assert [outcome.evaluation.score for _ in range(2) for outcome in executor.wait()] == [0.1, 0.2]
    assert (executor.withdraw(), executor.wait()) == ([3], [])
    executor.close()
    assert len(made) == 1


def test_nothing_is_closed_that_was_not_made() -> None:
    def make() -> Executor:
        raise AssertionError("nobody has asked for it")

    executor = LateExecutor(make, capacity=3, isolated=True)
    assert (executor.capacity, executor.isolated) == (3, True)
    executor.close()
