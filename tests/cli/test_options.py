import pytest
from rich.text import Text
from typer.main import get_command

from gcnas.cli.app import app
from gcnas.cli.options import seconds_of
from gcnas.errors import ConfigurationError
from gcnas.run.context import MIXED_FROM


def helps() -> dict[str, str]:
    """The help of every command, option and argument."""
    found: dict[str, str] = {}
    groups = [("gcnas", get_command(app))]
    while groups:
        path, command = groups.pop()
        found[path] = command.help or ""
        found |= {f"{path} {p.name}": p.help for p in command.params if getattr(p, "help", None)}
        groups += [(f"{path} {name}", sub) for name, sub in getattr(command, "commands", {}).items()]
    return found


def test_nothing_in_a_help_is_taken_for_markup() -> None:
    """Where brackets are not escaped, what is in them is not printed."""
    found = helps()
    assert sum("[default:" in text for text in found.values()) > 40
    for name, text in found.items():
        assert Text.from_markup(text).plain == text.replace("\\[", "["), name


def test_a_time_in_seconds() -> None:
    assert seconds_of(None) is None
    assert seconds_of("1.5m") == 90


@pytest.mark.parametrize("text", ["0s", "20", "soon", "-5m"])
def test_what_is_no_time_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--time is a time such as 90s or 10m, but got '{text}'"):
        seconds_of(text)


def test_the_passes_from_which_images_are_mixed_are_those_of_the_help() -> None:
    told = [text for name, text in helps().items() if name.endswith(" mixing")]
    assert len(told) > 2
    assert all(f"of {MIXED_FROM} passes and more" in text for text in told)
