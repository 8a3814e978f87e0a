import pytest

from gcnas.records import Cost, Soft


def test_on_target_the_reward_is_the_accuracy() -> None:
    assert Soft("macs", 5e6).reward(0.8, Cost(1, 5_000_000)) == pytest.approx(0.8)


def test_twice_the_cost_is_worth_five_percent() -> None:
    """The example that MnasNet chooses its weight by."""
    soft = Soft("latency", 80.0)
    small, large = soft.reward(0.50, Cost(latency=80.0)), soft.reward(0.525, Cost(latency=160.0))
    assert large == pytest.approx(small, rel=2e-3)
    assert soft.reward(0.5, Cost(latency=40.0)) > small


@pytest.mark.parametrize(
    ("metric", "cost"), [("params", Cost(50)), ("size", Cost(size=50)), ("macs", Cost(0, 50))]
)
def test_every_metric_has_its_figure(metric: str, cost: Cost) -> None:
    assert Soft(metric, 100.0, -1.0).reward(0.4, cost) == pytest.approx(0.8)


def test_a_cost_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="latency"):
        Soft("latency", 1.0).reward(0.5, Cost())
