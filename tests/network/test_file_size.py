from pathlib import Path

import pytest
from tests.network.ghost_space import SPACE as GHOSTS

from gcnas.export import save_weights
from gcnas.network import build, weights_bytes
from gcnas.records import Limits
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy


@pytest.mark.parametrize(
    "space",
    [
        CNN.fit(InputShape(3, 24, 32, 10), Limits(parameters=60_000)),
        CNN.fit(InputShape(1, 8, 8, 1_000), Limits(parameters=40_000)),
        GHOSTS.fit(InputShape(3, 12, 12, 3)),
    ],
    ids=["colour", "grey", "own types"],
)
def test_size_is_that_of_the_file_that_is_written(space: SearchSpace, tmp_path: Path) -> None:
    """Twice, since what is remembered of a layer the first time must not depend on where it stood."""
    channels = space.fitted.channels
    for proposal in 2 * RandomStrategy(space, 3).ask(12):
        network = build(space, proposal.architecture, (0.5,) * channels, (0.2,) * channels)
        save_weights(network, tmp_path / "weights.safetensors")
        written = (tmp_path / "weights.safetensors").stat().st_size
        assert weights_bytes(space, proposal.architecture) == written, proposal.architecture
        assert written >= 4 * space.size(proposal.architecture)[0]


def test_no_network_is_built_twice_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of candidates are screened by it."""
    space = CNN.fit(InputShape(3, 32, 32, 10))
    networks = [proposal.architecture for proposal in RandomStrategy(space, 0).ask(150)]
    sizes = [weights_bytes(space, network) for network in networks]
    monkeypatch.setattr("torch.random.fork_rng", lambda **_: pytest.fail("a layer was built again"))
    assert [weights_bytes(space, network) for network in networks] == sizes
