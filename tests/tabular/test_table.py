import gzip
import hashlib
import math
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.tabular import tiny

from gcnas.errors import DataError, SpaceError
from gcnas.tabular import Description, Table, load_table, make_space
from gcnas.tabular.columns import read_columns
from gcnas.tabular.description import CostColumn

DESCRIPTION = Description.parse(
    "name: t\nkey: key\nreward: score\ntest: test\ncost: seconds\n"
    "decisions:\n"
    "  - {name: a, kind: layer, choices: {0: none, 1: conv}}\n"
    "  - {name: b, kind: layer, choices: {0: none, 1: conv}}\n",
    "here",
)
TEXT = "key,score,test,seconds\n00,1.5,9,1\n01,2.5,8,2\n10,,7,\n11,nan,6,1\n"


def _write(folder: Path, text: str = TEXT) -> Path:
    path = folder / "t.csv"
    path.write_text(text)
    return path


def test_values(tmp_path: Path) -> None:
    table = load_table(_write(tmp_path), DESCRIPTION)
    entries = {key: table.entry(table.space.from_key(key)) for key in ("00", "01", "10", "11")}
    assert entries["00"] is not None
    assert (entries["00"].reward, entries["00"].seconds) == (1.5, 1.0)
    assert entries["10"] is entries["11"] is None
    assert table.best == 2.5
    assert table.test(table.space.from_key("01")) == 8.0
    with pytest.raises(SpaceError, match="epochs"):
        table.entry(table.space.from_key("00"), epochs=12)


def test_all_forms_of_a_file_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    np.savez(
        tmp_path / "t.npz",
        key=np.array(["00", "01", "10", "11"]),
        score=np.array([1.5, 2.5, np.nan, np.nan]),
        test=np.array([9, 8, 7, 6]),
        seconds=np.array([1.0, 2.0, 0.0, 1.0]),
        other=np.zeros((3, 3)),
    )
    expected = load_table(_write(tmp_path), DESCRIPTION)
    for name in ("t.csv.gz", "bom.csv", "t.npz"):
        table = load_table(tmp_path / name, DESCRIPTION)
        assert table.rows == expected.rows
        np.testing.assert_array_equal(table.levels[1].rewards, expected.levels[1].rewards)
        np.testing.assert_array_equal(table.tests, expected.tests)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT.replace("01,", "02,"), ["Row 2", "'b'", "'2'", "0, 1"]),
        (TEXT.replace("01,", "011,"), ["Row 2", "2 tokens", "3"]),
        (TEXT.replace("01,", "00,"), ["Rows 1 and 2", "'00'"]),
        (TEXT.replace("2.5", "high"), ["Row 2", "'score'", "'high'"]),
        (TEXT.replace("2.5,8,2", "2.5,8,"), ["Row 2", "'seconds'"]),
        (TEXT.replace("2.5,8,2", "2.5,8,-2"), ["Row 2", "'seconds'", "'-2'"]),
        (TEXT.replace("01,2.5", "01,2.5,3"), ["Row 2", "5 cells", "4"]),
        (TEXT.replace("01,2.5", "\n\n01,2.5,3"), ["Row 2", "5 cells", "4"]),
        (TEXT.replace("2.5", "high").replace("01,", "\n\n01,"), ["Row 2", "'score'", "'high'"]),
        (TEXT.replace("score", "reward"), ["no column", "'score'", "reward"]),
        (TEXT.replace("test", "score"), ["2 columns", "'score'"]),
        ("key,score,test,seconds\n", ["no rows"]),
        ("key,score,test,seconds\n00,,1,1\n", ["no number", "'score'"]),
        ("", ["no column", "no header"]),
        ('key,score,test,seconds\n"00,1,1', ["cannot be read"]),
        pytest.param(
            f"key,score,test,seconds{',x' * 10_000}\n", ["at most 10,000 columns", "10,004"], id="columns"
        ),
    ],
)
def test_mistakes_in_a_table_are_named(text: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_table(_write(tmp_path, text), DESCRIPTION)
    assert all(word in str(caught.value) for word in ["t.csv", *words]), caught.value


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("01,", "$,", "tokens"),
        ("01,", '"0,$",', "there"),
        ("2.5", "$", "must be a number"),
        ("2.5,8,2", "2.5,8,-$", "numbers from 0"),
    ],
)
def test_long_cells_are_told_in_short(old: str, new: str, words: str, tmp_path: Path) -> None:
    digit = "1" if "-" in new else "x"
    with pytest.raises(DataError, match=words) as caught:
        load_table(_write(tmp_path, TEXT.replace(old, new.replace("$", digit * 9_999))), DESCRIPTION)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_damaged_and_hostile_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", key=np.array([{}], dtype=object), score=[1], test=[1], seconds=[1])
    np.savez(tmp_path / "square.npz", key=np.array([["00"]]), score=[1], test=[1], seconds=[1])
    np.savez(tmp_path / "unequal.npz", key=np.array(["00", "01"]), score=[1], test=[1], seconds=[1])
    whole = gzip.compress(TEXT.encode())
    (tmp_path / "cut.csv.gz").write_bytes(whole[:-12])
    (tmp_path / "binary.csv").write_bytes(bytes(range(128, 256)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "square.npz").read_bytes()[:200])
    with zipfile.ZipFile(tmp_path / "header.npz", "w") as archive:
        for name in ("key", "score", "test", "seconds"):
            text = b"{[1]: 2}".ljust(117) + b"\n"
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
    names = ("objects", "square", "unequal", "cut", "header")
    for name in (*(f"{stem}.npz" for stem in names), "cut.csv.gz", "binary.csv", "none.csv"):
        with pytest.raises(DataError, match=name):
            load_table(tmp_path / name, DESCRIPTION)


