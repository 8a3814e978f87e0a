"""Ctrl-C while a run goes on, wherever Python happens to be."""

import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gcnas.run.driver import Driver
from gcnas.run.interrupts import graceful_interrupts
from gcnas.run.observer import Observer


class AtOnce(Observer):
    at_once = True


def driver() -> Driver:
    """What an interrupt needs of one."""

    def stop_now() -> None:
        raise KeyboardInterrupt

    return cast("Driver", SimpleNamespace(interrupted=False, stop_now=stop_now))


def in_a_finaliser(interrupt: Callable[[], None]) -> None:
    class Last:
        def __del__(self) -> None:
            interrupt()

    Last()


def in_a_callback(interrupt: Callable[[], None]) -> None:
    class Last:
        pass

    last = Last()
    watch = weakref.ref(last, lambda _: interrupt())
    del last
    assert watch() is None


@pytest.mark.parametrize("where", [in_a_finaliser, in_a_callback])
def test_an_interrupt_where_python_drops_what_is_raised(where: Callable[[Callable[[], None]], None]) -> None:
    def go_on() -> None:
        where(lambda: signal.raise_signal(signal.SIGINT))
        until = time.monotonic() + 30
        while time.monotonic() < until:
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt), graceful_interrupts(driver(), AtOnce()):
        go_on()


def test_what_else_is_dropped_is_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def fail() -> None:
        raise ValueError

    with graceful_interrupts(driver(), AtOnce()):
        in_a_finaliser(fail)
    assert [what.exc_type for what in told] == [ValueError]
    in_a_finaliser(fail)
    assert len(told) == 2


def test_the_first_interrupt_only_asks_for_the_end() -> None:
    asked = driver()
    with graceful_interrupts(asked, Observer()):
        signal.raise_signal(signal.SIGINT)
        assert asked.interrupted
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "error", [RuntimeError("reentrant call inside <_io.BufferedWriter>"), BrokenPipeError()]
)
def test_output_that_cannot_be_written_does_not_end_the_run(error: Exception) -> None:
    class Busy(Observer):
        def stopping(self) -> None:
            raise error

    asked = driver()
    with graceful_interrupts(asked, Busy()):
        signal.raise_signal(signal.SIGINT)
    assert asked.interrupted


def test_other_threads_hear_no_signals() -> None:
    seen = []

    def elsewhere() -> None:
        handler = signal.getsignal(signal.SIGINT)
        with graceful_interrupts(driver(), AtOnce()):
            seen.append(signal.getsignal(signal.SIGINT) is handler)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [True]
