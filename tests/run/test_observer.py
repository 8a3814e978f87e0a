import logging

import pytest

from gcnas.run.observer import Observer


def test_notes_are_logged_where_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    Observer().note("Half of the images cannot be read.")
    assert caplog.record_tuples == [("gcnas", logging.WARNING, "Half of the images cannot be read.")]


def test_an_interrupt_is_told_where_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    Observer().stopping()
    assert "Another interrupt stops now" in caplog.text
