import pytest
import torch
from tests.policy.toy import TOY, all_trajectories

from gcnas.graph import encode
from gcnas.policy import GCNPolicy
from gcnas.records import STOP
from gcnas.report.preferences import preferences


def test_the_mean_is_that_of_all_networks() -> None:
    """Enumerated on a toy space: the share of each type at each position, by exact probabilities."""
    torch.manual_seed(0)
    policy = GCNPolicy(TOY)
    found = preferences(policy, samples=4_000)
    trajectories = all_trajectories(TOY)
    with torch.no_grad():
        weights = policy(encode(TOY, policy.vocabulary, trajectories)).log_probability.exp()
    for position, (row, reached) in enumerate(zip(found.probabilities, found.reached, strict=True)):
        exact = torch.zeros(len(found.names))
        for trajectory, weight in zip(trajectories, weights, strict=True):
            if len(trajectory.actions) > position:
                code = trajectory.actions[position].type
                exact[-1 if code == STOP else code] += weight
        assert reached == pytest.approx(float(exact.sum()), abs=0.03)
        assert row == pytest.approx((exact / exact.sum()).tolist(), abs=0.03)
        assert sum(row) == pytest.approx(1, abs=1e-5)
    assert found.names[-1] == "STOP"


def test_always_the_same() -> None:
    torch.manual_seed(0)
    policy = GCNPolicy(TOY)
    assert preferences(policy) == preferences(policy)
