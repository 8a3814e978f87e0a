from pathlib import Path

import numpy as np
import pytest
import torch

from gcnas.errors import ExportError
from gcnas.export.onnx_teacher import OnnxTeacher

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

WEIGHT = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)


def linear(path: Path, batch: str | int, kind: str = "FLOAT", *, beside: bool = False) -> Path:
    """A linear classifier of 4 classes: floats 3 x 2 x 2, or bytes 2 x 2 x 3; its weights may lie beside it."""
    make, types = onnx.helper, onnx.TensorProto
    sides = (3, 2, 2) if kind == "FLOAT" else (2, 2, 3)
    steps = [
        make.make_node("Cast", ["x"], ["floats"], to=types.FLOAT),
        make.make_node("Flatten", ["floats"], ["flat"]),
        make.make_node("MatMul", ["flat", "w"], ["logits"]),
    ]
    graph = make.make_graph(
        steps,
        "linear",
        [make.make_tensor_value_info("x", getattr(types, kind), (batch, *sides))],
        [make.make_tensor_value_info("logits", types.FLOAT, (batch, 4))],
        [make.make_tensor("w", types.FLOAT, WEIGHT.shape, WEIGHT.ravel().tolist())],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    if beside:
        model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(WEIGHT, "w"))
    where = (
        {"save_as_external_data": True, "location": f"{path.name}.data", "size_threshold": 0} if beside else {}
    )
    onnx.save(model, path, **where)
    return path


@pytest.mark.parametrize("batch", ["n", 1, 2, 7])
def test_any_batch_is_taken_in_the_pieces_of_the_file(tmp_path: Path, batch: str | int) -> None:
    images = torch.rand(5, 3, 2, 2)
    found = OnnxTeacher(linear(tmp_path / "a.onnx", batch), 1)(images)
    np.testing.assert_allclose(found, images.flatten(1).numpy() @ WEIGHT, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "shape"), [("FLOAT", (3, 2, 2)), ("UINT8", (3, 2, 2))])
def test_its_image_shape_has_the_channels_first(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    teacher = OnnxTeacher(linear(tmp_path / "a.onnx", 3, kind), 1)
    assert teacher.image_shape == shape
    bytes_in = torch.randint(0, 256, (5, 3, 2, 2))
    flat = bytes_in.permute(0, 2, 3, 1) if kind == "UINT8" else bytes_in / 255
    np.testing.assert_allclose(
        teacher(bytes_in / 255), flat.flatten(1).float().numpy() @ WEIGHT, rtol=1e-4, atol=1e-4
    )


def test_weights_beside_it_are_found_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``torch.onnx.export`` writes them."""
    (tmp_path / "away").mkdir()
    path = linear(tmp_path / "away" / "a.onnx", "n", beside=True)
    assert path.with_name("a.onnx.data").stat().st_size == WEIGHT.nbytes
    images = torch.rand(5, 3, 2, 2)
    np.testing.assert_allclose(
        OnnxTeacher(path, 1)(images), images.flatten(1).numpy() @ WEIGHT, rtol=1e-5, atol=1e-6
    )
    monkeypatch.setattr("gcnas.export.onnx_teacher.MAX_BYTES", path.stat().st_size + 1)
    with pytest.raises(ExportError, match="the most of a teacher"):
        OnnxTeacher(path, 1)


def test_images_that_it_does_not_take(tmp_path: Path) -> None:
    teacher = OnnxTeacher(linear(tmp_path / "a.onnx", "n"), 1)
    with pytest.raises(
        ExportError, match=r"does not give logits for images of the shape \(5, 3, 4, 4\).*\]\. \S+"
    ):
        teacher(torch.rand(5, 3, 4, 4))
