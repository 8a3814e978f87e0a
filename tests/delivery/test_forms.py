import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from gcnas.cli.app import app
from gcnas.data import Dataset, Preprocessing
from gcnas.data import load as load_data
from gcnas.delivery import (
    Model,
    export_int8,
    export_onnx,
    export_python,
    export_torch,
    export_zip,
    forms,
    predict_files,
)
from gcnas.errors import ConfigurationError, DataError, ExportError
from gcnas.export.onnx_session import OnnxClassifier
from gcnas.network import build
from gcnas.result import Result
from gcnas.space import InputShape
from gcnas.space.presets import CNN
from gcnas.space.presets.cnn import resnet8


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits")


@pytest.fixture
def odd_images(tmp_path: Path) -> list[Path]:
    """Image files of many kinds, none of them square."""
    generator = np.random.default_rng(0)
    colours = Image.fromarray(generator.integers(0, 256, (9, 7, 3), dtype=np.uint8)).resize((310, 190))
    mask = Image.fromarray(generator.integers(0, 256, (190, 310), dtype=np.uint8))
    deep = Image.fromarray((np.asarray(colours.convert("L")).astype(np.uint16) << 8) + 77)
    turned = Image.Exif()
    turned[0x0112] = 6
    folder = tmp_path / "images"
    folder.mkdir()
    colours.save(folder / "colours.png")
    colours.rotate(90, expand=True).convert("L").save(folder / "grey.png")
    colours.save(folder / "turned.jpg", exif=turned)
    colours.convert("P").save(folder / "palette.gif")
    colours.copy().convert("RGBA").save(folder / "opaque.webp")
    clear = colours.copy()
    clear.putalpha(mask)
    clear.save(folder / "clear.png")
    clear.convert("LA").save(folder / "grey and clear.png")
    deep.save(folder / "deep.png")
    Image.fromarray(np.tile(np.asarray(deep), (3, 1))).save(folder / "deep and tall.png")
    Image.fromarray(np.asarray(deep).astype(np.float32) / 65535).save(folder / "float.tiff")
    Image.fromarray(np.asarray(deep).astype(np.float32) / 65000).save(folder / "overshooting.tiff")
    Image.fromarray(np.asarray(deep).astype(np.int32)).save(folder / "integers.tiff")
    colours.save(folder / "turned.tiff", exif=turned)
    return sorted(folder.iterdir())


