"""What a run found, as a summary, a table and a report."""

from gcnas.report.drawing import draw
from gcnas.report.front import FrontPoint, front
from gcnas.report.html import write_report
from gcnas.report.layers import LayerRow, describe, layer_table
from gcnas.report.reasons import Reasons, reasons
from gcnas.report.record import RunRecord, read_run
from gcnas.report.summary import RunSummary, summarize
from gcnas.report.table import rescue_trials, write_trials_csv

__all__ = [
    "FrontPoint",
    "LayerRow",
    "Reasons",
    "RunRecord",
    "RunSummary",
    "describe",
    "draw",
    "front",
    "layer_table",
    "read_run",
    "reasons",
    "rescue_trials",
    "summarize",
    "write_report",
    "write_trials_csv",
]
