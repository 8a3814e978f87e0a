"""How a policy decided one architecture, as a page: the two graphs at each step and what was believed (Fig. 4-8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gcnas.policy import Policy
from gcnas.policy.beliefs import Belief, StepBeliefs, beliefs
from gcnas.report.graph_pictures import GraphPictures
from gcnas.report.graphs import chooser, graphs, reading
from gcnas.report.heat_map import Column, heat_map
from gcnas.report.html import markup, render
from gcnas.report.layers import describe
from gcnas.run.folder import write_text
from gcnas.run.trial import Trial
from gcnas.space import SearchSpace

OPEN_STEPS = 8
"""Of networks with more steps, only the first is unfolded."""


@dataclass(frozen=True)
class _Decision:
    """One line of a step's table."""

    block: str
    name: str
    chosen: str
    probability: float
    other: tuple[str, float] | None
    closed: str


def write_explanation(
    path: Path, policy: Policy, trial: Trial, run: str, whose: str, strategy: str = ""
) -> Path:
    """Write one HTML file without scripts and network access.

    Args:
        path: The file; one that is there is replaced.
        policy: Whose beliefs are shown.
        trial: The network.
        run: Name of the run.
        whose: The policy in words.
        strategy: Name of the run's strategy.

    Raises:
        RunFolderError: If the file cannot be written.
    """
    steps, drawn = beliefs(policy, trial.proposal.trajectory), graphs(policy, trial.proposal.trajectory)
    space, pictures = policy.space, [GraphPictures(policy.space, each, len(steps)) for each in drawn]
    context = {
        "run": run,
        "whose": whose,
        "trial": trial,
        "decided": len(steps) - 1,
        "network": describe(trial.proposal.architecture),
        "reading": reading(policy),
        "chooser": chooser(trial.proposal.source, strategy),
        "window": space.window,
        "heat_map": markup(_heat_map(space, steps)),
        "steps": [
            {
                "type": step.type,
                "decisions": _decisions(space, step),
                "composition": markup(pictures[number].composition()) if pictures else None,
                "parameters": markup(pictures[number].parameters()) if pictures and step.others else None,
            }
            for number, step in enumerate(steps)
        ],
        "drawn": bool(drawn),
        "unfolded": len(steps) <= OPEN_STEPS,
    }
    return write_text(path, render("explanation.html", context) + "\n")


def _decisions(space: SearchSpace, step: StepBeliefs) -> list[_Decision]:
    """The type, the hyper-parameters, and the connections; those that the masks close too."""
    names = (*(kind.name for kind in space.layer_types), "STOP")
    lines = [_decision("LEB", step.type, names)]
    if step.type.chosen == "STOP":
        return lines
    known = {belief.name: belief for belief in step.others}
    options = {
        choice.name: tuple(map(str, choice.options)) for choice in space.by_name[step.type.chosen].choices
    }
    lines += [_decision("HPPB", known[name], names) for name, names in options.items()]
    for node in step.window[1:]:
        name = f"reads node {node}"
        closed = Belief(name, (("no", 1.0),), "no")
        lines.append(_decision("HPPB", known.get(name, closed), ("yes", "no")))
    return lines


def _decision(block: str, belief: Belief, names: Sequence[str]) -> _Decision:
    others = [option for option in belief.options if option[0] != belief.chosen]
    known = dict(belief.options)
    closed = ", ".join(name for name in names if name not in known)
    return _Decision(
        block, belief.name, belief.chosen, belief.probability, others[0] if others else None, closed
    )


def _heat_map(space: SearchSpace, steps: Sequence[StepBeliefs]) -> str:
    """Type probabilities: a row for each type and STOP, a column for each position."""
    names = [*(kind.name for kind in space.layer_types), "STOP"]
    columns = [Column(dict(step.type.options), step.type.chosen) for step in steps]
    return heat_map("Type probabilities by position", names, columns)
