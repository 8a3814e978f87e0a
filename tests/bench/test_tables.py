from pathlib import Path

import pytest
from tests.tabular import tiny

from gcnas.bench import built_in, find_tables
from gcnas.errors import ConfigurationError, DataError
from gcnas.tabular import Description

KNOWN = {
    "nas-bench-macro": (6_561, 3_969, 93.1267),
    "channel-resnet": (16_384, 16_384, 93.8933),
    "channel-mobilenet": (16_384, 16_384, 91.8867),
    "nb201-cifar10": (15_625, 15_625, 91.6067),
    "nb201-cifar100": (15_625, 15_625, 73.4933),
    "nb201-imagenet16": (15_625, 15_625, 46.7333),
}
"""Rows, different networks and best reward, from the notes that come with the files."""


@pytest.mark.data
@pytest.mark.parametrize("name", KNOWN)
def test_built_in_tables(name: str, data_folder: Path) -> None:
    (reference,) = find_tables([name], data=data_folder)
    table = reference.load()
    rows, networks, best = KNOWN[name]
    assert (len(table.rows), table.networks, table.best) == (rows, networks, best)
    space = table.space
    keys = list(table.rows)[:: len(table.rows) // 50]
    for key in keys:
        architecture = space.from_key(key)
        assert space.decode(space.encode(architecture).actions) == architecture
        assert table.rows[space.key(architecture)] <= table.rows[key]
    parameters, multiply_adds = space.size(space.from_key(keys[-1]))
    assert 10**4 < parameters < multiply_adds < 10**10
    if name.startswith("nb201"):
        assert sorted(table.levels) == [12, 200]
        assert space.given == ((1,), (2,), (2,), (4,), (4,), (3, 4))
        assert [kind.name for kind in space.layer_types][:2] == ["none", "skip_connect"]
    if name.startswith("channel"):
        assert [kind.name for kind in space.layer_types] == ["layer"]
        assert space.from_key("4344424").layers[1].values == {"option_1": 0.75}


@pytest.mark.data
def test_published_figures_of_nas_bench_201(data_folder: Path) -> None:
    (reference,) = find_tables(["nb201-imagenet16"], data=data_folder)
    table = reference.load()
    best = next(key for key, row in table.rows.items() if table.levels[200].rewards[row] == table.best)
    assert table.test(table.space.from_key(best)) == pytest.approx(46.2, abs=0.005)


@pytest.mark.data
def test_macro_has_its_best_network_under_several_keys(data_folder: Path) -> None:
    (reference,) = find_tables(["nas-bench-macro"], data=data_folder)
    space = reference.load().space
    assert space.from_key("22212220").fingerprint == space.from_key("22212202").fingerprint


def test_built_in_descriptions_are_valid() -> None:
    assert set(built_in()) == set(KNOWN)
    for name, text in built_in().items():
        description = Description.parse(text, name)
        assert description.name == name
        assert description.sha256 is not None
        assert description.file is not None


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    table, description = tiny.write(tmp_path)
    (reference,) = find_tables([str(description)], [table])
    assert (reference.name, reference.file) == ("tiny", table)
    assert reference.load().best > 50
    # With the name of its file in the description, it is found beside it or in the data folder.
    named = tmp_path / "named.yaml"
    named.write_text(f"file: {table.name}\n{tiny.DESCRIPTION}")
    assert find_tables([str(named)])[0].file == table
    other = tmp_path / "other"
    (other / "tabular").mkdir(parents=True)
    (other / "tabular" / table.name).write_bytes(table.read_bytes())
    assert find_tables([str(named)], data=other)[0].file == other / "tabular" / table.name


def test_a_file_for_a_built_in_description(tmp_path: Path) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_text("arch,canonical,mean_acc,params,flops\n00000000,00000000,45.3,387882,7713280\n")
    (reference,) = find_tables(["nas-bench-macro"], [copy])
    with pytest.raises(DataError, match="--no-checksum"):
        reference.load()
    (reference,) = find_tables(["nas-bench-macro"], [copy], checksum=False)
    assert reference.load().best == 45.3


def test_tables_that_do_not_exist(tmp_path: Path) -> None:
    table, description = tiny.write(tmp_path)
    for spaces, tables, data, words in (
        ([], [], None, ["nas-bench-macro"]),
        (["nb202"], [], None, ["nb202", "nb201-cifar10"]),
        (["nas-bench-macro"], [], None, ["nas_bench_macro.csv.gz", "--data"]),
        (["nas-bench-macro"], [], tmp_path, ["nas_bench_macro.csv.gz", str(tmp_path)]),
        (["nas-bench-macro"], [], tmp_path / "none", ["does not exist", "none"]),
        ([str(tmp_path / "none.yaml")], [table], None, ["cannot be read", "none.yaml"]),
        ([str(description)], [], None, ["--table"]),
        ([str(description)], [tmp_path / "none.csv"], None, ["does not exist", "none.csv"]),
        ([str(description)], [table, table], None, ["2 tables", "1 descriptions"]),
        ([str(description), str(description)], [table, table], None, ["'tiny'", "twice"]),
    ):
        with pytest.raises(ConfigurationError) as caught:
            find_tables(spaces, tables, data)
        assert all(word in str(caught.value) for word in words), caught.value
