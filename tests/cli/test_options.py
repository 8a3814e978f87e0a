import pytest

from gcnas.cli.options import seconds_of
from gcnas.errors import ConfigurationError


def test_a_time_in_seconds() -> None:
    assert seconds_of(None) is None
    assert seconds_of("1.5m") == 90


@pytest.mark.parametrize("text", ["0s", "20", "soon", "-5m"])
def test_what_is_no_time_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--time is a time such as 90s or 10m, but got '{text}'"):
        seconds_of(text)
