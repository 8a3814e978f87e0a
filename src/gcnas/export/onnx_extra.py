"""The optional packages behind ONNX files: whether they are there, and their noise."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from gcnas.errors import ExportError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INSTALL = "pip install 'gcnas[onnx]'"

# Whose warnings say nothing to a user of gcnas; copyreg stands for the copies that torch.export makes.
_NOISY = ("torch", "onnx", "onnxscript", "onnx_ir", "onnxruntime", "copyreg")


def missing_packages() -> list[str]:
    """The packages of the extra ``onnx`` that are not installed; nothing is imported."""
    return [name for name in PACKAGES if not _installed(name)]


def require_onnx(purpose: str) -> None:
    """Make sure that the extra is there.

    Args:
        purpose: What needs it, as the beginning of a sentence.

    Raises:
        ExportError: If a package is missing; the message says how to get it.
    """
    if missing := missing_packages():
        raise ExportError(f"{purpose} needs {', '.join(missing)}, which is not installed: {INSTALL}")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and log lines of the packages (not ours); enter it in the main thread only."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    # ONNX Runtime's quantiser logs to the root itself, and would give it a handler if it had none.
    root, nobody = logging.getLogger(), logging.NullHandler()
    root.addHandler(nobody)
    root.addFilter(_passes)
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for module in _NOISY:
                warnings.filterwarnings("ignore", module=rf"{module}\b")
            yield
    finally:
        root.removeFilter(_passes)
        root.removeHandler(nobody)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _passes(record: logging.LogRecord) -> bool:
    return "onnxruntime" not in record.pathname


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # a module that was blocked has no specification
        return False
