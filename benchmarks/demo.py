"""The demo with several seeds: delivered test accuracy on digits within two minutes and 60,000 parameters.

``python benchmarks/demo.py`` runs the command of ``make demo`` for seeds 0, 1 and 2, one after the other, on all
cores, and writes ``benchmarks/results/demo.csv``. The seed decides the splits too, so each has its own 359 test
images.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jobs import refuse_a_part, replace_rows

RESULTS = Path(__file__).resolve().parent / "results" / "demo.csv"
COLUMNS = (
    "seed budget test_accuracy validation_accuracy parameters multiply_adds source trial wall_seconds".split()
)


def run_one(seed: int, budget: str, folder: Path) -> dict[str, object]:
    """One demo in a process of its own."""
    start = time.monotonic()
    command = [sys.executable, "-m", "gcnas", "search", "digits", "--budget", budget, "--max-params", "60k"]
    subprocess.run([*command, "--seed", str(seed), "--out", str(folder / "run")], check=True)
    metrics = json.loads((folder / "run" / "best" / "metrics.json").read_text())
    row = {name: metrics[name] for name in COLUMNS if name in metrics}
    return row | {"seed": seed, "budget": budget, "wall_seconds": round(time.monotonic() - start, 1)}


def main() -> None:
    """Run all seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--budget", default="2m")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    refuse_a_part(parser, arguments)
    rows = []
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(run_one(seed, arguments.budget, Path(folder)))
    replace_rows(arguments.out, COLUMNS, rows)
    accuracies = [float(str(row["test_accuracy"])) for row in rows]
    print(f"mean test accuracy {sum(accuracies) / len(accuracies):.4f}, each {accuracies}")


if __name__ == "__main__":
    main()
