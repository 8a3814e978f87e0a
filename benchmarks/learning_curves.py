"""Do the policies find the known optimum of a toy space? Learning curves over 20 seeds.

``python benchmarks/learning_curves.py --jobs 2`` runs every strategy of ``ARMS`` on both toy spaces with seeds 0 to
19, one thread each, by asking and telling: batches of 8, every proposal told as complete, repeats as well. It writes
the curves to ``benchmarks/results/learning_curves.csv`` (some 60 updates of each run, the last one always) and one row
for each space and strategy to ``learning_curves_summary.csv``. Runs that stand in the curves with as many samples are
not run again; those with another number of samples are run beside them and have a row of their own in the summary. A
run that fails is named, and the others are kept.

``reinforce:lstm@0.003`` and ``reinforce:lstm-parallel@0.003`` are the recurrent controllers with the GCN's settings.

Runs have 2,400 samples, those of the literal controller 16,000 because its learning rate is a fifth of the others';
the summary judges all at the same numbers of samples. The rows kept are of ``--samples 1600``.

- ``images``: 1,676 trajectories of at most 3 layers on images of 4 x 4 pixels, some options closed by shapes; the
  optimum, found by listing them all, is one trajectory of depth 3.
- ``sequence``: 18 million trajectories of 2 to 6 tokens with options and connections; what is right in a layer depends
  on the layers before. :func:`sequence_reward` says why its optimum is one trajectory of depth 5.
"""

import argparse
import multiprocessing
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jobs import append_rows, each_result, replace_rows, rows

from gcnas.bench.arms import create_arm
from gcnas.records import STOP, Cost, Evaluation, EvaluationState, LayerAction, Trajectory
from gcnas.space import Choice, InputShape, LayerType, SearchSpace, SequenceSpace, Shape, token

RESULTS = Path(__file__).resolve().parent / "results" / "learning_curves.csv"
ARMS = (
    "reinforce reinforce-skeleton-first reinforce-rnn reinforce-rnn-tuned reinforce-rnn-parallel "
    "reinforce:lstm@0.003 reinforce:lstm-parallel@0.003 random"
).split()
SAMPLES = defaultdict(lambda: 2_400, {"reinforce-rnn": 16_000})
MILESTONES = (600, 1_200, 2_400, 6_000, 16_000)
BATCH = 8
POINTS = 60
FINAL_DRAWS = 400
COLUMNS = "space arm seed samples best mean depth entropy advantage gradient_norm found_at final_share".split()
OPTIMUM = 1 - 1e-6


class Wide(LayerType):
    """Filters and merge."""

    filters = Choice(4, 8)
    merge = Choice("add", "concat")

    def output_shape(self, shape: Shape, values: Any) -> Shape:
        """Another number of channels."""
        return shape.strided(values["filters"])

    def cost(self, shape: Shape, values: Any) -> Cost:
        """That of a 1 x 1 convolution."""
        weights = shape.channels * values["filters"]
        return Cost(weights, weights * shape.height * shape.width)


class Narrow(LayerType):
    """Only a stride, which a small image closes."""

    stride = Choice(1, 2)

    def output_shape(self, shape: Shape, values: Any) -> Shape:
        """A smaller image."""
        return shape.strided(shape.channels, values["stride"])

    def cost(self, shape: Shape, values: Any) -> Cost:  # noqa: ARG002
        """Nothing."""
        return Cost()


IMAGES = SearchSpace("images", (Wide(), Narrow()), min_depth=1, max_depth=3, window=3).fit(
    InputShape(1, 4, 4, 2)
)
WANTED = ((0, (1, 0)), (1, (0,)), (0, (0, 1)))


def images_reward(layers: Sequence[LayerAction]) -> float:
    """Highest, 1, for one trajectory of depth 3 with certain options and connections."""
    score = 0.0
    for action, (code, options) in zip(layers, WANTED, strict=False):
        if action.type == code:
            hits = sum(x == y for x, y in zip(action.hyperparameters, options, strict=True))
            score += 0.1 + 0.1 * hits / len(options)
    if len(layers) > 1:
        score += 0.2 * (layers[1].connections == (1, 0))
    if len(layers) > 2:
        score += 0.2 * (layers[2].connections == (0, 1))
    return score


CONVOLUTION, POOLING, GATE = range(3)
TOKENS = (
    token("convolution", {"filters": (8, 16, 32), "kernel": (1, 3)}),
    token("pooling", {"size": (2, 3)}),
    token("gate"),
)
SEQUENCE = SequenceSpace("sequence", TOKENS, min_depth=2, max_depth=6, window=2)
BEST_DEPTH = 5


def sequence_reward(layers: Sequence[LayerAction]) -> float:
    """Mean over five layers of how right each is, less 0.1 for a sixth; 1 for one trajectory only.

    The type is right if it is a convolution in the first layer and after what is no convolution, a pooling after a
    convolution, and the gate in the fifth layer. Filters are right if they are one option above the last
    convolution's, the kernel if it is small in the first layer and large elsewhere, the pooling's size if it is the
    second option, the connection if it is there from the third layer on. A layer of wrong type counts nothing; one
    of right type 0.4, and 0.2 each for its options, its connection, and a right type before it. So the reward is at
    most 1, and 1 only for five layers with everything right, where each decision follows from those before it.
    """
    total, before_right, filters, before = 0.0, True, -1, GATE
    for place, layer in enumerate(layers[:BEST_DEPTH]):
        wanted = GATE if place == BEST_DEPTH - 1 else POOLING if before == CONVOLUTION else CONVOLUTION
        right = layer.type == wanted
        if right:
            connected = layer.connections == (int(place > 1),)
            total += 0.4 + 0.2 * (_right_options(layer, place, filters) + connected + before_right)
        if layer.type == CONVOLUTION:
            filters = layer.hyperparameters[0]
        before_right, before = right, layer.type
    return max(total / BEST_DEPTH - 0.1 * (len(layers) > BEST_DEPTH), 0.0)


