"""What a terminal shows while several candidates are under way."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tests.run.toy import TOY

from gcnas.cli import display as showing
from gcnas.cli.display import ROWS, LiveDisplay, PlainDisplay, StoppedError, create_display
from gcnas.records import Cost, Evaluation, EvaluationState, Fidelity
from gcnas.run.trial import Trial
from gcnas.strategy import RandomStrategy


def pending(number: int) -> Trial:
    proposal = RandomStrategy(TOY, number).ask(1)[0]
    return Trial(number, proposal, TOY.cost(proposal.architecture), Fidelity(1))


def finished(trial: Trial, seconds: float) -> Trial:
    evaluation = Evaluation(trial.proposal, EvaluationState.COMPLETE, 0.5, trial.fidelity, seconds=seconds)
    return replace(trial, evaluation=evaluation)


def shown(display: LiveDisplay) -> list[str]:
    with display.console.capture() as capture:
        display.console.print(display)
    return capture.get().splitlines()


@pytest.fixture
def display(tmp_path: Path) -> LiveDisplay:
    display = LiveDisplay(Console(width=100, force_terminal=False))
    assert shown(display)[0].startswith("preparing")
    display.started(tmp_path, 0, 12, None, workers=2)
    return display


def bars(display: LiveDisplay) -> list[str]:
    return [" ".join(line.split()[:2] + line.split()[-1:]) for line in shown(display) if "%" in line]


def test_each_candidate_under_way_has_a_bar(display: LiveDisplay) -> None:
    first, second = pending(1), pending(2)
    display.trial_started(first)
    display.trial_started(second)
    display.trial_progress(2, 0.25)
    display.trial_progress(1, 0.5)
    assert bars(display) == ["trial 1 50%", "trial 2 25%"]
    done = finished(first, 4.0)
    display.trial_finished(done, done)
    assert bars(display) == ["trial 2 25%"]
    # Eleven are left, of four seconds each, two at once.
    assert display.time_left() == 22.0
    display.started(Path("run"), 14, 12, None, workers=2)
    assert display.time_left() == 0.0


def test_many_candidates_do_not_fill_the_screen(display: LiveDisplay) -> None:
    for number in range(1, 65):
        display.trial_started(pending(number))
    assert len(bars(display)) == ROWS
    assert any("and 56 more" in line for line in shown(display))


def test_a_trial_may_finish_while_the_table_is_drawn(
    display: LiveDisplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The screen is refreshed by a thread of its own."""
    first, second = (finished(pending(number), 1.0) for number in (1, 2))
    display.trial_finished(first, first)

    def score(_: Trial) -> str:
        display.trial_finished(second, first)
        return "0.5"

    monkeypatch.setattr(showing, "_score", score)
    assert shown(display)[1].split()[0] == "1"


def test_a_network_that_is_trained_again_is_marked(display: LiveDisplay) -> None:
    first = finished(pending(1), 1.0)
    seed = Fidelity(1, seed=5)
    again = replace(first, number=2, fidelity=seed, evaluation=replace(first.evaluation, fidelity=seed))
    longer = replace(first, number=3, fidelity=Fidelity(4))
    for trial in (first, again, longer):
        display.trial_finished(trial, first)
    rows = [line.rstrip() for line in shown(display)[1:4]]
    assert [row.endswith(" again") for row in rows] == [False, True, False]


def test_the_final_training_has_the_last_bar(display: LiveDisplay) -> None:
    trial = pending(1)
    display.trial_started(trial)
    display.final_started(trial, None)
    display.final_progress(0.75)
    assert bars(display) == ["final training 75%"]


def test_an_interrupt_is_answered_by_what_is_under_way(display: LiveDisplay) -> None:
    with display.console.capture() as capture:
        display.stopping()
        display.final_started(pending(1), 12.0)
        display.stopping()
    first, _, second = " ".join(capture.get().split()).partition("final training of")
    assert "then the best network is trained" in first
    assert "The final training goes on; Ctrl-C again stops now" in second


