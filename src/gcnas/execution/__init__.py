"""Where evaluations run."""

from gcnas.execution.base import Executor, Job, Outcome
from gcnas.execution.serial import Evaluated, SerialExecutor, failure

__all__ = ["Evaluated", "Executor", "Job", "Outcome", "SerialExecutor", "failure"]