def run_script(
    archive: Path, folder: Path, images: list[Path], code: int = 0, said: str = "", **environment: str
) -> str:
    """What the zip's script prints where neither gcnas nor torch can be imported; its exit code is looked at."""
    with zipfile.ZipFile(archive) as opened:
        assert sorted(opened.namelist()) == [
            "images.py",
            "labels.json",
            "model.onnx",
            "predict.py",
            "preprocessing.json",
        ]
        opened.extractall(folder)
    program = (
        "import os, runpy, sys\n"
        "for name in ('gcnas', 'torch', 'onnx', 'onnxscript'): sys.modules[name] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "sys.path[0] = os.path.dirname(sys.argv[0])\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", program, str(folder / "predict.py"), *map(str, images)]
    environment |= {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    done = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env=environment,
        cwd=folder.parent,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    return done.stdout


def test_script_of_the_zip_passes_over_what_is_no_image(
    result: Result, digit_files: list[Path], tmp_path: Path
) -> None:
    archive = export_zip(result.model, tmp_path / "net.zip")
    text, cut = tmp_path / "notes.txt", tmp_path / "cut.png"
    text.write_text("no image")
    odd = tmp_path / "odd.tif"  # its strips lie at a text
    Image.new("L", (8, 8)).save(odd)
    strips = odd.read_bytes().index(struct.pack("<H", 273))
    content = bytearray(odd.read_bytes())
    content[strips + 2] = 2
    odd.write_bytes(content)
    cut.write_bytes(digit_files[0].read_bytes()[:60])
    dark, holes, icon = tmp_path / "dark.tif", tmp_path / "holes.tif", tmp_path / "icon.ico"
    Image.new("I", (8, 8), 200).save(dark)
    Image.new("F", (8, 8), float("nan")).save(holes)
    Image.new("F", (8, 8), 1.5).save(tmp_path / "bright.tif")  # neither up to 1 nor up to 255
    Image.fromarray(np.linspace(0, 65_000, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "far.tif")
    Image.fromarray(np.linspace(-2.1, 2.6, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "normal.tif")
    Image.fromarray(np.linspace(-300, 9_000, 64).astype(np.int32).reshape(8, 8)).save(tmp_path / "below.tif")
    Image.new("L", (16, 16)).save(icon)
    rotten = tmp_path / "rotten.png"  # whole, but for what is in it
    content = bytearray(digit_files[0].read_bytes())
    data = content.index(b"IDAT") + 4
    content[data : data + 10] = b"\xff" * 10
    rotten.write_bytes(content)
    images = [
        text,
        odd,
        dark,
        holes,
        tmp_path / "bright.tif",
        tmp_path / "far.tif",
        tmp_path / "normal.tif",
        tmp_path / "below.tif",
        icon,
        rotten,
        digit_files[0],
        cut,
        tmp_path / "none.png",
        digit_files[1],
    ]
    said = run_script(archive, tmp_path / "net", images, code=1)
    assert [line.split("\t")[0] for line in said.splitlines()] == [str(digit_files[0]), str(digit_files[1])]
    for path in images:
        if path not in digit_files:
            with pytest.raises(DataError):
                result.model.preprocessing.load_image(path)


def test_script_of_the_zip_says_what_predict_says(
    result: Result, digit_files: list[Path], odd_images: list[Path], tmp_path: Path
) -> None:
    archive = export_zip(result.model, tmp_path / "net.zip")
    images = [*digit_files[:5], *odd_images]
    damaged = digit_files[0].read_bytes()  # in its metadata
    block = struct.pack(">I", 4) + b"eXIfnone"
    (tmp_path / "damaged.png").write_bytes(
        damaged[:33] + block + struct.pack(">I", zlib.crc32(block[4:])) + damaged[33:]
    )
    images.append(tmp_path / "damaged.png")
    said = CliRunner().invoke(app, ["predict", str(result.run), *map(str, images)])
    assert said.exit_code == 0
    assert len(said.stdout.splitlines()) == len(images)
    assert run_script(archive, tmp_path / "net", images) == said.stdout
    strange = Path(os.fsdecode(os.fsencode(tmp_path / "strange") + b"\xff.png"))
    strange.write_bytes(damaged)
    assert run_script(archive, tmp_path / "net", [strange]).startswith(f"{strange}\t")
    assert run_script(archive, tmp_path / "net", [], code=1, said="python predict.py IMAGES") == ""
    again = export_zip(result.model, tmp_path / "again.zip")
    assert archive.read_bytes() == again.read_bytes()


def test_the_readme_reads_images_as_they_are_shown(
    result: Result, digit_files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Upright, although the pixels of a file lie on their side."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = (part for part in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "onnxruntime" in part)
    on_its_side = Image.Exif()
    on_its_side[0x0112] = 6
    for number, file in enumerate(digit_files[:6]):
        path = tmp_path / f"{number}.png"
        Image.open(file).transpose(Image.Transpose.ROTATE_90).save(path, exif=on_its_side)
        exec(block.replace("runs/photos-1", str(result.run)).replace("new.jpg", str(path)), {})  # noqa: S102
        (expected,) = result.predict([file])
        assert capsys.readouterr().out == f"{expected.label}\n"


def test_script_is_short() -> None:
    """It is there to be copied into a program."""
    lines = (files("gcnas.delivery") / "standalone" / "predict.py").read_text(encoding="utf-8").splitlines()
    assert sum(bool(line) and not line.lstrip().startswith(("#", '"""')) for line in lines) <= 20


@pytest.mark.slow
def test_script_of_the_zip_on_colours(odd_images: list[Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    space = CNN.fit(InputShape(channels=3, height=20, width=28, classes=3))
    how = Preprocessing((20, 28), 3, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    architecture = resnet8(space)
    network = build(space, architecture, how.mean, how.std)
    with torch.no_grad():
        network.head.linear.weight.mul_(30)  # so that probabilities differ from file to file
    model = Model(network.eval(), how, ("größe", "b\tc", "“d”"), architecture, space)
    archive = export_zip(model, tmp_path / "net.zip")
    expected = [f"{p.path}\t{p.label}\t{p.probability:.3f}\n" for p in predict_files(model, odd_images)]
    assert len({line.rpartition("\t")[2] for line in expected}) > 4
    assert run_script(archive, tmp_path / "net", odd_images) == "".join(expected)
    # Output that knows few letters, as that of Windows into a file.
    assert run_script(archive, tmp_path / "net", odd_images, PYTHONIOENCODING="ascii") == "".join(expected)


def test_onnx_file_gives_the_networks_probabilities(
    result: Result, digit_files: list[Path], tmp_path: Path
) -> None:
    path = export_onnx(result.model, tmp_path / "net.onnx")
    assert path.read_bytes() == (result.run / "best/model.onnx").read_bytes()
    images = np.stack([result.model.preprocessing.load_image(file) for file in digit_files])
    expected = [prediction.probabilities for prediction in result.predict(digit_files)]
    np.testing.assert_allclose(OnnxClassifier(path.read_bytes(), 1)(images), expected, atol=1e-5)


def test_int8_is_measured_on_the_validation_split(result: Result, digits: Dataset, tmp_path: Path) -> None:
    exported = export_int8(result.model, digits, tmp_path / "small.onnx", max_drop=5)
    assert exported.images == len(digits.validation_index)
    assert exported.float_accuracy is not None
    assert exported.drop is not None
    found = OnnxClassifier(exported.path.read_bytes(), 1)(digits.validation().images)
    assert exported.accuracy == (found.argmax(1) == digits.validation().labels).mean()
    assert exported.drop == pytest.approx(100 * (exported.float_accuracy - exported.accuracy))
    metadata = OnnxClassifier(exported.path.read_bytes(), 1).metadata
    assert json.loads(metadata["labels"]) == list(result.model.class_names)


def test_int8_that_loses_too_much_is_refused_unless_forced(
    result: Result, digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = build(result.model.space, result.model.architecture, (0.0,), (1.0,))
    broken = forms.model_onnx(replace(result.model, network=other.eval()))
    whole = (result.run / "best/model.onnx").read_bytes()
    monkeypatch.setattr(forms, "model_onnx", lambda *_: whole)
    monkeypatch.setattr(forms, "model_int8", lambda *_: broken)
    path = tmp_path / "small.onnx"
    with pytest.raises(ExportError, match=r"lose at most 2 points.*--max-drop.*--force"):
        export_int8(result.model, digits, path)
    assert not path.exists()
    exported = export_int8(result.model, digits, path, force=True)
    assert exported.drop is not None
    assert exported.drop > 2
    assert path.is_file()
    assert export_int8(result.model, digits, path, max_drop=100).drop == exported.drop
    for nonsense in (-1, 101, float("nan")):
        with pytest.raises(ConfigurationError, match="--max-drop is a number of points"):
            export_int8(result.model, digits, path, max_drop=nonsense)


def test_program_gives_the_network_s_outputs(result: Result, tmp_path: Path) -> None:
    path = export_torch(result.model, tmp_path / "net.pt2")
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        expected = result.model.network(images)
    assert torch.allclose(torch.export.load(path).module()(images), expected, atol=1e-5)


@pytest.mark.parametrize("write", [export_torch, export_onnx, export_zip])
def test_files_need_a_place(
    result: Result, tmp_path: Path, write: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "model_onnx", lambda *_: b"the network")
    with pytest.raises(ExportError, match="cannot be written"):
        write(result.model, tmp_path / "none" / "net")  # type: ignore[operator]


def test_source_folder_can_be_written_again(result: Result, tmp_path: Path) -> None:
    for _ in range(2):
        export_python(result.run / "best", tmp_path / "net")
    assert (tmp_path / "net" / "model.py").read_text() == (result.run / "best" / "model.py").read_text()


def test_foreign_files_are_left_alone(result: Result, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ExportError, match="already holds other files"):
        export_python(result.run / "best", tmp_path)
    with pytest.raises(ExportError, match="cannot be written"):
        export_python(result.run / "best", tmp_path / ("x" * 300))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def other_network(result: Result, place: Path) -> Path:
    """The same with other bytes in each file."""
    for path in shutil.copytree(result.run / "best", place).iterdir():
        path.write_bytes(path.read_bytes() + b" ")
    return place


def test_a_source_folder_is_replaced_as_a_whole_or_not_at_all(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, net, write = (
        other_network(result, tmp_path / "other"),
        tmp_path / "out" / "net",
        forms.write_atomically,
    )
    export_python(result.run / "best", net)
    before = files_of(net)

    def full(path: Path, content: bytes) -> None:
        if path.name == "metrics.json":
            raise OSError("disk full")
        write(path, content)

    monkeypatch.setattr(forms, "write_atomically", full)
    with pytest.raises(ExportError, match="disk full"):
        export_python(source, net)
    assert files_of(net) == before
    monkeypatch.undo()
    (source / "weights.safetensors").rename(source / "weights")
    with pytest.raises(ExportError, match="cannot be read"):
        export_python(source, net)
    assert files_of(net) == before
    (source / "weights").rename(source / "weights.safetensors")
    (net / "__pycache__").mkdir()  # somebody has imported the model
    export_python(source, net)
    assert files_of(net) == {name: content + b" " for name, content in before.items()}
    assert [path.name for path in net.parent.iterdir()] == ["net"]


def test_links_and_the_current_folder_stay(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = tmp_path / "net"
    net.mkdir()
    (tmp_path / "link").symlink_to(net)
    monkeypatch.chdir(net)
    for place, source in ((Path(), result.run / "best"), (Path(), other_network(result, tmp_path / "other"))):
        export_python(source, place)
        assert Path("model.py").read_bytes() == (source / "model.py").read_bytes()
    monkeypatch.chdir(tmp_path)
    for source in (result.run / "best", tmp_path / "other"):
        export_python(source, Path("link"))
        assert (net / "model.py").read_bytes() == (source / "model.py").read_bytes()
    assert Path("link").is_symlink()


@pytest.mark.parametrize("content", ["[]", "null", '{"model_py_left_out": null}'])
def test_a_network_without_source_and_reason_is_an_error(result: Result, tmp_path: Path, content: str) -> None:
    source = other_network(result, tmp_path / "other")
    (source / "model.py").unlink()
    (source / "metrics.json").write_text(content)
    with pytest.raises(ExportError, match=r"has no model\.py"):
        export_python(source, tmp_path / "net")


@pytest.mark.parametrize("form", ["torch", "python"])
def test_a_path_without_a_name_is_an_error_in_words(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("thesis.tex").touch()
    done = CliRunner().invoke(app, ["export", str(result.run), "-f", form, "-o", "."])
    assert done.exit_code != 0
    assert not isinstance(done.exception, ValueError), done.exception
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