def test_sources_are_no_markup(display: LiveDisplay) -> None:
    """A strategy of the user's own names them."""
    trial = finished(pending(1), 1.0)
    trial = replace(trial, proposal=replace(trial.proposal, source="mutate[/x][wide]"))
    display.trial_finished(trial, trial)
    with display.console.capture() as capture:
        display.final_started(trial, None)
    assert "mutate[/x][wide]" in capture.get()
    assert any("mutate[/x][wide]" in line for line in shown(display))


PRINTING = """
import time
from gcnas.cli.display import create_display
with create_display() as display:
    for number in range(10):
        display.note(f"line {number}")
        time.sleep(0.1)
print("unseen")
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_the_output_ends_nothing() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, "-c", PRINTING], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 0
    assert done.stderr == "note: no more output (No space left on device); the run goes on.\n"


def test_a_reader_that_leaves_ends_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRINTING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "note: line 0\n"
        process.stdout.close()
        assert process.stderr.read() == "note: no more output (its reader has left); the run goes on.\n"
    assert process.returncode == 0


TOGETHER = """
import sys
from gcnas.cli.display import Output, PlainDisplay
display = PlainDisplay(Output(highlight=False, soft_wrap=True, stderr=sys.argv[2] == "stderr"))
for number in range(10_000):
    display.note(f"line {number}")
display.stopping()
open(sys.argv[1], "w").write("went on")
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_both_outputs_into_a_reader_that_leaves_end_nothing(tmp_path: Path, stream: str) -> None:
    """``2>&1 | head``: what is said about that has no reader either."""
    command = [sys.executable, "-c", TOGETHER, str(tmp_path / "done"), stream]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "note: line 0\n"
        process.stdout.close()
    assert process.returncode == 0
    assert (tmp_path / "done").read_text() == "went on"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_disk_behind_both_outputs_ends_nothing(tmp_path: Path, stream: str) -> None:
    command = [sys.executable, "-c", TOGETHER, str(tmp_path / "done"), stream]
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        assert subprocess.run(command, stdout=full, stderr=full, check=False).returncode == 0
    assert (tmp_path / "done").read_text() == "went on"


def test_what_ctrl_c_does_is_said_where_the_reader_left_by_the_same(
    display: LiveDisplay, capsys: pytest.CaptureFixture[str]
) -> None:
    display.console.quiet = True
    display.stopping()
    assert "Ctrl-C again stops now" in capsys.readouterr().err


@pytest.mark.parametrize(("term", "kind"), [("xterm", LiveDisplay), ("dumb", PlainDisplay)])
def test_a_terminal_that_cannot_draw_gets_lines(
    term: str, kind: type[PlainDisplay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with create_display() as display:
        assert type(display) is kind


def test_what_an_interrupt_leaves_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match="same command again"), create_display():
        raise KeyboardInterrupt
    with pytest.raises(StoppedError) as raised, create_display() as display:  # noqa: PT012 - the second one raises
        display.started(tmp_path, 0, 12, None)
        raise KeyboardInterrupt
    assert f"'gcnas resume {tmp_path}' goes on" in str(raised.value)
    with pytest.raises(StoppedError, match="begins again"), create_display("It begins again."):
        raise KeyboardInterrupt


def test_no_number_is_cut_on_a_narrow_terminal(tmp_path: Path) -> None:
    display = LiveDisplay(Console(width=80, force_terminal=False))
    display.started(tmp_path, 0, 12, None, workers=1)
    trial = replace(pending(1), number=1234, cost=Cost(2_272_330, 250_000_000))
    failed = Evaluation(
        trial.proposal, EvaluationState.FAILED, error_kind="out-of-memory", error="?", seconds=12_345.6
    )
    display.trial_finished(replace(trial, evaluation=failed), None)
    text = "\n".join(shown(display))
    assert "…" not in text
    for part in ("1234", "2,272,330", "250.00M", "12345.6 s", "failed", "(out-of-memory)"):
        assert part in text
