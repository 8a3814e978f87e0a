from pathlib import Path

import pytest

import gcnas
from gcnas.result import Result

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The finished run is made once."""
    for item in items:
        if item.path.is_relative_to(HERE) and "result" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("delivered"))


@pytest.fixture(scope="session")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A finished run on digits, as small as it gets."""
    run = tmp_path_factory.mktemp("runs") / "digits"
    return gcnas.search("digits", out=run, budget=3, epochs=2, final_epochs=2, threads=1, max_params="60k")


@pytest.fixture
def digit_files(tmp_path: Path) -> list[Path]:
    """The first digits as PNG files."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    images = np.round(load_digits().images[:70] * (255 / 16)).astype(np.uint8)
    paths = [tmp_path / f"{index:02d}.png" for index in range(len(images))]
    for path, pixels in zip(paths, images, strict=True):
        Image.fromarray(pixels).save(path)
    return paths
