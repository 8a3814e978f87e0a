"""CSV files of paths and labels."""

from pathlib import Path

import pytest

from gcnas.data import check, load
from gcnas.data.source import TEST, TRAIN, UNSPLIT, VALIDATION
from gcnas.data.table import read_table
from gcnas.errors import DataError


def table(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,cat\nb.png,dog\n",
        "a.png,cat\nb.png,dog\n",
        "\ufeffFilename;ID;Class\r\na.png;1;cat\r\n\r\nb.png;2;dog\r\n",
        "label\timage path\ncat\ta.png\ndog\tb.png",
        '"path","label"\n"a.png", "cat"\n"b.png","dog"\n',
    ],
)
def test_variants_say_the_same(tmp_path: Path, text: str) -> None:
    source = read_table(table(tmp_path, text))
    assert source.class_names == ("cat", "dog")
    assert source.labels.tolist() == [0, 1]
    assert source.images.shown == ("a.png", "b.png")
    assert source.images.paths == (tmp_path / "a.png", tmp_path / "b.png")
    assert source.given.tolist() == [UNSPLIT, UNSPLIT]


def test_paths_and_columns(tmp_path: Path) -> None:
    source = read_table(table(tmp_path, f"path,label,who\nsub\\a.png,1,x\n{tmp_path}/b.png,10,y\n/c.png,9,z\n"))
    assert source.images.paths == (tmp_path / "sub" / "a.png", tmp_path / "b.png", Path("/c.png"))
    assert source.class_names == ("1", "9", "10")
    assert source.notices == ("Columns not used: who.",)


def test_headers_as_other_programs_write_them(tmp_path: Path) -> None:
    """R writes points for spaces, pandas a column of numbers without a name."""
    source = read_table(table(tmp_path, ",file.name,class.name\n0,a.png,cat\n1,b.png,dog\n"))
    assert source.class_names == ("cat", "dog")
    assert source.images.shown == ("a.png", "b.png")
    assert source.notices == ("Columns not used: one without a name.",)


def test_splits(tmp_path: Path) -> None:
    source = read_table(table(tmp_path, "a.png,x,train\nb.png,y, Val \nc.png,y,TESTING\n"))
    assert source.given.tolist() == [TRAIN, VALIDATION, TEST]
    empty = read_table(table(tmp_path, "path,label,split\na.png,x,\nb.png,y,\n"))
    assert empty.given.tolist() == [UNSPLIT, UNSPLIT]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("path,label\n", "no rows"),
        ("name,species\na.png,cat\n", "first row"),
        ("only\n", "first row"),
        ("path,label\na.png\n", "line 2"),
        ("path,label\na.png,cat\nb.png,\n", "line 3"),
        ("path,label\na.png,cat\n", "2 to 10,000 classes"),
        ("a.png,cat,train\nb.png,dog,holdout\n", "line 2 .* 'holdout'"),
        ("a.png,cat,train\nb.png,dog,\n", "line 2"),
        ("path,label\na.png,cat,train\nb.png,dog,test\n", "line 2 .* has more cells than the first row"),
        ("a.png,cat\nb.png,dog,test\n", "line 2 .* has more cells"),
        ("path,label\n" + "x" * 200_000 + ",cat\n", "cannot be read as CSV"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(table(tmp_path, text))


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="UTF-8"):
        read_table(table(tmp_path, "path,label\na.png,Bär\n", "latin-1"))


def test_paths_that_lead_nowhere_are_told(folder) -> None:
    root = folder({"cat": 3, "dog": 3})
    rows = [f"images/{name}/{i:03d}.png,{name}" for name in ("cat", "dog") for i in range(3)]
    path = table(root, "\n".join(rows))
    for read in (load, check):
        with pytest.raises(
            DataError, match=r"none of 6 is, first images/cat/000\.png \(file not found\)"
        ) as caught:
            read(path)
        assert f"relative to its folder; this one leads to {root / 'images/cat/000.png'}." in str(caught.value)


def test_missing_files_are_broken_images(folder) -> None:
    root = folder({"cat": 5, "dog": 5})
    rows = [f"{name}/{i:03d}.png,{name}" for name in ("cat", "dog") for i in range(6)]
    dataset = load(table(root, "\n".join([*rows, "nul\0.png,cat"])))
    assert len(dataset.labels) + dataset.size_test == 10
    assert any("3 images are" in notice and "file not found" in notice for notice in dataset.notices)


def test_a_quote_that_is_never_closed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('path,label\na.png,cat\nb.png,"dog\nc.png,cat\nd.png,dog\n')
    with pytest.raises(DataError, match="is a quote never closed"):
        read_table(tmp_path / "a.csv")


def test_a_quote_in_a_column_that_is_not_used(tmp_path: Path) -> None:
    rows = "".join(f"{number}.png,{'ab'[number % 2]},fine\n" for number in range(6))
    open_end = f'path,label,caption\n{rows}x.png,a,"big red\n{rows}'
    with pytest.raises(DataError, match="begins after line 7: it never ends; is a quote never closed"):
        read_table(table(tmp_path, open_end))
    closed_late = open_end.replace("5.png,b,fine\n", '5.png,b,"fine"\n')
    source = read_table(table(tmp_path, closed_late))
    assert any("over several lines: 1, the first from line 8 to 14;" in notice for notice in source.notices)
    with pytest.raises(DataError, match=r"begins after line 7: .*limit.*; is a quote never closed"):
        read_table(table(tmp_path, open_end + 20_000 * rows[:12]))
    fine = read_table(table(tmp_path, f'path,label,caption\n{rows}x.png,a,"big red"\n'))
    assert fine.notices == ("Columns not used: caption.",)
    assert len(fine.labels) == 7


def test_one_name_in_two_forms_of_unicode_is_one_class(tmp_path: Path) -> None:
    rows = ["a.png,caf\u00e9", "b.png,cafe\u0301", "c.png,tea"]
    (tmp_path / "a.csv").write_text("path,label\n" + "\n".join(rows), encoding="utf-8")
    assert read_table(tmp_path / "a.csv").class_names == ("caf\u00e9", "tea")
