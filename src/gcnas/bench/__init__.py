"""Experiments: strategies on tables of trained networks, with statistics."""

from gcnas.bench.processes import Bench, run_bench
from gcnas.bench.report import write_report
from gcnas.bench.tables import TableReference, built_in, find_tables

__all__ = ["Bench", "TableReference", "built_in", "find_tables", "run_bench", "write_report"]
