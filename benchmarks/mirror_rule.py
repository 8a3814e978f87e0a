"""Does the rule for left-right mirroring decide rightly, and how far from its threshold?

Usage: python benchmarks/mirror_rule.py [--out FILE]

Reads the real data in the folder that GCNAS_DATA names (default ../shared/data beside the repository), writes
benchmarks/results/mirror_rule.csv: for each data set and seed of the split, the accuracy of the rule's nearest
neighbours on validation images as they are and mirrored, their ratio, the decision, and the seconds it took.
"""

import argparse
import os
import time
from pathlib import Path

from jobs import replace_rows

from gcnas.data import load
from gcnas.data.mirror import SMALLEST_RATIO, mirror_accuracies

ROOT = Path(__file__).resolve().parent.parent
IMAGES = Path(os.environ.get("GCNAS_DATA") or ROOT.parent / "shared" / "data") / "images"
RESULTS = ROOT / "benchmarks" / "results" / "mirror_rule.csv"

# Whether mirrored images should count as the same class, by common sense, and the seeds of the splits
# (one where the data come with a validation split).
DATA = {
    "digits": (False, range(3)),
    "mnist.npz": (False, range(3)),
    "fashion_mnist.npz": (True, range(3)),
    "cifar10_small.npz": (True, range(1)),
    "pneumonia_xray_balanced.npz": (True, range(1)),
    "flowers": (True, range(3)),
}
COLUMNS = "data seed plain_accuracy mirrored_accuracy ratio threshold mirror expected seconds".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = []
    for name, (expected, seeds) in DATA.items():
        for seed in seeds:
            dataset = load(name if name == "digits" else IMAGES / name, seed=seed)
            start = time.perf_counter()
            plain, mirrored = mirror_accuracies(dataset.train(), dataset.validation())
            seconds = time.perf_counter() - start
            scores = [f"{value:.4f}" for value in (plain, mirrored, mirrored / plain)]
            rows.append(
                [dataset.name, seed, *scores, SMALLEST_RATIO, dataset.mirror, expected, f"{seconds:.2f}"]
            )
            print(*rows[-1])
    replace_rows(options.out, COLUMNS, rows)


if __name__ == "__main__":
    main()
