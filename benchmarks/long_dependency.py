"""Can a policy repeat what it read t layers ago? Memory and gradients over 8 to 128 layers, GCN against RNN.

``python benchmarks/long_dependency.py --jobs 2`` runs every point of :func:`plan` with seeds 0, 1 and 2, one thread
each, writes one row a run to ``benchmarks/results/long_dependency.csv`` and prints medians over seeds. Runs that stand
in the file are not run again. ``UPDATES`` has the most updates of a run.

The task: networks of N layers of 4 types. Blocks of t layers are given, at random for each sample anew, and learnt from
by nobody; after each, t layers are decided, and each should have the type of the layer t before it. With t = N / 2 the
first half is given and the second should repeat it. A constant answer, or any that forgets, matches one in four. Only
types are decided, so the GCN is its layer extraction block (width 48, two convolutions) and the RNN two LSTM layers of
35 units with one step a layer; learning rate, entropy, baseline, scaling and longest gradient are those of
``ReinforceSettings``, batches have 32 samples. Three ways of learning:

- ``sample``: REINFORCE as strategies do it, where a layer's credit is the share matched in its sample;
- ``step``: REINFORCE where a layer's credit is its own match, which is less noisy in long sequences;
- ``likelihood``: maximum likelihood of the right continuations, which needs no exploration: memory alone.

A run is solved when at least 95 % of the decided layers match in 64 samples drawn from the policy; it then ends. The
gradient is that of log p(layer N) by the embedding of layer 1, divided by that by the embedding of layer N - 1. Heads
start at zero and would pass on nothing, so at initialisation random ones stand in for this measure alone.

In theory a layer reaches one t before it in t steps of the LSTM; in ceil(t / m) hops with memory ``recurrent``; with
``stacked`` in as many, but only if there are that many convolutions; and in one hop through the summary of all older
nodes, which is a mean. ``-plain`` is without summary.
"""

import argparse
import copy
import csv
import multiprocessing
import statistics
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import astuple, dataclass, replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gcnas.graph.batch import empty_batch
from gcnas.graph.vocabulary import FEATURES
from gcnas.policy import GCNPolicy, GCNSettings, RNNPolicy
from gcnas.space import SequenceSpace, token
from gcnas.strategy.reinforce import ReinforceSettings

RESULTS = Path(__file__).resolve().parent / "results" / "long_dependency.csv"
TYPES = 4
BATCH = 32
CHECK = 20
DEPTHS = (8, 16, 32, 64, 128)
# Most updates at each depth; the RNN needs many, and those of ``recurrent`` are slow.
UPDATES = {
    "rnn": (1_200, 1_200, 1_200, 600, 600),
    "stacked": (600, 600, 600, 300, 300),
    "recurrent": (600, 600, 600, 200, 100),
}
SOLVED = 0.95
MEMORIES = [f"{memory}-{window}" for memory in ("stacked", "recurrent") for window in (1, 2, 4, 8)]
ARMS = ["rnn", *MEMORIES, "stacked-4-plain", "recurrent-4-plain"]
COLUMNS = "learning depth lag arm seed updates solved_at matched gradient_start gradient_end hops".split()
COLUMNS += ["seconds"]


@dataclass(frozen=True)
class Job:
    """One run: how it learns, N, t, the policy, the seed, and the most updates it gets."""

    learning: str
    depth: int
    lag: int
    arm: str
    seed: int
    updates: int