def test_archives_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"score": [1], "test": [1], "seconds": [1]}
    np.savez(tmp_path / "many.npz", key=np.array(["00"]), **columns, **{f"c{i}": [0] for i in range(100)})
    np.savez_compressed(tmp_path / "bomb.npz", key=np.zeros(100_000, "S8"), **columns)
    np.savez(tmp_path / "long.npz", key=np.zeros(100_000), **columns)
    np.savez(tmp_path / "wide.npz", key=np.array(["0" * 50_000]), **columns)
    monkeypatch.setattr("gcnas.tabular.columns.MAX_TEXT", 40_000)
    monkeypatch.setattr("gcnas.data.npz.MAX_DIRECTORY", 1_000)
    monkeypatch.setattr("gcnas.data.npz.RATIO_FROM", 2**19)
    monkeypatch.setattr("gcnas.tabular.columns.MAX_ROWS", 99_999)
    for name, message in (
        ("many", "list of the arrays"),
        ("bomb", "would unpack"),
        ("long", "at most 99,999"),
        ("wide", "texts of more than 40,000"),
    ):
        with pytest.raises(DataError, match=message):
            load_table(tmp_path / f"{name}.npz", DESCRIPTION)


def test_the_columns_of_an_archive_are_bounded_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has 160 bytes; others in the archive are not read."""
    path = tmp_path / "t.npz"
    np.savez(path, **{name: np.zeros(4) for name in "abcd"})
    monkeypatch.setattr("gcnas.tabular.columns.MAX_BYTES", 400)
    assert read_columns(path.read_bytes(), ["a", "b"], path)["b"] == ["0.0"] * 4
    with pytest.raises(DataError, match="take more than 400 bytes"):
        read_columns(path.read_bytes(), ["a", "b", "c"], path)


def test_texts_of_bytes_are_texts(tmp_path: Path) -> None:
    rows = [line.split(",") for line in TEXT.split()]
    columns = dict(zip(rows[0], np.array(rows[1:]).T, strict=True))
    np.savez(tmp_path / "a.npz", **{name: np.char.encode(column, "utf-8") for name, column in columns.items()})
    assert load_table(tmp_path / "a.npz", DESCRIPTION).best == load_table(_write(tmp_path), DESCRIPTION).best


def test_another_file_than_the_one_that_was_checked(tmp_path: Path) -> None:
    path = _write(tmp_path)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    right = DESCRIPTION.model_copy(update={"sha256": found})
    wrong = DESCRIPTION.model_copy(update={"sha256": "0" * 64})
    assert load_table(path, right).sha256 == found
    assert load_table(path, wrong, checksum=False).best == 2.5
    with pytest.raises(DataError) as caught:
        load_table(path, wrong)
    assert all(word in str(caught.value) for word in (found, "0" * 64, "--no-checksum"))


def test_the_tiny_table_says_what_it_was_made_of(tiny_table: Table) -> None:
    first = tiny.networks()
    for row in tiny.rows():
        kept = first[row.network]
        entry = tiny_table.entry(tiny_table.space.from_key(row.key))
        if kept.validation is None:
            assert entry is None
            continue
        assert entry is not None
        assert (entry.reward, entry.seconds) == (kept.validation, kept.seconds)
        short = tiny_table.entry(tiny_table.space.from_key(row.key), epochs=2)
        assert short is not None
        assert (short.reward, short.seconds) == pytest.approx((kept.validation - 10, kept.seconds / 5))
        assert tiny_table.test(tiny_table.space.from_key(row.key)) == kept.test
    assert tiny_table.networks == len(first)
    assert tiny_table.best == max(row.validation for row in first.values() if row.validation is not None)
    assert tiny_table.entry(tiny_table.space.from_key("c2p2")) is None


def test_signals_of_networks(tmp_path: Path) -> None:
    file, text = tiny.write(tmp_path)
    table = load_table(file, Description.read(text).model_copy(update={"signals": ("seconds", "short")}))
    rows = {row.key: row for row in tiny.rows()}
    for key in ("c1c1", "p2p2c1"):
        found = table.signals(table.space.from_key(key))
        assert found["seconds"] == rows[key].seconds
        assert math.isnan(found["short"]) == (rows[key].validation is None)
    missing = table.signals(table.space.decode(table.space.code.actions("c2p2")))
    assert set(missing) == {"seconds", "short"}
    assert all(math.isnan(value) for value in missing.values())
    assert load_table(file, Description.read(text)).signals(table.space.from_key("c1c1")) == {}
    with pytest.raises(DataError, match="nothing"):
        load_table(file, Description.read(text).model_copy(update={"signals": ("nothing",)}))


def test_sizes_of_networks(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("key,score,test,seconds,same,p,m\n00,1,9,1,a,10,0.5\n01,2,8,2,b,20,1\n11,3,7,1,c,40,3\n")
    sizes = {"parameters": CostColumn(column="p"), "multiply_adds": CostColumn(column="m", factor=100)}
    space = load_table(file, DESCRIPTION.model_copy(update=sizes)).space
    assert space.sized
    assert [space.size(space.from_key(key)) for key in ("00", "01", "11")] == [(10, 50), (20, 100), (40, 300)]
    assert space.size(space.from_key("10")) == (0, 0)  # there is no such row
    assert not load_table(file, DESCRIPTION).space.sized
    for wrong in ("", "-1", "1e30"):
        file.write_text(f"key,score,test,seconds,same,p,m\n00,1,9,1,a,10,{wrong}\n")
        with pytest.raises(DataError, match="'m' must hold numbers from 0"):
            load_table(file, DESCRIPTION.model_copy(update=sizes))


def test_a_network_stands_for_itself_in_the_first_row_that_has_a_reward(tmp_path: Path) -> None:
    text = "key,score,test,seconds,same\n00,,9,1,x\n01,2.5,8,2,x\n10,1.5,7,1,\n11,9.5,6,1,x\n"
    description = DESCRIPTION.model_copy(update={"canonical": "same"})
    table = load_table(_write(tmp_path, text), description)
    assert {key: table.space.key(table.space.from_key(key)) for key in ("00", "01", "10", "11")} == {
        "00": "01",
        "01": "01",
        "10": "10",
        "11": "01",
    }
    assert (table.best, table.networks) == (2.5, 2)


@pytest.mark.parametrize("nothing", ["", " ", "nan", "NaN"])
def test_networks_without_a_name_are_their_own(tmp_path: Path, nothing: str) -> None:
    text = f"key,score,test,seconds,same\n00,1,9,1, x\n01,2,8,2,x\n10,3,7,1,{nothing}\n11,4,6,1,{nothing}\n"
    table = load_table(_write(tmp_path, text), DESCRIPTION.model_copy(update={"canonical": "same"}))
    assert (table.best, table.networks) == (4.0, 3)


def test_missing_numbers_as_names_are_none(tmp_path: Path) -> None:
    same = np.array([7.0, 7.0, math.nan, math.nan])
    keys, score = np.array(["00", "01", "10", "11"]), np.array([1.0, 2.0, 3.0, 4.0])
    path = tmp_path / "t.npz"
    np.savez(path, key=keys, score=score, test=score, seconds=score, same=same)
    table = load_table(path, DESCRIPTION.model_copy(update={"canonical": "same"}))
    assert (table.best, table.networks) == (4.0, 3)


def test_rows_without_a_reward_need_no_size(tmp_path: Path) -> None:
    sizes = {"parameters": CostColumn(column="p"), "multiply_adds": CostColumn(column="m")}
    path = _write(tmp_path, "key,score,test,seconds,p,m\n00,1,9,1,10,5\n01,,,,,\n")
    space = load_table(path, DESCRIPTION.model_copy(update=sizes)).space
    assert [space.size(space.from_key(key)) for key in ("00", "01")] == [(10, 5), (0, 0)]


def test_a_column_that_begins_as_a_zip_does(tmp_path: Path) -> None:
    path = _write(tmp_path, "PK,score\n00,1\n01,2\n")
    changes = {"key": "PK", "test": None, "cost": None}
    assert load_table(path, DESCRIPTION.model_copy(update=changes)).best == 2.0


def test_the_description_in_the_documentation_can_be_used(repository: Path) -> None:
    text = (repository / "docs" / "bench.md").read_text(encoding="utf-8")
    block = text[text.index("name: mine") :]
    space = make_space(Description.parse(block[: block.index("```")], "docs/bench.md"))
    assert [layer.inputs for layer in space.from_key("0a1b").layers] == [(0,), (1,)]
    assert space.from_key("0a").depth == 1


@pytest.mark.parametrize("place", [0, 2])
def test_a_line_of_very_many_cells_is_not_taken_apart(tmp_path: Path, place: int) -> None:
    lines = TEXT.splitlines()
    (tmp_path / "wide.csv").write_text("\n".join([*lines[:place], "," * 10_000, *lines[place:]]))
    with pytest.raises(DataError, match=r"at most 10,000 columns; a line of .*wide\.csv has 10,001"):
        load_table(tmp_path / "wide.csv", DESCRIPTION)


def test_a_table_that_is_packed_far_too_well(tmp_path: Path) -> None:
    """A small file that would fill the memory; cell by cell it is one like others."""
    header, *_ = TEXT.splitlines()
    row = ",".join(["0" * 1_000] * (header.count(",") + 1))
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress("\n".join([header, *[row] * 5_000]).encode()))
    with pytest.raises(DataError, match="more than 200 times its own bytes"):
        load_table(tmp_path / "bomb.csv.gz", DESCRIPTION)
