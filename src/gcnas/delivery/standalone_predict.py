"""Classify image files: python predict.py IMAGES... (needs onnxruntime, numpy and pillow)."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

HERE = Path(__file__).parent


def load(path: str, resolution: list[int], channels: int) -> np.ndarray:
    """An image file as the network wants it: 1 x height x width x channels, 0 to 255."""
    height, width = resolution
    image: Image.Image = Image.open(path)
    image.draft(None, (2 * max(height, width),) * 2)
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":  # 16 bits, or numbers with a point
        values = np.asarray(image).astype(float)
        factor = 1 / 257 if image.mode[0] == "I" else 255 if values.max() <= 1.1 else 1
        image = Image.fromarray((values * factor).round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(1, height, width, channels)


def main() -> None:
    """Print file, class and probability; for a file that cannot be read, why, and end with 1."""
    labels = json.loads((HERE / "labels.json").read_text(encoding="utf-8"))
    how = json.loads((HERE / "preprocessing.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])
    broken = False
    for path in sys.argv[1:]:
        try:
            pixels = load(path, how["resolution"], how["channels"])
        except Exception as error:  # noqa: BLE001 - decoders raise whatever a damaged file leads them to
            print(f"{path} cannot be read: {error}", file=sys.stderr)
            broken = True
            continue
        probabilities = session.run(["probabilities"], {"images": pixels})[0][0]
        best = int(probabilities.argmax())
        print(f"{path}\t{labels[best]}\t{probabilities[best]:.3f}")
    sys.exit(broken)


if __name__ == "__main__":
    main()
