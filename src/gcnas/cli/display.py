"""Progress: a live table with bars and the time left on a terminal, plain lines in a pipe."""

import os
import shlex
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gcnas.cli.text import escape
from gcnas.files import printable
from gcnas.run.observer import Observer
from gcnas.run.trial import Trial

ROWS = 8
"""Trials that the live table shows, and bars of those under way."""


FINAL = "final training"


class StoppedError(Exception):
    """The user stopped a run by Ctrl-C; :class:`KeyboardInterrupt` itself would be taken by the parser."""


@contextmanager
def create_display(stopped: str = "") -> Iterator["PlainDisplay"]:
    """The display that fits standard output.

    Args:
        stopped: What an interrupt leaves, if it is not a run that :func:`gcnas.resume` goes on with, which is named.

    Raises:
        StoppedError: In place of KeyboardInterrupt.
    """
    display: PlainDisplay | None = None
    try:
        output = Output(highlight=False)
        if sys.stdout.isatty() and not output.is_dumb_terminal:  # which cannot draw over what it shows
            display = live = LiveDisplay(output)
            with Live(live, console=live.console, refresh_per_second=4, transient=True):
                yield display
        else:
            display = PlainDisplay(Output(highlight=False, soft_wrap=True))
            yield display
    except KeyboardInterrupt as interrupt:
        if not stopped and display is not None:
            stopped = "Stopped before anything began; call the same command again."
            if display.run is not None:
                again = f"gcnas resume {shlex.quote(str(display.run))}"
                stopped = f"Stopped. Nothing that was finished is lost; '{again}' goes on."
        raise StoppedError(stopped) from interrupt


class Output(Console):
    """Standard output, or that of errors; where nothing can be written any more, what goes on does so in silence."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, as long as that is possible."""
        try:
            super().print(*objects, **options)
        except OSError as error:  # a full disk behind it
            self._leave(error.strerror or "it cannot be written")

    def on_broken_pipe(self) -> None:
        """The reader of a pipe (head, less) has left."""
        self._leave("its reader has left")

    def _leave(self, reason: str) -> None:
        self.quiet = True
        drop(sys.stderr if self.stderr else sys.stdout)
        if not self.stderr:
            tell(f"note: no more output ({reason}); the run goes on.")


def drop(stream: TextIO) -> None:
    """Let what is still in the buffers of a stream go nowhere; it would fail when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def tell(message: str) -> None:
    """Write a line to the error output, which may lead into the same pipe, or onto the same disk."""
    try:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
    except OSError:
        drop(sys.stderr)


class PlainDisplay(Observer):
    """A line for each thing that happens."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.run: Path | None = None
        self._total: int | None = None
        self._done = 0
        self._workers = 1
        self._final = False
        self._deadline: float | None = None
        self._seconds: list[float] = []
        self._seeds: dict[tuple[str, int], int] = {}

    def started(self, run: Path, done: int, total: int | None, seconds: float | None, workers: int = 1) -> None:
        """Say where everything lands."""
        self.run = run
        self._total, self._done, self._workers = total, done, workers
        self._deadline = None if seconds is None else time.monotonic() + seconds
        already = f", {done} trials done already" if done else ""
        self.console.print(f"run folder: {escape(str(run))}{already}")

    def note(self, message: str) -> None:
        """Print the message."""
        self.console.print(f"note: {escape(message)}")

    def trial_finished(self, trial: Trial, best: Trial | None) -> None:
        """Print the trial and the best so far."""
        self._done += 1
        self._count(trial)
        # What waits for wider limits is no part of the budget, but has a number.
        total = "" if self._total is None or trial.number > self._total else f"/{self._total}"
        place = f"best {best.score:.4f} (trial {best.number})" if best is not None else "no best yet"
        left = self.time_left()
        facts = [
            f"trial {trial.number}{total}",
            f"{_score(trial)} after {_epochs(trial)}",
            place,
            f"{trial.cost.parameters:,} parameters",
            f"{trial.cost.multiply_adds / 1e6:.2f} M multiply-adds",
            *([] if trial.cost.latency is None else [f"{trial.cost.latency:.3g} ms"]),
            _seconds(trial),
            self._source(trial),
            *([] if left is None else [f"{_duration(left)} left"]),
        ]
        self.console.print(escape("  ".join(facts)))

    def stopping(self) -> None:
        """Say what happens now."""
        text = (
            "The final training goes on; Ctrl-C again stops now, and best/ stays as it is."
            if self._final
            else "Stopping: what runs is finished, then the best network is trained and delivered. Ctrl-C again "
            "stops now; nothing finished is lost."
        )
        self.console.print(text)
        if self.console.quiet:  # the same Ctrl-C ends a reader such as tee
            tell(text)

    def final_started(self, trial: Trial, seconds: float | None) -> None:
        """Announce the final training."""
        self._final = True
        limit = "" if seconds is None else f", {_duration(seconds)}"
        self.console.print(f"final training of trial {trial.number} ({escape(trial.proposal.source)}){limit}")

    def final_finished(self, test_accuracy: float | None) -> None:
        """Print the result."""
        self.console.print("no test split" if test_accuracy is None else f"test accuracy {test_accuracy:.4f}")

    def finished(self, run: Path) -> None:
        """Print the result and where it is."""
        from gcnas.report import summarize

        summary = summarize(run)
        lines = (summary.sentence, summary.comparison, f"Search: {summary.effort}.")
        self.console.print(escape("\n".join(filter(None, lines))))
        report = run / "report.html"
        more = f"\nreport:  {escape(str(report))}" if report.exists() else ""
        self.console.print(f"network: {escape(str(run / 'best'))}{more}")

    def time_left(self) -> float | None:
        """Seconds until the budget is spent, as far as can be told."""
        if self._deadline is not None:
            return max(0.0, self._deadline - time.monotonic())
        if self._total is None or not self._seconds:
            return None
        # What an earlier process left may be more than a smaller budget has.
        return max(0, self._total - self._done) * sum(self._seconds) / len(self._seconds) / self._workers

    def _source(self, trial: Trial) -> str:
        """Who proposed the network, and whether it is trained as before with another seed."""
        seed = self._seeds.setdefault((trial.proposal.fingerprint, trial.fidelity.epochs), trial.fidelity.seed)
        return trial.proposal.source + (" again" if seed != trial.fidelity.seed else "")

    def _count(self, trial: Trial) -> None:
        if trial.evaluation is not None:
            self._seconds.append(trial.evaluation.seconds)


