"""Arrays: their names, layouts, numbers and labels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcnas.data.arrays import read_arrays, select
from gcnas.data.decode import decode
from gcnas.data.source import TEST, TRAIN, UNSPLIT, VALIDATION, Source
from gcnas.errors import DataError

GREY = np.arange(4 * 9 * 10, dtype=np.uint8).reshape(4, 9, 10)
LABELS = np.array([0, 1, 0, 1])


def read(**arrays: object) -> Source:
    return read_arrays(arrays, select(arrays), "arrays", "arrays")


def pixels(source: Source, resolution: tuple[int, int] = (9, 10), channels: int = 1) -> np.ndarray:
    return np.concatenate([block.pixels for block in source.images.blocks(resolution, channels)])


@pytest.mark.parametrize(
    ("images", "labels"),
    [("images", "labels"), ("X", "y"), ("x", "y"), ("data", "target"), ("Data", "Labels"), ("x", "targets")],
)
def test_names_of_unsplit_arrays(images: str, labels: str) -> None:
    assert select([images, labels]).pairs == {UNSPLIT: (images, labels)}


@pytest.mark.parametrize(
    "names",
    [
        "train_images train_labels val_images val_labels test_images test_labels",
        "x_train y_train x_val y_val x_test y_test",
        "X_train Y_train X_valid Y_valid X_test Y_test",
        "trainImages trainLabels validationImages validationLabels testImages testLabels",
        "xtrain ytrain xval yval xtest ytest",
        "images-train labels-train images-val labels-val images-test labels-test",
    ],
)
def test_names_of_splits(names: str) -> None:
    keys = names.split()
    pairs = dict(zip((TRAIN, VALIDATION, TEST), zip(keys[::2], keys[1::2], strict=True), strict=True))
    selection = select([*keys, "train_index", "class_names"])
    assert selection.pairs == pairs
    assert selection.class_names == "class_names"
    assert selection.ignored == ("train_index",)


def test_best_of_several_names() -> None:
    assert select(["images", "labels", "data", "target"]).pairs == {UNSPLIT: ("images", "labels")}
    assert select(["data", "target", "images", "frame"]).pairs == {UNSPLIT: ("images", "target")}
    assert select(["x", "y", "x_train", "y_train"]).pairs == {TRAIN: ("x_train", "y_train")}


def test_arrays_of_no_split_beside_those_of_a_test_are_for_training() -> None:
    selection = select(["X", "y", "X_test", "y_test"])
    assert selection.pairs == {TRAIN: ("X", "y"), TEST: ("X_test", "y_test")}
    assert selection.ignored == ()
    with pytest.raises(DataError, match="none for training among test_images, test_labels"):
        select(["test_images", "test_labels"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "found nothing"),
        (["a", "b"], "found a, b"),
        (["images"], "no labels among"),
        (["train_images", "train_labels", "test_images"], "no labels for test"),
        (["y_train"], "no images for train"),
    ],
)
def test_other_names_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        select(names)


@pytest.mark.parametrize(
    "images",
    [
        GREY,
        GREY[..., None],
        GREY[:, None],
        GREY.astype(np.int64),
        GREY.astype(np.float32),
        GREY.astype(np.float64) / 255,
        GREY.astype(np.uint16) * 257,
        (GREY.astype(np.uint16) * 257).astype(">u2"),
        GREY.tolist(),
    ],
)
def test_layouts_and_numbers(images: object) -> None:
    assert (pixels(read(images=images, labels=LABELS))[..., 0] == GREY).all()


def test_booleans_colours_and_transparency() -> None:
    for kind, white in ((bool, 255), (np.int64, 255), (np.uint16, 255), (np.float32, 255), (np.uint8, 1)):
        mask = (GREY > 100).astype(kind)
        assert set(np.unique(pixels(read(x=mask, y=LABELS)))) == {0, white}
    colour = np.random.default_rng(0).integers(0, 256, (4, 9, 10, 3), dtype=np.uint8)
    for layout in (colour, colour.transpose(0, 3, 1, 2)):
        source = read(x=layout, y=LABELS)
        assert (pixels(source, channels=3) == colour).all()
        assert not source.images.survey().grey
    clear = np.concatenate([colour, np.zeros_like(colour[..., :1])], axis=3)
    assert (pixels(read(x=clear, y=LABELS), channels=3) == 255).all()
    assert read(x=np.repeat(GREY[..., None], 3, axis=3), y=LABELS).images.survey().grey


def test_pictures_of_pillow() -> None:
    """Palettes and inks are no brightnesses; pictures of several modes have none in common."""
    colours = np.random.default_rng(0).integers(0, 256, (4, 9, 10, 3), dtype=np.uint8)
    pictures = [Image.fromarray(image) for image in colours]
    plain = pixels(read(images=pictures, labels=LABELS), channels=3)
    assert np.array_equal(plain, colours)
    for mode in ("P", "CMYK"):
        found = pixels(read(images=[each.convert(mode) for each in pictures], labels=LABELS), channels=3)
        expected = np.stack([np.asarray(each.convert(mode).convert("RGB")) for each in pictures])
        assert np.array_equal(found, expected)
    mixed = pixels(read(images=[pictures[0].convert("L"), *pictures[1:]], labels=LABELS), channels=3)
    assert np.array_equal(mixed[1:], colours[1:])
    clear = Image.new("LA", (10, 9), (0, 0))
    assert (pixels(read(images=[clear] * 4, labels=LABELS)) == 255).all()
    deep = np.random.default_rng(0).integers(0, 65_536, (4, 9, 10), dtype=np.uint16)
    sixteen = [Image.fromarray(image) for image in deep]
    for others in (sixteen, [*sixteen[:3], pictures[3]]):
        found = pixels(read(images=others, labels=LABELS), channels=1)
        assert np.array_equal(found[:3, ..., 0], np.round(deep[:3] / 257))
    low = np.random.default_rng(0).integers(0, 256, (4, 9, 10)).astype(np.int32)
    assert np.array_equal(
        pixels(read(images=[Image.fromarray(image) for image in low], labels=LABELS))[..., 0], low
    )
    with pytest.raises(DataError, match="go up to"):  # 12 bits
        read(images=[Image.fromarray((image // 16).astype(np.uint16)) for image in deep], labels=LABELS)
    with pytest.raises(DataError, match="Image 1 of 'images' has no scale: 32-bit integers up to 255"):
        read(images=[pictures[0], Image.fromarray(low[0]), *pictures[2:]], labels=LABELS)
    keyed = Image.new("RGB", (10, 9), (5, 6, 7))
    keyed.info["transparency"] = (5, 6, 7)  # as PNG files say it
    assert (pixels(read(images=[keyed] * 4, labels=LABELS), channels=3) == 255).all()
    grey = [Image.fromarray(image) for image in GREY]
    assert np.array_equal(pixels(read(images=grey, labels=LABELS))[..., 0], GREY)


def test_tensors_that_are_no_arrays_are_refused_with_the_way_out() -> None:
    import torch

    for tensor in (torch.zeros(4, 8, 8, requires_grad=True), torch.zeros(4, 8, 8, dtype=torch.bfloat16)):
        with pytest.raises(DataError, match=r"'images' cannot be made .*\.detach\(\)\.cpu\(\)\.numpy\(\)"):
            read(images=tensor, labels=LABELS)


def test_channels_stand_last_where_both_ways_would_do() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 9, 3), dtype=np.uint8)
    assert (pixels(read(x=images, y=LABELS), (3, 9), 3) == images).all()


def test_scale_is_one_for_all_splits() -> None:
    def scaled(train: np.ndarray, test: np.ndarray) -> list[int]:
        source = read(x_train=train, y_train=LABELS, x_test=test, y_test=LABELS)
        return np.unique(pixels(source, (8, 8))).tolist()

    half, many = np.full((4, 8, 8), 0.5), np.full((4, 8, 8), 100.0)
    assert scaled(many, 0 * many) == [0, 100]
    assert scaled(half, np.ones((4, 8, 8), dtype=np.uint8)) == [128, 255]
    for train, test in ((half, many), (half, many.astype(np.uint8)), (many.astype(int), half)):
        with pytest.raises(DataError, match=r"those of 'x_(train|test)' go up to 0\.5, others up to 100"):
            scaled(train, test)


def test_floats_that_overshoot_are_no_black_images() -> None:
    over = np.linspace(0, 1.004, 4 * 64).reshape(4, 8, 8)
    with pytest.raises(DataError, match=r"those of 'x' go up to 1\.004\. Clip them to 0 to 1"):
        read(x=over, y=LABELS)
    with pytest.raises(DataError, match=r"those of 'x_test' go up to 1\.004\. Clip them"):
        read(x_train=over / 1.004, y_train=LABELS, x_test=over, y_test=LABELS)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((4, 8, 8), np.nan), "finite"),
        (np.full((4, 8, 8), np.inf), "finite"),
        (np.full((4, 8, 8), -0.5), "normalisation"),
        (np.full((4, 8, 8), 300), "normalisation"),
        (np.full((4, 8, 8), 300.0), "normalisation"),
        (np.full((4, 8, 8), 4_095, dtype=np.uint16), "up to 4095, as those of 10 or 12 bits"),
        (np.zeros((4, 64)), "Reshape"),
        (np.zeros((4, 8, 8, 2)), "channels"),
        (np.zeros((4, 8, 8, 8, 3)), "shape"),
        (np.zeros((0, 8, 8)), "at least one"),
        (np.zeros((4, 0, 8)), "at least one"),
        (np.zeros((5, 8, 8)), "Every image has one label"),
        (np.array([[["a"]]] * 4), "Pixels are"),
        (np.zeros((4, 8, 8), dtype=complex), "Pixels are"),
        (np.zeros((4, 8, 8), dtype=[("a", "u1")]), "Python objects"),
        (np.array([[[None]]] * 4), "Python objects"),
        ([[1, 2], [3]], "equal rows"),
        ("text", "shape"),
    ],
)
def test_other_images_are_refused(images: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(images=images, labels=LABELS)


def test_splits_of_different_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="one height"):
        read(x_train=np.zeros((4, 8, 8)), y_train=LABELS, x_test=np.zeros((4, 9, 8)), y_test=LABELS)


@pytest.mark.parametrize(
    ("labels", "numbers", "names"),
    [
        ([0, 1, 0, 1], [0, 1, 0, 1], ("0", "1")),
        ([[7], [-3], [7], [7]], [1, 0, 1, 1], ("-3", "7")),
        ([True, False, True, False], [1, 0, 1, 0], ("0", "1")),
        ([2.0, 10.0, 2.0, 2.0], [0, 1, 0, 0], ("2", "10")),
        (["b", "a", "b", "b"], [1, 0, 1, 1], ("a", "b")),
        (np.array(["b", "a", "b", "b"], dtype=object), [1, 0, 1, 1], ("a", "b")),
        ([b"b", b"a", b"b", b"b"], [1, 0, 1, 1], ("a", "b")),
        (["10", "9", "9", "9"], [1, 0, 0, 0], ("9", "10")),
        (np.array([2**64 - 1, 0, 0, 0], dtype=np.uint64), [1, 0, 0, 0], ("0", str(2**64 - 1))),
    ],
)
def test_labels_of_any_values(labels: object, numbers: list[int], names: tuple[str, ...]) -> None:
    source = read(images=GREY, labels=labels)
    assert source.labels.tolist() == numbers
    assert source.labels.dtype == np.int64
    assert source.class_names == names


def test_different_bytes_are_different_classes() -> None:
    source = read(images=GREY, labels=np.array([b"M\xe4", b"M\xf6", b"M\xe4", b"M\xe4"]))
    assert len(source.class_names) == 2
    named = read(images=GREY, labels=[1, 0, 1, 0], class_names=np.array([b"cat", b"dog"]))
    assert named.class_names == ("cat", "dog")


def test_class_names_keep_their_order() -> None:
    source = read(images=GREY, labels=[2, 0, 2, 0], class_names=["zebra", "unused", "ant"])
    assert source.class_names == ("zebra", "ant")
    assert source.labels.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], "4 images, 'labels' 3 labels"),
        (np.eye(4), "argmax"),
        ([0.5, 1, 0, 1], "integers or text"),
        ([np.nan, 1, 0, 1], "integers or text"),
        ([None, 1, 0, 1], "Python objects"),
        ([0, 0, 0, 0], "2 to 10,000 classes"),
        (["cat", " ", "dog", "cat"], "empty texts"),
        (np.array(["2020-01-01"] * 4, dtype="datetime64[D]"), "integers or text"),
    ],
)
def test_other_labels_are_refused(labels: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(images=GREY, labels=labels)


def test_too_many_classes_are_refused() -> None:
    for count in (10_001, 1_000_000):
        with pytest.raises(DataError, match=f"{count:,}"):
            read(images=np.zeros((count, 1, 1), dtype=np.uint8), labels=np.arange(count))


@pytest.mark.parametrize("names", [["a"], ["a", "a"], [["a"], ["b"]], ["x"] * 10_001])
def test_other_class_names_are_refused(names: object) -> None:
    with pytest.raises(DataError):
        read(images=GREY, labels=LABELS, class_names=names)


def test_labels_of_two_kinds_are_refused() -> None:
    with pytest.raises(DataError, match="one kind"):
        read(x_train=GREY, y_train=LABELS, x_test=GREY, y_test=["0", "1", "0", "1"])


def test_pictures_of_pillow_are_turned_as_files_are(tmp_path: Path) -> None:
    generator, turned = np.random.default_rng(0), Image.Exif()
    turned[0x0112] = 6
    pictures = []
    for number in range(6):
        path = tmp_path / f"{number}.png"
        Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(path, exif=turned)
        pictures.append(Image.open(path))
    source = read(images=pictures, labels=[0, 1] * 3)
    (block,) = source.images.blocks((9, 9), 3)
    expected = [decode(tmp_path / f"{number}.png", (9, 9), 3) for number in range(6)]
    assert np.array_equal(block.pixels, np.stack(expected))
