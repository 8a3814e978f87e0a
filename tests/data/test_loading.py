"""From all kinds of sources to a data set, and the same facts in the summary."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcnas.data import DataSummary, check, load
from gcnas.errors import ConfigurationError, DataError


def quiet(purpose: str) -> None:
    """A log for openings that are of no interest here."""


def test_digits() -> None:
    dataset = load("digits")
    assert dataset.name == "digits"
    assert dataset.image_shape == (1, 8, 8)
    assert dataset.class_names == tuple("0123456789")
    assert (len(dataset.train()), len(dataset.validation()), dataset.size_test) == (1079, 359, 359)
    assert dataset.images.max() == 255
    assert not dataset.mirror
    assert dataset.notices == ()


def test_no_test_split() -> None:
    dataset = load("digits", test_fraction=0)
    assert (len(dataset.train()), len(dataset.validation()), dataset.size_test) == (1438, 359, 0)
    assert len(dataset.open_test("nothing", quiet)) == 0
    summary = check("digits", test_fraction=0)
    assert summary.made == ("validation",)
    assert sum(of_split["test"] for of_split in summary.counts.values()) == 0


def test_a_given_test_split_stays_without_a_fraction(arrays) -> None:
    images, labels = arrays
    parts = {
        "train_images": images,
        "train_labels": labels,
        "test_images": images[:6],
        "test_labels": labels[:6],
    }
    assert load(parts, test_fraction=0).size_test == 6


def as_folder(arrays, root: Path) -> Path:
    from PIL import Image

    for number, (image, label) in enumerate(zip(*arrays, strict=True)):
        path = root / "folder" / str(label) / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return root / "folder"


def as_csv(arrays, root: Path) -> Path:
    folder = as_folder(arrays, root)
    rows = [f"{label}/{number:03d}.png,{label}" for number, label in enumerate(arrays[1])]
    (folder / "table.csv").write_text("\n".join(rows))
    return folder / "table.csv"


def as_npz(arrays, root: Path) -> Path:
    np.savez(root / "a.npz", x=arrays[0], y=arrays[1])
    return root / "a.npz"


@pytest.mark.parametrize("convert", [as_folder, as_csv, as_npz, lambda arrays, _: list(arrays)])
def test_all_sources_give_the_same_data(arrays, tmp_path: Path, convert: Callable) -> None:
    expected, dataset = load(arrays, seed=3), load(convert(arrays, tmp_path), seed=3)
    assert dataset.fingerprint == expected.fingerprint
    assert (dataset.images == expected.images).all()
    assert dataset.preprocessing == expected.preprocessing


def test_fingerprint_depends_on_pixels_labels_splits_and_names(arrays) -> None:
    images, labels = arrays
    other_images, other_labels = images.copy(), labels.copy()
    other_images[17, 0, 0] ^= 1
    other_labels[[0, 30]] = other_labels[[30, 0]]
    prints = [load(arrays).fingerprint, load(arrays, seed=1).fingerprint,
              load((other_images, labels)).fingerprint, load((images, other_labels)).fingerprint,
              load({"images": images, "labels": labels, "class_names": ["a", "b", "c"]}).fingerprint,
              load(arrays, resolution=16).fingerprint, load(arrays, channels="rgb").fingerprint]  # fmt: skip
    assert len(set(prints)) == len(prints)
    assert load(arrays).fingerprint == prints[0]
    assert len(prints[0]) == 16


def test_fingerprint_sees_the_test_split(arrays) -> None:
    images, labels = arrays
    split = {"x_train": images[::2], "y_train": labels[::2], "x_test": images[1::2], "y_test": labels[1::2]}
    changed = images[1::2].copy()
    changed[5, 0, 0] ^= 1
    assert load(split).fingerprint != load({**split, "x_test": changed}).fingerprint


def test_fingerprint_sees_where_one_split_ends(arrays) -> None:
    images, labels = arrays[0][::5], arrays[1][::5]
    names = [f"{part}_{split}" for split in ("train", "val", "test") for part in "xy"]

    def fingerprint(first: int, second: int) -> str:
        parts = [
            rows for part in np.split(np.arange(12), [first, second]) for rows in (images[part], labels[part])
        ]
        return load(dict(zip(names, parts, strict=True))).fingerprint

    assert len({fingerprint(9, 10), fingerprint(9, 11), fingerprint(10, 11)}) == 3


def test_given_splits_are_kept(folder) -> None:
    sizes = {"train": 6, "val": 2, "test": 3}
    root = folder({f"{split}/{name}": size for split, size in sizes.items() for name in ("cat", "dog")})
    dataset = load(root)
    assert (len(dataset.train()), len(dataset.validation()), dataset.size_test) == (12, 4, 6)
    assert check(root).made == ()


def test_statistics_are_those_of_search_train_alone(arrays) -> None:
    dataset = load(arrays)
    np.testing.assert_allclose(dataset.preprocessing.mean, dataset.train().images.mean() / 255)
    assert abs(dataset.preprocessing.mean[0] - dataset.images.mean() / 255) > 1e-6


def test_duplicates_across_given_splits_are_said(arrays) -> None:
    images, labels = arrays
    dataset = load({"x_train": images, "y_train": labels, "x_test": images[:5], "y_test": labels[:5]})
    assert any("5 test images are also in train" in n or "also in validation" in n for n in dataset.notices)


def test_duplicates_stay_together(arrays) -> None:
    images, labels = np.repeat(arrays[0], 3, axis=0), np.repeat(arrays[1], 3)
    dataset = load((images, labels))
    parts = [dataset.train(), dataset.validation(), dataset.open_test("", quiet)]
    seen = [{image.tobytes() for image in part.images} for part in parts]
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]
    assert any("120 images are exact copies" in notice for notice in dataset.notices)


def untidy(folder, picture) -> Path:
    """One of each oddity beside plain pictures."""
    root = folder({"cat": 20, "dog": 6})
    cat = root / "cat"
    picture(100, (40, 20)).save(cat / "WIDE.JPG", "JPEG")
    picture(101, mode="L").save(cat / "grey.png")
    picture(102, mode="RGBA").save(cat / "clear.png")
    picture(103, mode="P").save(cat / "palette.gif")
    picture(104, mode="L").convert("I;16").save(cat / "deep.png")
    (cat / "text.jpg").write_text("not a picture")
    (cat / "empty.png").write_bytes(b"")
    (cat / "cut.jpg").write_bytes((cat / "WIDE.JPG").read_bytes()[:700])
    (cat / "notes.txt").write_text("other")
    picture(0).save(root / "dog" / "copy.png")
    return root


def test_check_of_an_untidy_folder(folder, picture) -> None:
    summary = check(untidy(folder, picture))
    assert isinstance(summary, DataSummary)
    assert (summary.name, summary.kind, summary.images) == ("pets", "folder", 32)
    assert summary.class_names == ("cat", "dog")
    assert sum(summary.counts["cat"].values()) == 25
    assert summary.counts["dog"] == {"train": 5, "validation": 1, "test": 1}
    assert summary.made == ("validation", "test")
    assert summary.sizes == ((16, 16, 31), (40, 20, 1))
    assert summary.modes == {"RGB": 28, "L": 1, "RGBA": 1, "P": 1, "I;16": 1}
    assert [Path(path).name for path, _ in summary.broken] == ["cut.jpg", "empty.png", "text.jpg"]
    assert "truncated" in summary.broken[0][1]
    assert summary.other_files == 1
    assert sum(summary.duplicates.within.values()) == 1
    assert summary.duplicates.conflicting == 1
    assert summary.imbalance == pytest.approx(25 / 7)
    assert (summary.resolution, summary.channels) == ((16, 16), 3)
    assert summary.problem == ""
    assert len(summary.notices) == 4


def test_load_says_what_check_says(folder, picture) -> None:
    root = untidy(folder, picture)
    dataset, summary = load(root, resolution=8), check(root, resolution=8)
    assert dataset.notices == summary.notices
    assert dataset.image_shape == (summary.channels, *summary.resolution)
    assert len(dataset.train()) == sum(counts["train"] for counts in summary.counts.values())


def test_predicting_a_file_gives_the_pixels_that_were_trained_on(folder, picture) -> None:
    root = untidy(folder, picture)
    dataset = load(root, resolution=12)
    everything = np.concatenate([dataset.images, dataset.open_test("to compare", quiet).images])
    known = {image.tobytes() for image in everything}
    for path in ("cat/WIDE.JPG", "cat/deep.png", "cat/clear.png", "dog/003.png"):
        assert dataset.preprocessing.load_image(root / path).tobytes() in known


def test_check_says_why_a_search_could_not_use_it(folder) -> None:
    root = folder({"cat": 5, "dog": 2})
    summary = check(root)
    assert "'dog' has 2" in summary.problem
    assert summary.counts["dog"] == {"train": 0, "validation": 0, "test": 0, "unsplit": 2}
    with pytest.raises(DataError, match="'dog' has 2"):
        load(root)


def test_nothing_readable_is_refused(folder) -> None:
    root = folder({"cat": 3, "dog": 3})
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    for read in (load, check):
        with pytest.raises(DataError, match=r"none of 6 is, first cat/000\.png \(the file is empty\)\.$"):
            read(root)


def test_images_that_only_fail_when_decoded_are_refused_if_all_do(folder) -> None:
    root = folder({"cat": 3, "dog": 3})
    for path in root.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="none of 6 is"):
        load(root)


def test_other_splits_are_told_apart_whatever_their_labels() -> None:
    """Two images of a class are equal at 8 pixels and not at 16, so the class has another number of groups."""
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16), dtype=np.uint8)
    labels = np.repeat([0, 1], 20)
    plain = [load((images, labels), resolution=side, test_fraction=0.2) for side in (8, 16)]
    assert plain[0].splits == plain[1].splits
    assert plain[0].fingerprint != plain[1].fingerprint
    images[3] = images[4]
    images[3, 0, 0] ^= 1
    alike = [load((images, labels), resolution=side, test_fraction=0.2) for side in (8, 16)]
    assert alike[0].labels.tolist() == alike[1].labels.tolist()
    assert alike[0].splits != alike[1].splits


@pytest.mark.parametrize(
    ("resolution", "channels", "shape"),
    [
        (8, "auto", (3, 8, 8)),
        ((8, 12), "grey", (1, 8, 12)),
        (None, "rgb", (3, 16, 16)),
        (512, "grey", (1, 512, 512)),
    ],
)
def test_the_user_chooses(folder, resolution, channels, shape: tuple[int, int, int]) -> None:
    assert load(folder({"cat": 3, "dog": 3}), resolution=resolution, channels=channels).image_shape == shape


@pytest.mark.parametrize(("width", "said"), [(100, "20% of a typical one"), (41, "49% of"), (40, None)])
def test_images_of_which_little_is_seen_are_told(width: int, said: str | None) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 20, width), dtype=np.uint8)
    summary = check((images, np.arange(40) % 2), resolution=16)
    assert summary.resolution == (16, 16)
    told = [notice for notice in summary.notices if "centre of the images alone" in notice]
    assert len(told) == (said is not None)
    assert said is None or said in told[0]
    assert not check((images[:, :, :20], np.arange(40) % 2)).notices


def test_large_arrays_are_made_smaller() -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 100, 80), dtype=np.uint8)
    assert load((images, [0, 1] * 4)).image_shape == (1, 64, 64)


@pytest.mark.parametrize(
    "keywords",
    [
        {"resolution": 7}, {"resolution": 513}, {"resolution": (8,)}, {"resolution": (8, 8.5)},
        {"channels": "blue"}, {"validation_fraction": 0}, {"test_fraction": -0.1},
        {"validation_fraction": 0.5, "test_fraction": 0.5}, {"test_fraction": float("nan")}, {"seed": -1},
    ],
)  # fmt: skip
def test_keywords_that_make_no_sense(keywords) -> None:
    for read in (load, check):
        with pytest.raises(ConfigurationError, match="given"):
            read("digits", **keywords)


@pytest.mark.parametrize(("most", "told"), [(4_095, True), (65_535, False)])
def test_files_of_16_bits_that_hold_fewer(most: int, told: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(20):
        pixels = random.integers(0, most, (8, 8), dtype=np.uint16, endpoint=True)
        (tmp_path / str(number % 2)).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / str(number % 2) / f"{number}.png")
    for read in (load(tmp_path), check(tmp_path)):
        assert any("nearly black" in notice for notice in read.notices) is told


def test_a_split_of_which_nothing_can_be_read_is_an_error(folder) -> None:
    root = folder({"train/cat": 6, "train/dog": 6, "test/cat": 3, "test/dog": 3})
    for path in (root / "test").rglob("*.png"):
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DataError, match="has its own test split, but none of its images can be read"):
        load(root)
    assert "its own test split" in check(root).problem


def test_duplicates_of_data_that_cannot_be_split_are_told() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    images[11:] = images[10]
    found = check((images, np.repeat([0, 1], 10)))
    assert "needs at least 3 different images" in found.problem
    assert found.duplicates.within["unsplit"] == 9


def test_too_few_that_can_be_read_are_told_with_the_reason(folder) -> None:
    root = folder({"cat": 5, "dog": 5})
    for path in (root / "dog").iterdir():
        path.write_bytes(b"ftypheic" * 8)
    with pytest.raises(
        DataError, match=r"'dog' has none there.* 5 images cannot be read, first dog/000\.png \(.*data check"
    ):
        load(root)


@pytest.mark.parametrize("source", [None, 5, (1, 2, 3), object(), ""])
def test_other_kinds_are_refused(source: object) -> None:
    with pytest.raises(DataError, match="given"):
        load(source)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match=r"the file .*a\.txt"):
        load(tmp_path / "a.txt")
    with pytest.raises(DataError, match="there is no"):
        load(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"cannot be read: File name too long|there is no"):
        load(tmp_path / ("x" * 300))


@pytest.mark.timeout(20)
def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    for name in ("a.npz", "a.csv", "pipe"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match="neither"):
            load(tmp_path / name)


def test_a_folder_called_digits_wins(folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder({"digits/a": 3, "digits/b": 3})
    monkeypatch.chdir(tmp_path / "pets")
    assert load("digits").class_names == ("a", "b")


def test_importing_stays_light() -> None:
    code = "import sys, gcnas.data; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.data
def test_real_x_rays(data_folder) -> None:
    dataset = load(data_folder / "images" / "pneumonia_xray_balanced.npz")
    assert (len(dataset.train()), len(dataset.validation()), dataset.size_test) == (2428, 270, 468)
    assert dataset.classes == 2
    assert any("3 validation images are also in train" in notice for notice in dataset.notices)
    assert any("5 images are exact copies" in notice for notice in dataset.notices)


@pytest.mark.data
def test_real_flowers(data_folder) -> None:
    summary = check(data_folder / "images" / "flowers")
    assert {name: sum(of.values()) for name, of in summary.counts.items()} == {
        "daisy": 764, "dandelion": 1052, "rose": 784, "sunflower": 733, "tulip": 984,
    }  # fmt: skip
    assert (summary.resolution, summary.channels) == ((64, 64), 3)
    assert summary.sizes == ((128, 128, 4317),)
    assert sum(summary.duplicates.within.values()) == 6
    assert sum(summary.duplicates.across.values()) == 0
    assert summary.duplicates.conflicting == 4


@pytest.mark.data
def test_real_cifar(data_folder) -> None:
    path = data_folder / "images" / "cifar10_small.npz"
    dataset = load(path)
    assert dataset.class_names[:3] == ("airplane", "automobile", "bird")
    with np.load(path) as file:
        assert (dataset.train().images == file["train_images"]).all()
        assert (dataset.train().labels == file["train_labels"]).all()
        assert (dataset.open_test("to compare", quiet).images == file["test_images"]).all()
