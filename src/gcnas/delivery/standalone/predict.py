"""Classify image files: python predict.py IMAGES... (needs onnxruntime 1.20, numpy and pillow 11.3, or newer)."""

import json
import sys
from pathlib import Path

import onnxruntime
from images import load

here = Path(__file__).with_name
labels, how = (json.loads(here(name).read_text("utf-8")) for name in ("labels.json", "preprocessing.json"))
network, unread = onnxruntime.InferenceSession(here("model.onnx"), providers=["CPUExecutionProvider"]), 0
# File names need not be UTF-8, nor need the terminal be.
sys.stdout = open(1, "w", 1, "utf-8", "surrogateescape", closefd=False)  # noqa: SIM115
for path in sys.argv[1:] or sys.exit(__doc__):
    try:
        pixels = load(path, how["resolution"], how["channels"])
    except ValueError as error:
        print(error, file=sys.stderr)
        unread += 1
    else:
        shares = network.run(["probabilities"], {"images": pixels})[0][0]
        best = int(shares.argmax())
        print(path, labels[best], f"{shares[best]:.3f}", sep="\t")
sys.exit(unread > 0)
