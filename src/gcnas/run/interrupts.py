"""What Ctrl-C does while a run goes on."""

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from gcnas.run.driver import Driver
from gcnas.run.observer import Observer

AGAIN = 0.01
"""Seconds after which an interrupt that Python dropped is raised again."""


@contextmanager
def graceful_interrupts(driver: Driver, observer: Observer) -> Iterator[None]:
    """The first interrupt lets what runs finish and delivers the best; the second stops now.

    Where ``observer.at_once``, the first stops now. Does nothing outside the main thread, which alone hears signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        if driver.interrupted or observer.at_once:
            driver.stop_now()
        else:
            driver.interrupted = True
            # Of a stream that the main thread is writing to just now, or one without a reader: wherever that thread is,
            # in the training of a candidate for one, the error would be taken for its own.
            with suppress(Exception):
                observer.stopping()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        with _never_dropped():
            yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _never_dropped() -> Iterator[None]:
    """An interrupt that falls into a finaliser or the callback of a weak reference is raised again.

    Python prints and drops what is raised there, and PyTorch has such callbacks all the time.
    """
    previous = sys.unraisablehook

    def unraisable(dropped: "sys.UnraisableHookArgs") -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            # Not from here: what is raised in this hook would be dropped too.
            again = threading.Timer(AGAIN, _thread.interrupt_main)
            again.daemon = True
            again.start()
        else:
            previous(dropped)

    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        sys.unraisablehook = previous
