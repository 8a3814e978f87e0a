"""Where evaluations run."""

from gcnas.execution.base import Executor, Job, Outcome
from gcnas.execution.cluster import Needs, RayExecutor
from gcnas.execution.late import LateExecutor
from gcnas.execution.processes import ProcessExecutor, Setup
from gcnas.execution.serial import Evaluated, SerialExecutor, failure

__all__ = [
    "Evaluated",
    "Executor",
    "Job",
    "LateExecutor",
    "Needs",
    "Outcome",
    "ProcessExecutor",
    "RayExecutor",
    "SerialExecutor",
    "Setup",
    "failure",
]
