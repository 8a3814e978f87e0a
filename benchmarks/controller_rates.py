"""Whether the recurrent controllers of E1 are held back by the learning rates that were chosen for them.

``python benchmarks/controller_rates.py --spaces grown`` searches with the graph policy at its own rate, and with the
three LSTMs at 0.003, 0.01, 0.03 and 0.1 (E1 chose among the first three and 0.001), by both learners: seeds 0 to 19,
150 queries, one row a run in ``benchmarks/results/controller_rates.csv``. It prints the mean regret over the queries
and at the end, and the p of a paired Wilcoxon test against the graph policy, without a correction. The LSTMs may take
their best rate afterwards, which favours them: it says whether the graph policy is ahead of all, not whether an LSTM is
ahead of it. ``--spaces channel-mobilenet nas-bench-macro`` needs ``--data FOLDER``. Runs that stand in the file are not
run again.
"""

import argparse
import os
import statistics
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jobs import append_rows, each_result, rows

RESULTS = Path(__file__).resolve().parent / "results" / "controller_rates.csv"
COLUMNS = "space arm seed mean_regret regret_end".split()
LEARNERS = ("reinforce", "imitation")
LSTMS = ("lstm", "lstm-parallel", "lstm-matched")
RATES = (0.003, 0.01, 0.03, 0.1)
QUERIES = 150


def arms(learner: str) -> list[str]:
    """The graph policy, then the LSTMs at each rate."""
    return [f"{learner}:gcn", *(f"{learner}:{name}@{rate:g}" for name in LSTMS for rate in RATES)]


def run_one(space: str, arm: str, seed: int, data: Path | None) -> dict[str, Any]:
    """One search."""
    import torch

    from gcnas.bench.curves import group_runs
    from gcnas.bench.landscape import LANDSCAPES
    from gcnas.bench.search import search_table
    from gcnas.bench.tables import find_tables

    torch.set_num_threads(1)
    problem = LANDSCAPES[space] if space in LANDSCAPES else find_tables([space], (), data)[0]
    run = search_table(problem.load(), arm, seed, QUERIES)
    (group,) = group_runs([run])
    return dict(zip(COLUMNS, (space, arm, seed, float(group.auc[0]), float(group.regret[0, -1])), strict=True))


def summarise(path: Path) -> None:
    """For each space and learner the arms, each tested against the graph policy."""
    from gcnas.bench.comparison import wilcoxon

    known: dict[str, dict[str, dict[str, Mapping[str, str]]]] = {}
    for row in rows(path):
        known.setdefault(row["space"], {}).setdefault(row["arm"], {})[row["seed"]] = row
    for space, found in known.items():
        for learner in LEARNERS:
            print(f"{space}, {learner}")
            for arm in (each for each in arms(learner) if each in found):
                words = [f"  {arm:32} {len(found[arm]):2} seeds"]
                for measure in COLUMNS[3:]:
                    values = {seed: float(row[measure]) for seed, row in found[arm].items()}
                    graph = {seed: float(row[measure]) for seed, row in found[f"{learner}:gcn"].items()}
                    pairs = np.array(
                        [values[seed] - graph[seed] for seed in sorted(values.keys() & graph.keys())]
                    )
                    words.append(f"{measure} {statistics.mean(values.values()):.4f} (p {wilcoxon(pairs):.2g})")
                print("  ".join(words))


def main() -> None:
    """Run what is missing, then summarise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the tables")
    parser.add_argument("--spaces", nargs="+", default=["grown"])
    parser.add_argument("--learners", nargs="+", default=LEARNERS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    done = {tuple(row[key] for key in COLUMNS[:3]) for row in rows(options.out, COLUMNS)}
    jobs = [
        (space, arm, seed)
        for seed in range(options.seeds)
        for space in options.spaces
        for learner in options.learners
        for arm in arms(learner)
        if (space, arm, str(seed)) not in done
    ]
    with ProcessPoolExecutor(options.jobs) as pool:
        for row in each_result({pool.submit(run_one, *job, options.data): job for job in jobs}):
            append_rows(options.out, COLUMNS, [row])
    summarise(options.out)


if __name__ == "__main__":
    main()