def plan(scale: float, seeds: int) -> Iterator[Job]:
    """All runs, one seed after the other."""
    for seed, depth, arm in product(range(seeds), DEPTHS, ARMS):
        slow = arm.startswith("recurrent")
        updates = int(scale * UPDATES[arm.split("-")[0]][DEPTHS.index(depth)])
        for lag in (2, depth // 2):
            for learning, deepest in (("likelihood", 128), ("step", 16 if slow else 32), ("sample", 8)):
                if depth <= deepest:
                    yield Job(learning, depth, lag, arm, seed, updates)


class GraphTypes:
    """The type decisions of the GCN policy: its layer extraction block, without skip connections."""

    first_input = 0

    def __init__(self, arm: str, depth: int) -> None:
        memory, window, *plain = arm.split("-")
        policy = GCNPolicy(space(depth, int(window)), GCNSettings(memory=memory, summary=not plain))
        self.block, self.vocabulary = policy.leb, policy.vocabulary
        self.embedding, self.head = self.block.nodes.types, self.block.head
        self.parameters = self.block.parameters

    def logits(self, types: Tensor) -> Tensor:
        """Logits (B, N, T) of known sequences (B, N)."""
        batch = replace(empty_batch(self.vocabulary, *types.shape), types=types)
        return self.block(batch, None)[..., :TYPES]

    @torch.no_grad()
    def steps(self, count: int) -> Generator[Tensor, Tensor, None]:
        """Logits (B, T) of each next layer; the layer's types (B) are to be sent."""
        state = self.block.start(torch.zeros(count, FEATURES))
        while True:
            types = yield self.block.logits(state)[:, :TYPES]
            state = self.block.append(state, types, None)


class RecurrentTypes:
    """The type decisions of the RNN policy: one LSTM step for each."""

    first_input = 1

    def __init__(self, arm: str, depth: int) -> None:  # noqa: ARG002
        self.policy = policy = RNNPolicy(space(depth, 1))
        self.embedding, self.head, self.parameters = policy.inputs, policy.type_head, policy.parameters

    def logits(self, types: Tensor) -> Tensor:
        """Logits (B, N, T) of known sequences (B, N)."""
        told = nn.functional.pad(types[:, :-1] + 2, (1, 0), value=1)
        hidden, _ = self.policy.lstm(self.embedding(told))
        return self.head(hidden)[..., :TYPES]

    @torch.no_grad()
    def steps(self, count: int) -> Generator[Tensor, Tensor, None]:
        """Logits (B, T) of each next layer; the layer's types (B) are to be sent."""
        told, state = torch.ones(count, 1, dtype=torch.int64), None
        while True:
            hidden, state = self.policy.lstm(self.embedding(told), state)
            types = yield self.head(hidden[:, 0])[:, :TYPES]
            told = types[:, None] + 2


def space(depth: int, window: int) -> SequenceSpace:
    tokens = tuple(token(f"type{code}") for code in range(TYPES))
    return SequenceSpace("repeat", tokens, min_depth=depth, max_depth=depth, window=window)


def decided(job: Job) -> Tensor:
    """(N), whether the policy decides a layer: every other block of t."""
    return torch.arange(job.depth) // job.lag % 2 == 1


def right_sequences(job: Job, count: int, generator: torch.Generator) -> Tensor:
    """(B, N): every block of t random types twice."""
    blocks = torch.randint(TYPES, (count, job.depth // job.lag // 2, 1, job.lag), generator=generator)
    return blocks.expand(-1, -1, 2, -1).reshape(count, job.depth)


@torch.no_grad()
def drawn_sequences(
    types: GraphTypes | RecurrentTypes, job: Job, right: Tensor, generator: torch.Generator
) -> Tensor:
    """Sequences (B, N) with what the policy draws where it decides, after the given layers of the right ones."""
    steps, drawn = types.steps(len(right)), right.clone()
    logits = next(steps)
    for place, open_place in enumerate(decided(job).tolist()):
        if open_place:
            drawn[:, place] = logits.softmax(-1).multinomial(1, generator=generator)[:, 0]
        logits = steps.send(drawn[:, place])
    return drawn


class Learner:
    """The learning rule of ``ReinforceStrategy`` on tensors, with the credit that the job names."""

    def __init__(self, types: GraphTypes | RecurrentTypes, job: Job) -> None:
        self.types, self.job, self.settings = types, job, ReinforceSettings()
        self.optimizer = torch.optim.Adam(types.parameters(), lr=self.settings.learning_rate)
        self.baseline = self.deviation = None

    def update(self, generator: torch.Generator) -> None:
        """One gradient step on a new batch."""
        job, places = self.job, decided(self.job)
        sequences = right = right_sequences(job, BATCH, generator)
        if job.learning != "likelihood":
            sequences = drawn_sequences(self.types, job, right, generator)
        log = self.types.logits(sequences).log_softmax(-1)[:, places]
        chosen = log.gather(-1, sequences[:, places, None])[..., 0]
        if job.learning == "likelihood":
            loss = -chosen.mean()
        else:
            entropy = -(log.exp() * log).sum(-1).mean()
            advantages = self.advantages((sequences == right)[:, places].float())
            loss = -(advantages * chosen).sum(1).mean() - self.settings.entropy * entropy
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.types.parameters(), self.settings.gradient_norm)
        self.optimizer.step()

    def advantages(self, matched: Tensor) -> Tensor:
        """Of decided layers, (B, N / 2), or with the same credit for all of a sample (B, 1)."""
        rewards = matched.mean(1, keepdim=True) if self.job.learning == "sample" else matched
        baseline = float(rewards.mean()) if self.baseline is None else self.baseline
        size, decay = float((rewards - baseline).square().mean().sqrt()), self.settings.baseline_decay
        self.deviation = size if self.deviation is None else decay * self.deviation + (1 - decay) * size
        self.baseline = decay * baseline + (1 - decay) * float(rewards.mean())
        return (rewards - baseline) / max(self.deviation, 1e-8)


def gradient_ratio(types: GraphTypes | RecurrentTypes, job: Job, *, fresh_head: bool) -> float:
    """Gradient of log p(layer N) by layer 1's embedding over that by layer N - 1's; mean lengths of 32 samples."""
    types, generator, outputs = copy.deepcopy(types), torch.Generator().manual_seed(job.seed), []
    if fresh_head:
        nn.init.normal_(types.head.weight, std=types.head.in_features**-0.5, generator=generator)
    sequences = right_sequences(job, BATCH, generator)
    types.embedding.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    log = types.logits(sequences).log_softmax(-1)[:, -1].gather(-1, sequences[:, -1:])
    (gradient,) = torch.autograd.grad(log.sum(), outputs[0])
    lengths = gradient.reshape(BATCH, job.depth, -1).norm(dim=2).mean(0)
    return float(lengths[types.first_input] / lengths[types.first_input + job.depth - 2])


def hops(arm: str, lag: int) -> str:
    """How many steps lie between a layer and the one t before it, and how many through the summary."""
    if arm == "rnn":
        return str(lag)
    memory, window, *plain = arm.split("-")
    chain = -(-lag // int(window))
    reached = memory == "recurrent" or chain <= GCNSettings().convolutions
    return "/".join(([str(chain)] if reached else []) + ([] if plain else ["1s"])) or "none"


def run_one(job: Job) -> dict[str, Any]:
    """Learn until solved or out of updates."""
    torch.set_num_threads(1)
    torch.manual_seed(job.seed)
    start, generator = time.perf_counter(), torch.Generator().manual_seed(job.seed)
    types = (RecurrentTypes if job.arm == "rnn" else GraphTypes)(job.arm, job.depth)
    learner, solved_at = Learner(types, job), ""
    before = gradient_ratio(types, job, fresh_head=True)
    for update in range(1, job.updates + 1):
        learner.update(generator)
        if update % CHECK == 0 or update == job.updates:
            right = right_sequences(job, 64, generator)
            drawn = drawn_sequences(types, job, right, generator)
            matched = float((drawn == right)[:, decided(job)].float().mean())
            if matched >= SOLVED:
                solved_at = update * BATCH
                break
    after = gradient_ratio(types, job, fresh_head=False)
    measured = (f"{matched:.4f}", f"{before:.3g}", f"{after:.3g}", hops(job.arm, job.lag))
    seconds = f"{time.perf_counter() - start:.1f}"
    return dict(zip(COLUMNS, (*astuple(job)[:5], update, solved_at, *measured, seconds), strict=True))


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def _point(row: dict[str, str]) -> tuple[str, int, int, int]:
    return row["learning"], int(row["depth"]), int(row["lag"]), ARMS.index(row["arm"])


def summarise(rows: list[dict[str, str]]) -> None:
    """For each point: runs solved, and medians of their samples, the share matched, and the gradients."""
    print("learning   depth  lag arm                hops seeds solved samples matched  gradient: start    end")
    for (learning, depth, lag, arm), group in groupby(sorted(rows, key=_point), key=_point):
        own = list(group)
        samples = [int(row["solved_at"]) for row in own if row["solved_at"]]
        median = f"{statistics.median(samples):.0f}" if samples else "-"
        columns = ([float(row[key]) for row in own] for key in COLUMNS[7:10])
        matched, start, end = map(statistics.median, columns)
        print(
            f"{learning:10} {depth:>5} {lag:>4} {ARMS[arm]:17} {own[0]['hops']:>5} {len(own):>5} {len(samples):>6} "
            f"{median:>7} {matched:7.3f} {start:16.2g} {end:6.2g}"
        )


def main() -> None:
    """Run what is missing, then summarise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of updates")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    done = {tuple(row[key] for key in COLUMNS[:5]) for row in read(options.out)}
    jobs = plan(options.scale, options.seeds)
    missing = [job for job in jobs if tuple(map(str, astuple(job)[:5])) not in done]
    start = time.perf_counter()
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for count, future in enumerate(as_completed([pool.submit(run_one, job) for job in missing]), start=1):
            row = future.result()
            append(options.out, row)
            print(f"{count}/{len(missing)} {time.perf_counter() - start:.0f} s:", *row.values(), flush=True)
    summarise(read(options.out))


if __name__ == "__main__":
    main()
