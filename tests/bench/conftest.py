from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.tabular import tiny

from gcnas.bench import TableReference, find_tables, processes
from gcnas.bench.processes import Task


@pytest.fixture(scope="session")
def tiny_reference(tmp_path_factory: pytest.TempPathFactory) -> TableReference:
    table, description = tiny.write(tmp_path_factory.mktemp("tiny"))
    return find_tables([str(description)], [Path(table)])[0]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Runs are done in this process; the list is of those that were."""
    done: list[Task] = []

    def results(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, object]]:
        for task in tasks:
            done.append(task)
            yield task, processes._run(task)

    monkeypatch.setattr(processes, "_results", results)
    return done
