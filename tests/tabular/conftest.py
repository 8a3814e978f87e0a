import pytest
from tests.tabular import tiny

from gcnas.tabular import Description, Table, load_table


@pytest.fixture(scope="session")
def tiny_table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    table, description = tiny.write(tmp_path_factory.mktemp("tiny"))
    return load_table(table, Description.read(description))
