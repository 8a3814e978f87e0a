import logging
import sys
import warnings

import pytest

from gcnas.errors import ExportError
from gcnas.export.onnx_extra import missing_packages, quiet, require_onnx


def test_what_is_missing_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_packages() == []
    require_onnx("An ONNX file")
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert missing_packages() == ["onnx", "onnxruntime"]
    with pytest.raises(ExportError, match=r"An ONNX file needs onnx, onnxruntime.*'gcnas\[onnx\]'"):
        require_onnx("An ONNX file")


def test_only_the_packages_are_silenced() -> None:
    root, exporter = logging.getLogger(), logging.getLogger("torch.onnx")
    before = (list(root.handlers), list(root.filters), exporter.level)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with quiet():
            warnings.warn_explicit("theirs", FutureWarning, "x.py", 1, module="torch.onnx.exporter")
            warnings.warn_explicit("ours", FutureWarning, "y.py", 1, module="onnxes")
            assert not exporter.isEnabledFor(logging.WARNING)
            assert not root.filter(logging.LogRecord("root", 30, "/x/onnxruntime/quantize.py", 1, "", (), None))
            assert root.filter(logging.LogRecord("root", 30, "/x/gcnas/api.py", 1, "", (), None))
    assert [str(warning.message) for warning in heard] == ["ours"]
    assert (list(root.handlers), list(root.filters), exporter.level) == before
