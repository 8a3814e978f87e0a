"""How much of a short wall clock the final training should have.

``python benchmarks/final_share.py --jobs 2`` runs ``gcnas search`` with its defaults for eight minutes on one core,
with half and with three quarters of the time kept for the final training, on the images of ``designs.py``: 4,000 from
CIFAR-10 and 5,000 as the test, none of them a benchmark's test image; limits of ResNet-8. The runs of a seed go side by
side. A row that stands in the result file is not run again. The data are read from the folder in GCNAS_DATA or
``../shared/data``.
"""

import argparse
import tempfile
from pathlib import Path

from designs import prepare
from jobs import append, rows, run_each
from product import LIMITS

RESULTS = Path(__file__).resolve().parent / "results" / "final_share.csv"
COLUMNS = (
    "share seed seconds test_accuracy parameters multiply_adds source trials candidate_epochs final_epochs"
).split()


def run_one(share: float, seed: int, seconds: float, output: Path) -> None:
    """One search, and its row."""
    import gcnas

    parameters, multiply_adds = LIMITS["cifar"]
    with tempfile.TemporaryDirectory() as folder:
        result = gcnas.search(
            str(prepare(Path(folder))),
            out=Path(folder) / "run",
            budget=f"{seconds:g}s",
            final_share=share,
            max_params=parameters,
            max_macs=multiply_adds,
            seed=seed,
            workers=1,
            threads=1,
        )
        metrics, trials = result.metrics, result.trials
    delivered = [metrics[name] for name in ("test_accuracy", "parameters", "multiply_adds", "source")]
    epochs = max(trial.fidelity.epochs for trial in trials)
    append(
        output, COLUMNS, (share, seed, seconds, *delivered, len(trials), epochs, round(metrics["epochs"], 1))
    )


def main() -> None:
    """Read the command line, run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.5, 0.75])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--seconds", type=float, default=480.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--here", action="store_true", help="run the first job in this process")
    given = parser.parse_args()
    if given.here:
        run_one(given.shares[0], given.seeds[0], given.seconds, given.out)
        return
    done = {(float(row["share"]), int(row["seed"]), float(row["seconds"])) for row in rows(given.out, COLUMNS)}
    jobs = [
        ("--shares", share, "--seeds", seed, "--seconds", given.seconds, "--out", given.out)
        for seed in given.seeds
        for share in given.shares
        if (share, seed, given.seconds) not in done
    ]
    run_each(__file__, jobs, given.jobs)


if __name__ == "__main__":
    main()
