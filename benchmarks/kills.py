"""Random kills: processes of runs are killed with SIGKILL at random instants, the runs go on and are finished.

A third of the toy's kills each, and half of those on digits, in ways that ``tests/run/killing.py`` and
``killing_digits.py`` describe: ``learner`` (driver only; one worker, rungs, a strategy that learns; the table must be
that of a run left alone), ``random`` (driver, one worker, or all; two workers; the same table but for the candidates
whose worker was killed), ``rungs`` and ``gcnas`` (the same victims; rungs, where the order of results decides what
comes next).

All of the table: ``python benchmarks/kills.py --toy 200 --digits 20`` (seed 0). Results replace
``results/kills.csv`` when both spaces are through; lost, doubled and different must be 0 (different is empty where no
such thing is promised). The rows kept are of both spaces at once, on a machine busy with other work; ``seconds`` are
those of a whole space.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from jobs import refuse_a_part, replace_rows

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.run.killing import Tally, torment_toy  # noqa: E402
from tests.run.killing_digits import torment_digits  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "kills.csv"
COLUMNS = "space way seed runs driver worker both trials crashed lost doubled different seconds".split()


def rows(space: str, seed: int, tallies: dict[str, Tally], seconds: float) -> list[list[object]]:
    found: list[list[object]] = []
    for way, t in tallies.items():
        victims = [t.kills[name] for name in ("driver", "worker", "both")]
        different = "" if t.different is None else t.different
        found.append(
            [
                space,
                way,
                seed,
                t.runs,
                *victims,
                t.trials,
                t.crashed,
                t.lost,
                t.doubled,
                different,
                round(seconds),
            ]
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", type=int, default=200, help="kills on the toy space")
    parser.add_argument("--digits", type=int, default=20, help="kills on real training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    refuse_a_part(parser, options)
    found: list[list[object]] = []
    for space, kills, torment in (
        ("toy", options.toy, torment_toy),
        ("digits", options.digits, torment_digits),
    ):
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            tallies = torment(Path(folder), kills, options.seed)
        own = rows(space, options.seed, tallies, time.monotonic() - start)
        for line in own:
            print(dict(zip(COLUMNS, line, strict=True)), flush=True)
        found += own
    replace_rows(options.out, COLUMNS, found)


if __name__ == "__main__":
    main()
