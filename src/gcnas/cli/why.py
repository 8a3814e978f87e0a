"""``gcnas why``."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gcnas.cli.options import RunArgument, SpaceOption
from gcnas.cli.text import escape

if TYPE_CHECKING:
    from gcnas.report.alternatives import Alternatives
    from gcnas.report.importance import Importance
    from gcnas.report.preferences import Preferences

SHOWN = 10
"""Choices that are shown."""
POSITIONS = 8
"""Positions that are shown, as far as 80 columns reach."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("why")(why)


def why(
    run: RunArgument,
    trial: Annotated[
        int | None,
        typer.Option("--trial", metavar="N", help="Which network's neighbours. \\[default: the one in best/]"),
    ] = None,
    space: SpaceOption = None,
) -> None:
    """Say why this network: which choices mattered, what the policy prefers, what lies next to it."""
    from gcnas import api

    found = api.load(run, space=space).why(trial)
    console = Console(highlight=False)
    console.print(f"[bold]Which choices mattered[/]\n{escape(found.importance.sentence)}")
    _print_choices(console, found.importance)
    console.print("\n[bold]What the policy prefers[/]")
    if found.preferences is None:
        console.print(escape(found.no_policy))
    else:
        _print_preferences(console, found.preferences)
    console.print(f"\n[bold]Next to trial {found.alternatives.chosen.number}[/]")
    _print_alternatives(console, found.alternatives, found.soft, found.importance.epochs)


def _print_choices(console: Console, importance: "Importance") -> None:
    from gcnas.report.numbers import figure

    if not importance.choices:
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("choice", overflow="fold")
    for name in ("importance", "correlation", "best quarter", "others"):
        table.add_column(name, justify="right", no_wrap=True)
    for choice in importance.choices[:SHOWN]:
        table.add_row(
            escape(", ".join(choice.names)),
            f"{choice.importance:.3f} \u00b1 {choice.spread:.3f}",
            f"{choice.correlation:+.2f}",
            figure(choice.best),
            figure(choice.others),
        )
    console.print(table)
    console.print(
        "Importance: fall of R\u00b2 when the choice is shuffled. Correlation of ranks: above 0, more was better. "
        "Medians of the best quarter of networks and of the others. Of choices that went together, those of the first.",
        style="dim",
    )


def _print_preferences(console: Console, preferences: "Preferences") -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("position", overflow="fold")
    rows = preferences.probabilities[:POSITIONS]
    for position in range(len(rows)):
        table.add_column(str(position + 1), justify="right", no_wrap=True)
    for index, name in enumerate(preferences.names):
        probabilities = [row[index] for row in rows]
        table.add_row(escape(name), *(_shade(probability) for probability in probabilities))
    table.add_row("reached by", *(f"{share:.0%}" for share in preferences.reached[:POSITIONS]), style="dim")
    console.print(table)


def _shade(probability: float) -> str:
    return f"[bold]{probability:.2f}[/]" if probability >= 0.5 else f"{probability:.2f}"


def _print_alternatives(console: Console, found: "Alternatives", soft: bool, epochs: int) -> None:
    from gcnas.report.numbers import counted, short, signed, whole, worded

    chosen = found.chosen
    own = "" if found.predicted is None else f"\npredicted {worded(found.predicted, soft)}"
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("one edit", overflow="fold")
    for name in ("parameters", "multiply-adds", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(
        "as it is",
        whole(chosen.cost.parameters),
        short(chosen.cost.multiply_adds),
        worded(chosen.score, soft) + own,
    )
    for each in found.shown:
        score = "not evaluated" if each.predicted is None else f"predicted {worded(each.predicted, soft)}"
        if each.shorter is not None:
            known = f"{worded(each.shorter.score, soft)} after {counted(each.shorter.fidelity.epochs, 'epoch')}"
            known += f" (trial {each.shorter.number})"
            score = known if each.predicted is None else f"{score}\n{known}"
        if each.score is not None:
            score = f"{worded(each.score, soft)} (trial {each.trial})"
        parameters, multiply_adds = each.change
        table.add_row(
            escape(each.words),
            f"{whole(each.cost.parameters)} ({signed(parameters)})",
            f"{short(each.cost.multiply_adds)} ({signed(multiply_adds)})",
            score,
        )
    console.print(table)
    after = "" if found.predicted is None else f" Predicted scores are those after {counted(epochs, 'epoch')}."
    failed = f" {found.failed} of them failed, and are left out." if found.failed else ""
    console.print(
        f"Of {found.found} networks looked at that one edit leads to within the limits.{failed}{after}",
        style="dim",
    )
