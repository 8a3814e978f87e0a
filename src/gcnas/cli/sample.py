"""``gcnas sample``."""

from typing import Annotated

import typer
from rich.console import Console

from gcnas.cli.options import RunArgument, SpaceOption
from gcnas.cli.text import UNLEARNT, escape


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sample")(sample)


def sample(
    run: RunArgument,
    count: Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, max=10_000)] = 8,
    untrained: Annotated[
        str | None,
        typer.Option(
            "--untrained", metavar="STRATEGY", help="Draw from this strategy's policy before any learning."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, max=2**63 - 1, help="Of the draws.")] = 0,
    space: SpaceOption = None,
) -> None:
    """Draw networks from the policy that a run has learnt, with the probability of their decisions."""
    import math

    import torch

    from gcnas import api
    from gcnas.graph import encode
    from gcnas.report import describe

    result = api.load(run, space=space)
    policy = result.policy(untrained)
    trajectories = policy.sample(count, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        found = policy(encode(policy.space, policy.vocabulary, trajectories))
    console = Console(highlight=False, soft_wrap=True)
    if untrained is None and not result.policy_has_learnt:
        console.print(UNLEARNT)
    for trajectory, logarithm in zip(trajectories, found.log_probability.tolist(), strict=True):
        architecture = policy.space.decode(trajectory.actions)
        cost = policy.space.cost(architecture)
        console.print(
            f"[bold]10^{logarithm / math.log(10):.1f}[/]  {architecture.depth} layers, {cost.parameters:,} parameters, "
            f"{cost.multiply_adds / 1e6:.2f} M multiply-adds\n  {escape(describe(architecture))}"
        )
    console.print(f"mean entropy of a decision: {found.entropy.mean().item():.3f} nats")
