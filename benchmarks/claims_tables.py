"""The tables of ``docs/claims.md``, written anew from the results of ``gcnas bench claims``.

``python benchmarks/claims_tables.py [DIR]`` reads ``E*.csv`` and ``E*-tests.csv`` in DIR
(``benchmarks/results/claims``) and replaces the cells of each table that stands under a comment such as
``<!-- E2 auc_regret -->``: rows are arms, columns spaces, a cell the mean over seeds ± half of the 95 % bootstrap
interval. An arrow says that the arm is significantly higher or lower (corrected p < 0.05) than the first one it is
tested against; with ``<!-- E7 auc_regret ceim -->``, than ``ceim``. Under ``<!-- E2-depths share_last grown -->``
columns are depths. ``--check`` changes nothing and ends with 1 where a table differs. ``--tests`` first computes
``E*-tests.csv`` anew from the rows of ``runs.csv``.
"""

import argparse
import csv
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "claims.md"
RESULTS = ROOT / "benchmarks" / "results" / "claims"
MARK = re.compile(r"<!-- (E\d+\S*) (\S+)(?: (\S+))? -->")
SIGNIFICANT = 0.05
Row = dict[str, str]


def read(path: Path) -> list[Row]:
    """Rows of a CSV; none if there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def cell(folder: Path, experiment: str, measure: str, base: str | None, arm: str, column: str) -> str | None:
    """What stands in a cell; None where there is no result."""
    rows = read(folder / f"{experiment}.csv")
    if "depths" in experiment:
        found = [r[measure] for r in rows if (r["space"], r["arm"], r["depth"]) == (base, arm, column)]
        return f"{float(found[0]):.2f}" if found and found[0] else None
    found_rows = [r for r in rows if (r["space"], r["arm"], r["measure"]) == (column, arm, measure)]
    if not found_rows:
        return None
    mean, low, high = (float(found_rows[0][name]) for name in ("mean", "mean_low", "mean_high"))
    return f"{mean:.3g} ± {(high - low) / 2:.2g}{arrow(folder, experiment, measure, base, arm, column)}"


def arrow(folder: Path, experiment: str, measure: str, base: str | None, arm: str, space: str) -> str:
    """Whether an arm is significantly higher or lower than what it is tested against."""
    for test in read(folder / f"{experiment}-tests.csv"):
        if (test["space"], test["measure"]) != (space, measure):
            continue
        if test["rival"] == arm and base in (None, test["arm"]):
            higher = float(test["mean_difference"]) < 0
        elif base is not None and (test["arm"], test["rival"]) == (arm, base):
            higher = float(test["mean_difference"]) > 0
        else:
            continue
        significant = bool(test["p_holm"]) and float(test["p_holm"]) < SIGNIFICANT
        return (" ↑" if higher else " ↓") if significant else ""
    return ""


def rewritten(text: str, folder: Path) -> str:
    """The page with the cells of its marked tables replaced."""
    lines, header = text.split("\n"), list[str]()
    mark: tuple[str, str, str | None] | None = None
    for index, line in enumerate(lines):
        if found := MARK.fullmatch(line.strip()):
            experiment, measure, base = found.groups()
            mark, header = (experiment, measure, base), []
        elif mark is not None and line.startswith("|"):
            cells = [part.strip() for part in line.strip("|").split("|")]
            if not header:
                header = [name.strip("`") for name in cells]
            elif not set(line) <= set("|- "):
                arm = cells[0].strip("`")
                values = [cell(folder, *mark, arm, column) for column in header[1:]]
                kept = [old if new is None else new for old, new in zip(cells[1:], values, strict=True)]
                lines[index] = f"| {' | '.join([cells[0], *kept])} |"
        elif mark is not None and header and not line.startswith("|"):
            mark = None
    return "\n".join(lines)


def test_again(folder: Path) -> None:
    """The p of all experiments but E6 from the measures of their runs; these are rounded, so differences stay."""
    from gcnas.bench.claims import find
    from gcnas.bench.experiments import EXPERIMENTS
    from gcnas.bench.summary import Cell, write_table

    runs: list[dict[str, Cell]] = [
        {name: value or None for name, value in row.items()} for row in read(folder / "runs.csv")
    ]
    keys = ("space", "arm", "rival", "measure")
    for name, experiment in EXPERIMENTS.items():
        path = folder / f"{name}-tests.csv"
        if experiment.kind != "search" or not (old := read(path)):
            continue
        new = {tuple(str(row[key]) for key in keys): row for row in find(experiment, runs).tests}
        tests: list[dict[str, Cell]] = []
        for row in old:
            found = new[tuple(row[key] for key in keys)]
            tests.append({**row, "p": f"{found['p']:.6g}", "p_holm": f"{found['p_holm']:.6g}"})
        write_table(path, tests)


def main() -> None:
    """Rewrite or check the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=RESULTS)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--tests", action="store_true")
    options = parser.parse_args()
    if options.tests:
        test_again(options.folder)
    old = PAGE.read_text(encoding="utf-8")
    new = rewritten(old, options.folder)
    if options.check:
        sys.exit("docs/claims.md differs from the results" if new != old else 0)
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
