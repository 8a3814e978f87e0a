"""Experiments: strategies on tables of trained networks and synthetic problems, with statistics."""

from gcnas.bench.claims import (
    Claims,
    Finding,
    find_claims,
    run_claims,
    seeds_there,
    tables_there,
    write_claims,
)
from gcnas.bench.processes import Bench, run_bench
from gcnas.bench.report import write_report
from gcnas.bench.tables import TableReference, built_in, find_tables

__all__ = [
    "Bench",
    "Claims",
    "Finding",
    "TableReference",
    "built_in",
    "find_claims",
    "find_tables",
    "run_bench",
    "run_claims",
    "seeds_there",
    "tables_there",
    "write_claims",
    "write_report",
]
