"""Policies on real trainings: `gcnas search digits` with 100 candidates for each strategy and seed.

``python benchmarks/digits_policies.py --jobs 2`` runs the command line for `reinforce`, `reinforce-rnn`,
`reinforce-rnn-tuned` and `random` with seeds 0, 1 and 2: digits, 60,000 parameters, 100 candidates of 4 epochs, no
reference designs, one thread each. It writes one row a candidate to ``benchmarks/results/digits_policies.csv``
(validation accuracy of the candidate, best so far, layers drawn, layers left in canonical form) and prints for each
strategy the best so far and the depth by quarters of the search. Finished searches are not run again; a search of
another number of candidates needs a file of its own (``--out``). One that fails is named, and the others are kept.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jobs import append_rows, each_result, rows

RESULTS = Path(__file__).resolve().parent / "results" / "digits_policies.csv"
STRATEGIES = "reinforce reinforce-rnn reinforce-rnn-tuned random".split()
COLUMNS = "strategy seed trial state validation best_so_far drawn_layers layers parameters".split()
OPTIONS = "--max-params 60k --no-references --fidelity full --epochs 4 --final-epochs 1 --threads 1".split()


def run_one(strategy: str, seed: int, candidates: int) -> list[dict[str, Any]]:
    """One search in a process of its own; its candidates in order."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "gcnas", "search", "digits", "--strategy", strategy, *OPTIONS]
        command += ["--budget", str(candidates), "--seed", str(seed), "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return read_trials(out, strategy, seed)


def read_trials(run: Path, strategy: str, seed: int) -> list[dict[str, Any]]:
    """What the run's record says about each candidate."""
    import gcnas

    found, best = [], 0.0
    for trial in gcnas.load(run).trials:
        if trial.complete:
            best = max(best, trial.score)
        found.append(
            {
                "strategy": strategy,
                "seed": seed,
                "trial": trial.number,
                "state": "" if trial.evaluation is None else trial.evaluation.state.value,
                "validation": round(trial.score, 5) if trial.complete else "",
                "best_so_far": round(best, 5),
                "drawn_layers": len(trial.proposal.trajectory.actions) - 1,
                "layers": trial.proposal.architecture.depth,
                "parameters": trial.cost.parameters,
            }
        )
    return found


def finished(path: Path) -> Counter[tuple[str, int]]:
    """Strategy and seed of the searches that stand in the results, and their candidates."""
    return Counter((row["strategy"], int(row["seed"])) for row in rows(path, COLUMNS))


def summarise(path: Path) -> None:
    """Best so far at some candidates, and the depth drawn in each quarter; mean and spread over seeds."""
    runs: dict[str, dict[int, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows(path):
        runs[row["strategy"]][int(row["seed"])].append(row)
    print(
        "strategy              best so far at 25, 50, 75, 100 (mean ± sd over seeds) | layers drawn, by quarters"
    )
    for strategy, seeds in runs.items():
        bests, depths = [], []
        for quarter in range(4):
            ends = [run[(quarter + 1) * len(run) // 4 - 1] for run in seeds.values()]
            values = [float(row["best_so_far"]) for row in ends]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            bests.append(f"{statistics.mean(values):.4f} ± {spread:.4f}")
            part = [
                int(row["drawn_layers"])
                for run in seeds.values()
                for row in run[quarter * len(run) // 4 : (quarter + 1) * len(run) // 4]
            ]
            depths.append(f"{statistics.mean(part):.1f} ± {statistics.pstdev(part):.1f}")
        print(f"{strategy:21} {', '.join(bests)} | {', '.join(depths)}")


def main() -> None:
    """Run what is missing, then summarise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    done = finished(arguments.out)
    # One that had nothing new to propose any more has fewer.
    if (most := max(done.values(), default=0)) not in (0, arguments.candidates):
        parser.error(f"{arguments.out} has searches of {most} candidates; name another file with --out")
    jobs = [(s, seed) for seed in arguments.seeds for s in arguments.strategies if (s, seed) not in done]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        futures = {pool.submit(run_one, *job, arguments.candidates): job for job in jobs}
        for found in each_result(futures):
            append_rows(arguments.out, COLUMNS, found)
            last = found[-1]
            print(f"{last['strategy']} seed {last['seed']}: best {last['best_so_far']}", flush=True)
    summarise(arguments.out)


if __name__ == "__main__":
    main()
