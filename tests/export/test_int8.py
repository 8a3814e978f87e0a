import numpy as np
import pytest

from gcnas.errors import ExportError
from gcnas.export import int8_bytes, onnx_bytes
from gcnas.export.onnx_session import OnnxClassifier
from gcnas.export.pixels_in import made_images
from gcnas.network import Network


@pytest.fixture
def content(network: Network) -> bytes:
    return onnx_bytes(network, (1, 28, 28), labels="0123456789", preprocessing={"channels": 1})


def test_integers_are_smaller_and_say_nearly_the_same(
    content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    images = made_images((1, 28, 28), 100)
    small = int8_bytes(content, images)
    assert capfd.readouterr() == ("", "")
    assert len(small) < len(content) / 2
    whole, quantised = OnnxClassifier(content, 1), OnnxClassifier(small, 1)
    assert quantised.metadata.items() >= whole.metadata.items()
    expected, found = whole(images), quantised(images)
    assert np.abs(found - expected).max() < 0.1
    assert not np.array_equal(found, expected)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert small == int8_bytes(content, images)


def test_weights_use_seven_of_eight_bits(content: bytes) -> None:
    """Sums of products of 8 bits overflow on processors without 8-bit dot products."""
    import onnx

    small = onnx.load_model_from_string(int8_bytes(content, made_images((1, 28, 28), 40)))
    integers = [each for each in small.graph.initializer if each.data_type == onnx.TensorProto.INT8]
    weights = [onnx.numpy_helper.to_array(each).astype(int) for each in integers if len(each.dims) > 1]
    assert weights
    assert 60 <= max(np.abs(each).max() for each in weights) <= 64


def test_what_is_no_model_is_an_export_error(content: bytes) -> None:
    with pytest.raises(ExportError, match="cannot be quantised"):
        int8_bytes(content, made_images((3, 5, 5), 3))
