"""``gcnas explain``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gcnas.cli.options import RunArgument, SpaceOption
from gcnas.cli.text import UNLEARNT, escape
from gcnas.errors import ConfigurationError

if TYPE_CHECKING:
    from gcnas.report.graphs import Graphs

SHOWN = 3
"""Options of a decision that are shown."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    run: RunArgument,
    trial: Annotated[
        int | None,
        typer.Option("--trial", metavar="N", help="Which network. \\[default: the one of the best score]"),
    ] = None,
    untrained: Annotated[
        str | None,
        typer.Option("--untrained", metavar="STRATEGY", help="Ask this strategy's policy before any learning."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE.html", help="Write a page with the graphs drawn instead of text."),
    ] = None,
    space: SpaceOption = None,
) -> None:
    """Say, step by step, which graphs the policy saw for one network and what its two blocks believed."""
    from gcnas import api
    from gcnas.policy.beliefs import beliefs
    from gcnas.report.explanation import write_explanation
    from gcnas.report.graphs import chooser, graphs, reading
    from gcnas.run.trial import best_trial

    result = api.load(run, space=space)
    policy = result.policy(untrained)
    trials = result.trials
    chosen = best_trial(trials, policy.space.limits)
    if trial is not None:
        chosen = next((each for each in trials if each.number == trial), None)
    if chosen is None and trial is None:
        raise ConfigurationError(
            "No network within the limits has a score yet; name one with --trial, see trials.csv."
        )
    if chosen is None:
        raise ConfigurationError(f"There is no such trial; the run has {len(trials)}, see trials.csv.")
    learnt, strategy = untrained is not None or result.policy_has_learnt, result.strategy
    if html is not None:
        whose = "the policy that the run has learnt by now"
        if untrained is not None:
            whose = f"an untrained policy of {untrained}"
        elif not learnt:
            whose = "the policy of the run, which has learnt nothing yet"
        typer.echo(write_explanation(html, policy, chosen, run.resolve().name, whose, strategy))
        return
    trajectory = chosen.proposal.trajectory
    drawn = graphs(policy, trajectory)
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"trial {chosen.number} ({escape(chosen.proposal.source)}), decision by decision; node 0 is the input"
    )
    if whose := chooser(chosen.proposal.source, strategy):
        console.print(escape(whose))
    if not learnt:
        console.print(UNLEARNT)
    console.print(reading(policy))
    if drawn:
        console.print(
            escape(f"[ ]: the newest nodes, at most {policy.space.window}, that the new node ( ) can read")
        )
    for number, step in enumerate(beliefs(policy, trajectory), start=1):
        console.print(
            f"\n[bold]{number}. {step.type.chosen}[/] {step.type.probability:.2f}  {_ranked(step.type.options)}"
        )
        if drawn and step.type.chosen != "STOP":
            console.print(f"   composition graph: {escape(_composition(drawn[number - 1]))}", style="dim")
            console.print(f"   parameter graph:   {_parameters(drawn[number - 1])}", style="dim")
        for belief in step.others:
            taken = f"{escape(belief.name)} = {escape(belief.chosen)} {belief.probability:.2f}"
            console.print(f"   {taken}  {_ranked(belief.options)}")


def _ranked(options: tuple[tuple[str, float], ...]) -> str:
    shown = ", ".join(f"{escape(name)} {probability:.2f}" for name, probability in options[:SHOWN])
    return f"({shown}{', …' if len(options) > SHOWN else ''})"


def _composition(graphs: "Graphs") -> str:
    """``… [2-3-4-5]-(6), also 3>5, 4>6``."""
    window = "-".join(map(str, reversed(graphs.window)))
    edges = sorted(graphs.kept | graphs.added, key=lambda edge: edge[::-1])
    skips = ", ".join(
        f"{source}>{target}" for source, target in edges if target - source > 1 and source in graphs.window
    )
    older = "… " if graphs.window[-1] else ""
    return f"{older}[{window}]-({graphs.new}){f', also {skips}' if skips else ''}"


def _parameters(graphs: "Graphs") -> str:
    """``nodes 2+8, 3+7 hyper-parameters; 0-1 deleted``."""
    older, known = graphs.window[-1], sorted(graphs.parameters.items())
    stars = [f"{node}+{len(star)}" for node, star in known if node != graphs.new]
    words = [f"nodes {', '.join(stars)} hyper-parameters" if stars else "no hyper-parameters to see"]
    if older:
        words.append(f"0-{older - 1} deleted" if older > 1 else "0 deleted")
    changed = [str(node) for node, star in known if any(before is not None for _, _, before in star)]
    if changed:
        words.append(f"drawn anew: {', '.join(changed)}")
    return "; ".join(words)
