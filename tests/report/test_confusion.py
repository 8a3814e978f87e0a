from xml.etree import ElementTree as ET

from gcnas.report.confusion import class_accuracies, class_names, draw_confusion, mistakes

MATRIX = [[8, 2, 0], [0, 0, 0], [1, 3, 6]]
NAMES = ("cat", "<script>", "\ud55c\uad6d\uc5b4 \uc774\ub984\uc774 \uc544\uc8fc \uae38\ub2e4")


def test_class_accuracies() -> None:
    entries = class_accuracies(MATRIX, NAMES)
    assert [(entry.images, entry.correct) for entry in entries] == [(10, 8), (0, 0), (10, 6)]
    assert [entry.accuracy for entry in entries] == [0.8, None, 0.6]


def test_mistakes() -> None:
    found = mistakes(MATRIX, ("a", "b", "c"), most=2)
    assert [(m.true, m.predicted, m.count) for m in found] == [("c", "b", 3), ("a", "b", 2)]


def test_names_that_do_not_fit() -> None:
    assert class_names(MATRIX, ("only", "two")) == ("class 0", "class 1", "class 2")
    assert class_names(MATRIX, NAMES) == NAMES


def test_drawing() -> None:
    svg = draw_confusion(MATRIX, NAMES)
    assert svg is not None
    root = ET.fromstring(svg)  # noqa: S314
    assert "<script>" not in svg
    assert [t.text for t in root.iter("text")].count("8") == 1
    # One square for each count above 0, and the frame.
    assert len(list(root.iter("rect"))) == 6


def test_many_classes() -> None:
    def diagonal(n: int) -> list[list[int]]:
        return [[5 * (i == j) for j in range(n)] for i in range(n)]

    names = [f"class {i}" for i in range(300)]
    drawn = draw_confusion(diagonal(100), names[:100])
    assert drawn is not None
    assert ">5</text>" not in drawn
    assert draw_confusion(diagonal(300), names) is None