class LiveDisplay(PlainDisplay):
    """A table of the last trials, the best one, and bars; drawn anew several times a second."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._last: deque[tuple[Trial, str]] = deque(maxlen=ROWS)
        self._best: Trial | None = None
        self._running: dict[str, float] = {"preparing": 0.0}
        self._begin: float | None = None

    def started(self, run: Path, done: int, total: int | None, seconds: float | None, workers: int = 1) -> None:
        """Remember the budget."""
        super().started(run, done, total, seconds, workers)
        self._running.clear()
        self._begin = time.monotonic()

    def trial_started(self, trial: Trial) -> None:
        """Begin a bar."""
        self._running[_name(trial.number)] = 0.0

    def trial_progress(self, trial: int, share: float) -> None:
        """Move the bar."""
        self._running[_name(trial)] = share

    def trial_finished(self, trial: Trial, best: Trial | None) -> None:
        """Add a row in place of the bar."""
        self._running.pop(_name(trial.number), None)
        self._done += 1
        self._count(trial)
        self._last.append((trial, self._source(trial)))
        self._best = best

    def final_started(self, trial: Trial, seconds: float | None) -> None:
        """Begin the last bar."""
        super().final_started(trial, seconds)
        self._running = {FINAL: 0.0}

    def final_progress(self, share: float) -> None:
        """Move the last bar."""
        self._running = {FINAL: share}

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._last:
            parts.append(self._table())
        if self._best is not None:
            parts.append(Text(f"best: trial {self._best.number}, {self._best.score:.4f}", style="bold green"))
        parts.append(self._bars())
        return Group(*parts)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("trial", "score", "epochs", "params", "MACs", "depth", "seconds"):
            # The reason of a failure is folded where there is no room, so that no number is cut.
            table.add_column(name, justify="right", no_wrap=name != "score")
        table.add_column("source")
        for trial, source in tuple(self._last):  # one that finishes meanwhile changes it
            style = "green" if self._best is not None and trial.number == self._best.number else ""
            table.add_row(
                str(trial.number),
                _score(trial),
                str(trial.fidelity.epochs),
                f"{trial.cost.parameters:,}",
                f"{trial.cost.multiply_adds / 1e6:.2f}M",
                str(trial.proposal.architecture.depth),
                _seconds(trial),
                Text(printable(source)),
                style=style,
            )
        return table

    def _bars(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        running = list(self._running.items())
        for what, share in running[:ROWS]:
            grid.add_row(what, ProgressBar(total=1.0, completed=share, width=30), f"{share:.0%}")
        if len(running) > ROWS:
            grid.add_row(f"and {len(running) - ROWS} more")
        left = self.time_left()
        if self._total is not None:
            share = self._done / self._total
        elif self._deadline is not None and self._begin is not None:
            share = (time.monotonic() - self._begin) / max(self._deadline - self._begin, 1e-3)
        else:
            share = 0.0
        text = "" if left is None else f"{_duration(left)} left"
        grid.add_row("budget", ProgressBar(total=1.0, completed=min(share, 1.0), width=30), text)
        return grid


def _name(number: int) -> str:
    return f"trial {number}"


def _score(trial: Trial) -> str:
    evaluation = trial.evaluation
    if evaluation is None or evaluation.score is None:
        return f"failed ({evaluation.error_kind})" if evaluation is not None else "pending"
    return f"{evaluation.score:.4f}"


def _epochs(trial: Trial) -> str:
    epochs = trial.fidelity.epochs
    return f"{epochs} epoch{'s' if epochs > 1 else ''}"


def _seconds(trial: Trial) -> str:
    return "" if trial.evaluation is None else f"{trial.evaluation.seconds:.1f} s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
