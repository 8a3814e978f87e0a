"""Is the space closed? Random architectures of the `cnn` preset, built, run and held against their cost model.

    python benchmarks/closed_space.py --architectures 10000 --cost-only 100000 --seed 0 \
        --out benchmarks/results/closed_space.csv

Two processes, one thread each. `network` builds each architecture, runs it forward and backward, and compares
parameters, multiply-adds and shapes; `rules` looks at encoding, canonical form, JSON and costs, without torch's
modules. A row of the result is one kind of check on one kind of images; `failures` must be 0.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
from jobs import refuse_a_part, replace_rows

from gcnas.network import build, count_multiply_adds, count_parameters
from gcnas.records import Architecture, Limits, Proposal, Trajectory
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy

SPACES = {
    "1x8x8": CNN.fit(InputShape(1, 8, 8, 10)),
    "3x16x16": CNN.fit(InputShape(3, 16, 16, 10)),
    "3x13x27": CNN.fit(InputShape(3, 13, 27, 3)),
    "1x28x28": CNN.fit(InputShape(1, 28, 28, 10)),
    "1x28x28 within 78k, 9.4M": CNN.fit(InputShape(1, 28, 28, 10), Limits(78_000, 9_400_000)),
}
CHUNK = 50
COLUMNS = ["check", "images", "seed", "architectures", "failures", "seconds", "first_failure"]


@dataclass(frozen=True)
class Task:
    """A chunk of architectures and what to look at."""

    check: str
    space: str
    seed: int
    architectures: int


@dataclass(frozen=True)
class Outcome:
    """What became of a task; the failures are messages."""

    task: Task
    failures: tuple[str, ...]
    seconds: float


def run(task: Task) -> Outcome:
    """Check the architectures of one task."""
    torch.set_num_threads(1)
    torch.manual_seed(task.seed)
    start, space, failures = time.perf_counter(), SPACES[task.space], []
    check = check_network if task.check == "network" else check_rules
    for proposal in RandomStrategy(space, task.seed).ask(task.architectures):
        try:
            problems = check(space, proposal)
        except Exception as error:  # noqa: BLE001 - any failure is a finding
            problems = [f"{type(error).__name__}: {error}"]
        if problems:
            failures.append(f"{problems[0]} in {json.dumps(proposal.architecture.to_json())}")
    return Outcome(task, tuple(failures), time.perf_counter() - start)


def check_rules(space: SearchSpace, proposal: Proposal) -> list[str]:
    """Names of the rules that do not hold, without building anything."""
    architecture, trajectory = proposal.architecture, proposal.trajectory
    read = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
    plans, cost = space.plan(architecture), space.cost(architecture)
    last = plans[-1].output if plans else space.stem.output_shape(space.fitted)
    parts = [space.stem.cost(space.fitted), *(plan.cost for plan in plans)]
    parts.append(space.head.cost(last, space.fitted.classes))
    rules = {
        "decode(encode) is the identity": space.decode(space.encode(architecture).actions) == architecture,
        "the decisions decode to the architecture": space.decode(trajectory.actions) == architecture,
        "JSON round trip": read == architecture and read.fingerprint == architecture.fingerprint,
        "JSON round trip of the trajectory": Trajectory.from_json(trajectory.to_json()) == trajectory,
        "at least two rows and columns": all(plan.output.side >= 2 for plan in plans),
        "parameters are a sum": cost.parameters == sum(part.parameters for part in parts),
        "multiply-adds are a sum": cost.multiply_adds == sum(part.multiply_adds for part in parts),
        "masks leave the decision open": all(
            mask.types[action.type]
            and all(flags[i] for i, flags in zip(action.hyperparameters, mask.hyperparameters, strict=True))
            for action, mask in zip(trajectory.actions, trajectory.masks, strict=True)
        ),
    }
    return [name for name, holds in rules.items() if not holds]


def check_network(space: SearchSpace, proposal: Proposal) -> list[str]:
    """Names of the rules that the built network breaks."""
    architecture, image = proposal.architecture, space.fitted
    cost, plans = space.cost(architecture), space.plan(architecture)
    network = build(space, architecture, (0.5,) * image.channels, (0.25,) * image.channels)
    shapes = []
    for index in range(1, len(plans) + 1):
        layer = network.get_submodule(f"layer{index}")
        layer.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    logits = network(torch.rand(2, image.channels, image.height, image.width))
    logits.logsumexp(1).sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    planned = [(plan.output.channels, plan.output.height, plan.output.width) for plan in plans]
    multiply_adds = count_multiply_adds(network, (image.channels, image.height, image.width))
    rules = {
        "parameters": count_parameters(network) == cost.parameters,
        "multiply-adds": multiply_adds == cost.multiply_adds,
        "shapes": shapes[: len(plans)] == planned and logits.shape == (2, image.classes),
        "finite outputs": bool(logits.isfinite().all()),
        "finite gradients": all(part is not None and bool(part.isfinite().all()) for part in gradients),
    }
    return [name for name, holds in rules.items() if not holds]


def tasks(check: str, architectures: int, seed: int) -> list[Task]:
    """Chunks of a number of architectures, the spaces taken in turn."""
    names, chunks = list(SPACES), -(-architectures // CHUNK)
    return [
        Task(
            check,
            names[chunk % len(names)],
            seed * 1_000_000 + chunk + (500_000 if check == "rules" else 0),
            min(CHUNK, architectures - chunk * CHUNK),
        )
        for chunk in range(chunks)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architectures", type=int, default=10_000)
    parser.add_argument("--cost-only", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/closed_space.csv"))
    arguments = parser.parse_args()
    refuse_a_part(parser, arguments)
    todo = tasks("network", arguments.architectures, arguments.seed)
    todo += tasks("rules", arguments.cost_only, arguments.seed)
    outcomes: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    start, failures = time.perf_counter(), 0
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for number, outcome in enumerate(pool.imap_unordered(run, todo), start=1):
            outcomes[outcome.task.check, outcome.task.space].append(outcome)
            failures += len(outcome.failures)
            for failure in outcome.failures[:1]:
                print(f"FAILURE {outcome.task.check} {outcome.task.space}: {failure}", flush=True)
            if number % 20 == 0 or number == len(todo):
                seconds = time.perf_counter() - start
                left = seconds / number * (len(todo) - number)
                print(f"{number}/{len(todo)} chunks, {failures} failures, {seconds:.0f} s, {left:.0f} s left")
                sys.stdout.flush()
    lines: list[list[object]] = []
    for (check, space), found in sorted(outcomes.items()):
        messages = [message for outcome in found for message in outcome.failures]
        count = sum(outcome.task.architectures for outcome in found)
        spent = f"{sum(outcome.seconds for outcome in found):.1f}"
        lines.append([check, space, arguments.seed, count, len(messages), spent, min(messages, default="")])
    replace_rows(arguments.out, COLUMNS, lines)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
