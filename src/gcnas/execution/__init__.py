"""Where evaluations run."""

from gcnas.execution.base import Executor, Job, Outcome
from gcnas.execution.processes import ProcessExecutor, Setup
from gcnas.execution.serial import Evaluated, SerialExecutor, failure

__all__ = ["Evaluated", "Executor", "Job", "Outcome", "ProcessExecutor", "SerialExecutor", "Setup", "failure"]
