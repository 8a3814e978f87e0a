"""A trained network as an ONNX file: pixels in, probabilities out."""

import copy
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from gcnas.errors import ExportError
from gcnas.export.onnx_extra import quiet, require_onnx
from gcnas.export.onnx_session import INPUT, OUTPUT, OnnxClassifier
from gcnas.export.pixels_in import PixelClassifier, made_images
from gcnas.export.refusal import refused

OPSET = 20
CHECKED_IMAGES = 64
TOLERANCE = 1e-4
"""Largest difference between two probabilities that counts as rounding."""

TIE = 1e-5
"""Classes whose probabilities differ by less are equally probable."""


def onnx_bytes(
    network: nn.Module,
    image_shape: tuple[int, int, int],
    *,
    labels: Sequence[str],
    preprocessing: Mapping[str, Any],
    images: np.ndarray | None = None,
) -> bytes:
    """Write a network as ONNX (by ``torch.export``) and hold it against the network with ONNX Runtime.

    The file's input ``images`` is uint8 of shape (batch, height, width, channels), an image file after resizing;
    scaling, normalisation and softmax are inside. Its output ``probabilities`` is float32 of shape (batch,
    classes). Its metadata hold ``labels`` and ``preprocessing`` as JSON. Equal networks give equal bytes, which
    name no file of this machine.

    Args:
        network: Takes (batch, channels, height, width) in [0, 1] and gives logits; it stays as it is.
        image_shape: Channels, height and width.
        labels: Names of the classes, in the order of the outputs.
        preprocessing: How an image file becomes the input, as JSON.
        images: Images ``N x H x W x C`` uint8 to compare on, of which 64 are taken; by default made ones.

    Raises:
        ExportError: If the extra ``onnx`` is missing, a layer has no ONNX form, or the outputs are others.
    """
    require_onnx("An ONNX file")
    properties = {"labels": list(labels), "preprocessing": dict(preprocessing)}
    with refused("The network has no ONNX form"):
        classifier = PixelClassifier(copy.deepcopy(network).cpu()).eval()
        model = _convert(classifier, image_shape)
        _strip(model)
        for name, value in properties.items():
            entry = model.metadata_props.add()
            entry.key, entry.value = name, json.dumps(value)
        content: bytes = model.SerializeToString(deterministic=True)
        check_onnx(content, classifier, made_images(image_shape, CHECKED_IMAGES) if images is None else images)
    return content


def unchecked_onnx(network: nn.Module, image_shape: tuple[int, int, int]) -> bytes:
    """The same for timing alone: without labels, unchecked, by PyTorch's older exporter.

    That one is twenty times as fast, and the file takes ONNX Runtime as long. It reads the operations of one forward
    pass, which is all there is to a network without branches.

    Args:
        network: As for :func:`onnx_bytes`.
        image_shape: Channels, height and width.

    Raises:
        ExportError: If a layer has no ONNX form.
    """
    channels, height, width = image_shape
    example = torch.zeros(2, height, width, channels, dtype=torch.uint8)
    axes = {name: {0: "batch"} for name in (INPUT, OUTPUT)}
    content = io.BytesIO()
    try:
        with quiet(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                PixelClassifier(network).eval(),
                (example,),
                content,  # type: ignore[arg-type]  # this exporter takes a buffer
                dynamo=False,
                opset_version=OPSET,
                dynamic_axes=axes,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
    except Exception as error:
        raise ExportError(f"The network has no ONNX form: {_first_line(error)}") from error
    return content.getvalue()


def check_onnx(content: bytes, classifier: PixelClassifier, images: np.ndarray) -> None:
    """Compare an ONNX file with what it stands for, on 64 images, in batches of 1 and of the rest.

    Raises:
        ExportError: If ONNX Runtime refuses the file, a probability differs by more than 1e-4, or the most
            probable class is another one.
    """
    # Spread over all of them, since those of a class often lie together. A copy, which PyTorch may write.
    images = images[np.linspace(0, len(images) - 1, min(CHECKED_IMAGES, len(images))).round().astype(int)]
    with torch.no_grad():
        expected = classifier(torch.from_numpy(images)).numpy()
    try:
        run = OnnxClassifier(content)
        found = np.concatenate([run(images[:1]), run(images[1:])] if len(images) > 1 else [run(images)])
    except Exception as error:
        raise ExportError(f"ONNX Runtime does not run the ONNX file: {_first_line(error)}") from error
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise ExportError(
            f"The ONNX file's probabilities differ from the network's by {difference:g} on {len(images)} images; "
            f"up to {TOLERANCE:g} is rounding."
        )
    # Two classes that the network holds for equally probable may stand in either order.
    lost = expected.max(1) - expected[np.arange(len(images)), found.argmax(1)]
    if wrong := int((lost > TIE).sum()):
        raise ExportError(
            f"The ONNX file names another class than the network on {wrong} of {len(images)} images."
        )


def _convert(classifier: PixelClassifier, image_shape: tuple[int, int, int]) -> Any:
    channels, height, width = image_shape
    example = torch.zeros(2, height, width, channels, dtype=torch.uint8)
    try:
        with quiet(), torch.no_grad(), torch.random.fork_rng(devices=[]):
            program = torch.onnx.export(
                classifier,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
    except Exception as error:
        raise ExportError(f"The network has no ONNX form: {_first_line(error)}") from error
    if program is None:
        raise ExportError("The network has no ONNX form: torch.onnx.export gave nothing.")
    return program.model_proto


def _strip(model: Any) -> None:
    """Take out where in which source file each operation was traced."""
    graph = model.graph
    for part in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
