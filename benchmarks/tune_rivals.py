"""Twelve trials of tuning for each rival, on the two spaces that may be tuned on.

``python benchmarks/tune_rivals.py --data FOLDER`` runs twelve settings of each rival on NAS-Bench-201 (CIFAR-10) and
Channel-MobileNet with seeds 0 to 9, 150 queries, 500 for the policy gradients. It writes one row a run to
``benchmarks/results/tune_rivals.csv`` (queries to the optimum, censored at the budget, and mean regret over the
queries), and prints for each rival its settings by mean rank of the mean regret over both spaces. The first setting
of each is what its authors or the literature use; of the policy gradients, ``ReinforceSettings`` as it stands. Runs
that stand in the file are not run again; one that fails is named, and the others are kept. Local search has nothing to
tune.

The rows kept are those of ``--rivals reinforce reinforce-rnn-tuned reinforce-rnn-parallel --seeds 6``. The best setting
of each policy is what its strategy has: ``ReinforceSettings`` for the GCN, ``RNN_TUNED`` for both recurrent ones.
So are those of ``--rivals evolution gp optuna:tpe --seeds 6``, whose best settings are the arms ``evolution:tuned``,
``gp:tuned`` and ``tpe:tuned``.
"""

import argparse
import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from jobs import append_rows, each_result, rows

RESULTS = Path(__file__).resolve().parent / "results" / "tune_rivals.csv"
SPACES = ("nb201-cifar10", "channel-mobilenet")
COLUMNS = "rival setting space seed queries found mean_regret".split()
QUERIES = {"reinforce": 500, "reinforce-rnn-tuned": 500, "reinforce-rnn-parallel": 500}
POLICIES = tuple(QUERIES)
Trials = dict[str, dict[str, list[dict[str, str]]]]


def settings(rival: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and values of each trial."""
    grids: dict[str, dict[str, tuple[Any, ...]]] = {
        **{key: {"learning_rate": (0.003, 0.001, 0.01), "entropy": (0.01, 0.03, 0.1, 0.3)} for key in POLICIES},
        "evolution": {"population": (30, 15, 50, 100), "tournament": (10, 5, 20)},
        "gp": {"initial": (10, 5, 15, 20), "refit": (5, 1, 2)},
        "optuna:tpe": {
            "n_startup_trials": (10, 5, 20),
            "n_ei_candidates": (24, 100),
            "multivariate": (False, True),
        },
    }
    grid = grids[rival]
    for values in product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        yield " ".join(f"{key}={value}" for key, value in chosen.items()), chosen


def create(rival: str, values: dict[str, Any]) -> Callable[[Any, int], Any]:
    """Makes the rival with certain settings from a space and a seed."""
    if rival in POLICIES:
        from gcnas.policy import GCNPolicy, RNNPolicy, RNNSettings
        from gcnas.strategy.reinforce import ReinforceSettings, ReinforceStrategy

        parallel = RNNSettings(parallel=rival == "reinforce-rnn-parallel")
        policy = GCNPolicy if rival == "reinforce" else partial(RNNPolicy, settings=parallel)
        return lambda space, seed: ReinforceStrategy(space, seed, policy, ReinforceSettings(**values))
    if rival == "evolution":
        from gcnas.strategy.evolution import EvolutionSettings, EvolutionStrategy

        return lambda space, seed: EvolutionStrategy(space, seed, EvolutionSettings(**values))
    if rival == "gp":
        from gcnas.strategy.gp import GPSettings, GPStrategy

        return lambda space, seed: GPStrategy(space, seed, replace(GPSettings(), **values))
    from optuna.samplers import TPESampler

    from gcnas.strategy.optuna_strategy import OptunaStrategy

    return lambda space, seed: OptunaStrategy(space, seed, lambda s: TPESampler(seed=s, **values))


def run_one(rival: str, name: str, space: str, seed: int, data: Path) -> dict[str, Any]:
    """One search."""
    import warnings

    import torch
    from optuna.exceptions import ExperimentalWarning

    from gcnas.bench.search import search_with
    from gcnas.bench.tables import find_tables

    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ExperimentalWarning)
    values = dict(settings(rival))[name]
    table, budget = find_tables([space], (), data)[0].load(), QUERIES.get(rival, 150)
    run = search_with(table, create(rival, values)(table.space, seed), rival, seed, budget)
    regrets, best = [], float("-inf")
    for query in run.queries:
        best = max(best, query.score)
        regrets.append(run.optimum - best)
    found = regrets[-1] <= 0
    regrets += [regrets[-1]] * (budget - len(regrets))
    row = (
        rival,
        name,
        space,
        seed,
        len(run.queries) if found else budget,
        int(found),
        statistics.mean(regrets),
    )
    return dict(zip(COLUMNS, row, strict=True))


def read(path: Path) -> dict[str, Trials]:
    """The runs by rival, setting and space."""
    runs: dict[str, Trials] = {}
    for row in rows(path):
        by_space = runs.setdefault(row["rival"], {}).setdefault(row["setting"], defaultdict(list))
        by_space[row["space"]].append(row)
    return runs


def mean_ranks(rival: str, trials: Trials) -> dict[str, float]:
    """Mean over the spaces of each setting's rank by mean regret, best first.

    Equal regrets share the mean of their ranks; of equal mean ranks the setting that stands first in the grid is first.
    """
    ranks = {name: 0.0 for name, _ in settings(rival) if name in trials}
    for space in SPACES:
        means = {name: _mean(spaces[space], "mean_regret") for name, spaces in trials.items()}
        for name, mean in means.items():
            below = sum(other < mean for other in means.values())
            equal = sum(other == mean for other in means.values())
            ranks[name] += (below + (equal + 1) / 2) / len(SPACES)
    return dict(sorted(ranks.items(), key=lambda item: item[1]))


def summarise(path: Path) -> None:
    """For each rival the trials, best first."""
    for rival, found in read(path).items():
        trials = {name: spaces for name, spaces in found.items() if spaces.keys() >= set(SPACES)}
        print(rival)
        for name, rank in mean_ranks(rival, trials).items():
            parts = [
                f"{space}: queries {_mean(trials[name][space], 'queries'):5.1f} found "
                f"{_mean(trials[name][space], 'found'):.2f} regret {_mean(trials[name][space], 'mean_regret'):.4f}"
                for space in SPACES
            ]
            print(f"  rank {rank:5.2f}  {name:58} {' | '.join(parts)}")


def _mean(runs: list[dict[str, str]], column: str) -> float:
    return statistics.mean(float(run[column]) for run in runs)


def main() -> None:
    """Run what is missing, then summarise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the tables")
    parser.add_argument("--rivals", nargs="+", default=["evolution", "gp", "optuna:tpe", *POLICIES])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    done = {tuple(row[key] for key in COLUMNS[:4]) for row in rows(options.out, COLUMNS)}
    jobs = [
        (rival, name, space, seed)
        for seed in range(options.seeds)
        for rival in options.rivals
        for name, _ in settings(rival)
        for space in SPACES
        if (rival, name, space, str(seed)) not in done
    ]
    with ProcessPoolExecutor(options.jobs) as pool:
        for row in each_result({pool.submit(run_one, *job, options.data): job for job in jobs}):
            append_rows(options.out, COLUMNS, [row])
    summarise(options.out)


if __name__ == "__main__":
    main()