def _right_options(layer: LayerAction, place: int, filters: int) -> float:
    """Share of a layer's options that are right, given the option of the last convolution's filters."""
    if layer.type == CONVOLUTION:
        return 0.5 * (layer.hyperparameters[0] == filters + 1) + 0.5 * (layer.hyperparameters[1] == (place > 0))
    return float(layer.type == GATE or layer.hyperparameters == (1,))


@dataclass(frozen=True)
class Toy:
    """A space and its reward, whose highest value is 1."""

    space: SearchSpace
    reward: Callable[[Sequence[LayerAction]], float]

    def score(self, trajectory: Trajectory) -> float:
        """Reward of a trajectory's layers."""
        return self.reward([action for action in trajectory.actions if action.type != STOP])


TOYS = {"images": Toy(IMAGES, images_reward), "sequence": Toy(SEQUENCE, sequence_reward)}


def run_one(name: str, arm: str, seed: int, samples: int) -> list[dict[str, Any]]:
    """One run; rows of some of its updates, and in the last one the share of draws that are the optimum."""
    torch.set_num_threads(1)
    toy, strategy = TOYS[name], create_arm(arm, TOYS[name].space, seed)
    found, best, found_at, updates = [], 0.0, "", samples // BATCH
    every = max(updates // POINTS, 1)
    for update in range(1, updates + 1):
        proposals = strategy.ask(BATCH)
        scores = [toy.score(proposal.trajectory) for proposal in proposals]
        states = zip(proposals, scores, strict=True)
        strategy.tell([Evaluation(proposal, EvaluationState.COMPLETE, score) for proposal, score in states])
        best = max(best, *scores)
        if best > OPTIMUM and found_at == "":
            found_at = str((update - 1) * BATCH + [score > OPTIMUM for score in scores].index(True) + 1)
        figures = (strategy.figures() or [{}])[-1]
        if update % every == 0 or update == updates:
            depth = statistics.mean(len(proposal.trajectory.actions) - 1 for proposal in proposals)
            row = {"space": name, "arm": arm, "seed": seed, "samples": update * BATCH, "found_at": found_at}
            row |= {"best": f"{best:.4g}", "mean": f"{statistics.mean(scores):.4f}", "depth": f"{depth:.2f}"}
            row |= {key: f"{figures[key]:.4g}" for key in ("entropy", "advantage", "gradient_norm") if figures}
            found.append(row)
    final = [toy.score(proposal.trajectory) > OPTIMUM for proposal in strategy.ask(FINAL_DRAWS)]
    found[-1]["final_share"] = f"{statistics.mean(final):.4f}"
    return found


def summarise(ends: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """For each space, arm and number of samples: who found the optimum, when, and whose policy settled on it."""
    for key in dict.fromkeys((row["space"], row["arm"], row["samples"]) for row in ends):
        own = [row for row in ends if (row["space"], row["arm"], row["samples"]) == key]
        found = [float(row["found_at"] or "inf") for row in own]
        median, drawn = statistics.median(found), [float(row["final_share"]) > 0.5 for row in own]
        summary = {"space": key[0], "arm": key[1], "seeds": len(own), "samples": key[2]}
        for limit in MILESTONES:
            known = limit <= int(key[2])
            share = statistics.mean(at <= limit for at in found)
            summary[f"found_{limit}"] = f"{share:.2f}" if known else ""
        summary["median_samples"] = "" if median == float("inf") else f"{median:.0f}"
        summary["settled"] = f"{statistics.mean(drawn):.2f}"
        summary["mean_best"] = f"{statistics.mean(float(row['best']) for row in own):.3f}"
        summary["final_mean"] = f"{statistics.mean(float(row['mean']) for row in own):.3f}"
        yield summary


def last_rows(path: Path) -> list[dict[str, str]]:
    """The last row of each run."""
    return [row for row in rows(path, COLUMNS) if row["final_share"]]


def main() -> None:
    """Run what is missing, then summarise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", default=list(TOYS))
    parser.add_argument("--arms", nargs="+", default=ARMS)
    parser.add_argument("--seeds", type=int, default=20, help="how many, from 0")
    parser.add_argument("--samples", type=int, help="of every arm, instead of each arm's own number")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    kept = last_rows(options.out)
    done = {(row["space"], row["arm"], int(row["seed"]), int(row["samples"])) for row in kept}
    wanted = [
        (space, arm, seed, (options.samples or SAMPLES[arm]) // BATCH * BATCH)
        for seed in range(options.seeds)
        for space in options.spaces
        for arm in options.arms
    ]
    start = time.perf_counter()
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(run_one, *job): job for job in wanted if job not in done}
        for count, curve in enumerate(each_result(jobs), start=1):
            append_rows(options.out, COLUMNS, curve)
            end = curve[-1]
            print(
                f"{count}/{len(jobs)} {time.perf_counter() - start:.0f} s: {end['space']} {end['arm']} {end['seed']} "
                f"{end['samples']}: best {end['best']}, optimum at {end['found_at'] or '-'}, "
                f"drawn {end['final_share']}",
                flush=True,
            )
    summary = list(summarise(last_rows(options.out)))
    replace_rows(options.out.with_stem(options.out.stem + "_summary"), list(summary[0]), summary)
    for row in [{key: key for key in summary[0]}, *summary]:
        print(" ".join(f"{value!s:>{24 if key == 'arm' else 14}}" for key, value in row.items()))


if __name__ == "__main__":
    main()
