import errno
import pickle
import sys
from pathlib import Path

import pytest

from gcnas.errors import SpaceError
from gcnas.space import SearchSpace, load_space
from gcnas.space.presets import CNN

GOOD = """
from gcnas.space import SearchSpace
from gcnas.space.presets.cnn import Conv2d

SPACE = SearchSpace("mine", (Conv2d(),))
OTHER = "no space"
"""


OWN = """
from gcnas.space import SearchSpace
from gcnas.space.presets.cnn import Conv2d

class Mine(Conv2d):
    pass

SPACE = SearchSpace("mine", (Mine(),))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A user's file of a name that no other test uses: it stays among the modules."""
    path = tmp_path / f"space_{tmp_path.name}.py"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_presets_by_name() -> None:
    assert load_space("cnn") is CNN


def test_a_users_own_file(file: Path) -> None:
    space = load_space(f"{file}:SPACE")
    assert isinstance(space, SearchSpace)
    assert (space.name, list(space.by_name)) == ("mine", ["conv2d"])


def test_a_relative_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert load_space(f"{file.name}:SPACE").name == "mine"
    assert load_space(f"./{file.name}:SPACE").name == "mine"
    monkeypatch.chdir(file.parent.parent)
    assert load_space(f"{file.parent.name}/{file.name}:SPACE").name == "mine"


def test_a_path_with_colons_and_spaces(tmp_path: Path) -> None:
    path = tmp_path / "a: b" / "my space.py"
    path.parent.mkdir()
    path.write_text(GOOD, encoding="utf-8")
    assert load_space(f"{path}:SPACE").name == "mine"


def test_a_file_that_changed_is_read_again(file: Path) -> None:
    assert load_space(f"{file}:SPACE").max_depth == 20
    file.write_text(GOOD.replace("(Conv2d(),)", "(Conv2d(),), max_depth=5"), encoding="utf-8")
    assert load_space(f"{file}:SPACE").max_depth == 5


def sent(space: SearchSpace) -> SearchSpace:
    found: SearchSpace = pickle.loads(pickle.dumps(space))  # noqa: S301
    return found


def test_files_of_one_name_and_one_file_named_twice(file: Path) -> None:
    other = file.parent / "other" / file.name
    other.parent.mkdir()
    other.write_text(OWN, encoding="utf-8")
    file.write_text(OWN, encoding="utf-8")
    spaces = [load_space(f"{path}:SPACE") for path in (file, other, file)]
    kinds = [type(space.layer_types[0]) for space in spaces]
    assert kinds[0] is kinds[2]
    assert kinds[0] is not kinds[1]
    for space in spaces:  # as they are sent to worker processes
        assert sent(space).name == "mine"
    other.write_text("x = 1 / 0", encoding="utf-8")
    with pytest.raises(SpaceError, match="division by zero"):
        load_space(f"{other}:SPACE")
    assert sent(spaces[1]).name == "mine"  # what was read before stays


@pytest.mark.parametrize(
    "reference",
    ["", "cnm", "CNN", "my_space.py", "my_space:SPACE", "my_space.txt:SPACE", ":SPACE", "a.py:", "a.py:1"],
)
def test_references_of_another_form(reference: str) -> None:
    with pytest.raises(SpaceError, match=r"\['cnn', 'mobile'\] or FILE.py:NAME") as caught:
        load_space(reference)
    assert repr(reference) in str(caught.value)


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"does not exist: .*nowhere\.py"):
        load_space(f"{tmp_path / 'nowhere.py'}:SPACE")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(SpaceError, match="does not exist"):
        load_space(f"{tmp_path / 'folder.py'}:SPACE")


@pytest.mark.parametrize(("name", "kind"), [("OTHER", "str"), ("MISSING", "NoneType"), ("Conv2d", "type")])
def test_a_variable_that_is_no_space(file: Path, name: str, kind: str) -> None:
    with pytest.raises(SpaceError, match=rf"must define {name} = SearchSpace\(\.\.\.\), but {name} is {kind}"):
        load_space(f"{file}:{name}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1 / 0", "raised ZeroDivisionError: division by zero"),
        ("import no_such_module_at_all", "raised ModuleNotFoundError: .*no_such_module_at_all"),
        ("SPACE = (", r"raised SyntaxError: .*line 1"),
        ("  SPACE = 1", "raised IndentationError"),
        ("import sys; sys.exit('enough')", "raised SystemExit: enough"),
        ("from gcnas.space import *; SPACE = SearchSpace('s', ())", "raised SpaceError: A space needs"),
        ("from gcnas.space import *; SPACE = SearchSpace('s', (LayerType))", "raised TypeError"),
    ],
)
def test_a_file_that_raises(file: Path, text: str, message: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError, match=message) as caught:
        load_space(f"{file}:SPACE")
    assert str(file) in str(caught.value)
    assert not any(file.stem in name for name in sys.modules)


def test_a_file_that_cannot_be_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SpaceError, match="cannot be read: Permission denied"):
        load_space(f"{file}:SPACE")


def test_a_file_that_is_not_text(file: Path) -> None:
    file.write_bytes(b"SPACE = '\xff\x00'")
    with pytest.raises(SpaceError, match="raised"):
        load_space(f"{file}:SPACE")
