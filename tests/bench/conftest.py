from pathlib import Path

import pytest
from tests.tabular import tiny

from gcnas.bench import TableReference, find_tables


@pytest.fixture(scope="session")
def tiny_reference(tmp_path_factory: pytest.TempPathFactory) -> TableReference:
    table, description = tiny.write(tmp_path_factory.mktemp("tiny"))
    return find_tables([str(description)], [Path(table)])[0]
