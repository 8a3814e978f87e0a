"""``gcnas explain``."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from gcnas.cli.options import RunArgument, SpaceOption
from gcnas.errors import ConfigurationError

SHOWN = 3
"""Options of a decision that are shown."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    run: RunArgument,
    trial: Annotated[
        int | None,
        typer.Option("--trial", metavar="N", help="Which network. [default: the one of the best score]"),
    ] = None,
    untrained: Annotated[
        str | None,
        typer.Option("--untrained", metavar="STRATEGY", help="Ask this strategy's policy before any learning."),
    ] = None,
    space: SpaceOption = None,
) -> None:
    """Say, step by step, which graphs the policy saw for one network and what its two blocks believed."""
    from gcnas import api
    from gcnas.policy.beliefs import beliefs
    from gcnas.run.trial import best_trial

    result = api.load(run, space=space)
    policy = result.policy(untrained)
    trials = result.trials
    chosen = best_trial(trials, policy.space.limits)
    if trial is not None:
        chosen = next((each for each in trials if each.number == trial), None)
    if chosen is None:
        raise ConfigurationError(f"There is no such trial; the run has {len(trials)}, see trials.csv.")
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"trial {chosen.number} ({chosen.proposal.source}), as it was decided; node 0 is the stem")
    for number, step in enumerate(beliefs(policy, chosen.proposal.trajectory), start=1):
        console.print(
            f"\n[bold]{number}. {step.type.chosen}[/] {step.type.probability:.2f}  {_ranked(step.type.options)}"
        )
        if step.composition:
            console.print(f"   composition graph: reads {_nodes(step.composition)}", style="dim")
            console.print(f"   parameter graph:   sees {_nodes(step.window)}", style="dim")
        for belief in step.others:
            taken = f"{escape(belief.name)} = {escape(belief.chosen)} {belief.probability:.2f}"
            console.print(f"   {taken}  {_ranked(belief.options)}")


def _ranked(options: tuple[tuple[str, float], ...]) -> str:
    shown = ", ".join(f"{escape(name)} {probability:.2f}" for name, probability in options[:SHOWN])
    return f"({shown}{', …' if len(options) > SHOWN else ''})"


def _nodes(nodes: tuple[int, ...]) -> str:
    return f"node{'s' if len(nodes) > 1 else ''} {', '.join(map(str, nodes))}"
