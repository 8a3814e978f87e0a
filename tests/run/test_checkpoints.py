from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from gcnas.records import Cost, Evaluation, EvaluationState, Fidelity, Proposal
from gcnas.run.checkpoints import Checkpoints
from gcnas.run.halving import Ladder
from gcnas.run.trial import Trial

RUNGS = [Fidelity(epochs, 7) for epochs in (1, 3)]


def trial(number: int, proposal: Proposal, score: float | None, fidelity: Fidelity = RUNGS[0]) -> Trial:
    evaluation = None
    if score is not None:
        evaluation = Evaluation(proposal, EvaluationState.COMPLETE, score, fidelity)
    return Trial(number, proposal, Cost(1), fidelity, evaluation)


def trained(trials: list[Trial]) -> dict[tuple[str, Fidelity], int]:
    return {(t.proposal.fingerprint, t.fidelity): t.number for t in trials if t.complete}


class Kept:
    """A folder of checkpoints of a thousand bytes."""

    def __init__(self, folder: Path, megabytes: float = 1.0) -> None:
        self.folder, self.ladder = folder, Ladder(RUNGS)
        self.checkpoints = Checkpoints(folder, self.ladder, megabytes)

    def finish(self, trials: list[Trial]) -> None:
        self.folder.mkdir(exist_ok=True)
        for t in trials:
            assert t.evaluation is not None
            self.ladder.finish(t.evaluation)
            path = self.checkpoints.keep(t)
            if path is not None:
                path.write_bytes(b"w" * 1_000)

    def left(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob("[0-9]*"))


@pytest.fixture
def twelve(proposals: list[Proposal]) -> list[Trial]:
    """The first trial is the best, the last one the worst."""
    return [trial(number, proposals[number], 1 - number / 100) for number in range(1, 13)]


def test_paths_follow_the_rungs(tmp_path: Path, proposals: list[Proposal]) -> None:
    checkpoints = Kept(tmp_path).checkpoints
    first = trial(4, proposals[0], None)
    assert checkpoints.start(first) is None
    assert checkpoints.keep(first) == tmp_path / "4.safetensors"
    longer = replace(trial(9, proposals[0], None, RUNGS[1]), continues=4)
    assert checkpoints.start(longer) == tmp_path / "4.safetensors"
    assert checkpoints.keep(longer) is None  # the top
    assert checkpoints.keep(trial(5, proposals[0], None, Fidelity(3, 99))) is None  # a repeat


def test_hopeless_are_deleted(tmp_path: Path, twelve: list[Trial]) -> None:
    kept = Kept(tmp_path)
    kept.checkpoints.prune({}, [])  # there is no folder yet
    kept.finish(twelve[:3])
    kept.checkpoints.prune(trained(twelve[:3]), [])
    assert kept.left() == [1, 2, 3]
    kept.finish(twelve[3:])
    kept.checkpoints.prune(trained(twelve), [])
    assert kept.left() == list(range(1, 11))  # twice 12 / 3 + 1


def test_what_is_gone_on_with_is_kept_until_that_is_done(tmp_path: Path, twelve: list[Trial]) -> None:
    kept = Kept(tmp_path)
    kept.finish(twelve)
    longer = replace(trial(13, twelve[0].proposal, None, RUNGS[1]), continues=1)
    kept.ladder.enter(longer.proposal, 1)
    kept.checkpoints.prune(trained(twelve), [longer])
    assert 1 in kept.left()
    kept.checkpoints.prune(trained([*twelve, trial(13, twelve[0].proposal, 0.9, RUNGS[1])]), [])
    assert 1 not in kept.left()


def test_room_is_bounded(tmp_path: Path, twelve: list[Trial]) -> None:
    kept = Kept(tmp_path, megabytes=0.0035)
    kept.finish(twelve)
    kept.checkpoints.prune(trained(twelve), [])
    assert kept.left() == [1, 2, 3]


def test_half_written_files_are_left_to_who_writes_them(tmp_path: Path, twelve: list[Trial]) -> None:
    kept = Kept(tmp_path)
    kept.finish(twelve)
    half = tmp_path / ".13.safetensors.abc"
    half.write_bytes(b"w")
    kept.checkpoints.prune(trained(twelve), [trial(13, twelve[0].proposal, None, RUNGS[1])])
    assert half.exists()
    kept.checkpoints.prune(trained(twelve), [])
    assert not half.exists()


def test_who_lost_its_checkpoint_has_the_time_of_all_epochs(tmp_path: Path, proposals: list[Proposal]) -> None:
    kept = Kept(tmp_path)
    longer = replace(trial(9, proposals[0], None, RUNGS[1]), continues=4)
    assert kept.checkpoints.lengthening(longer) == 3 / kept.ladder.further_epochs(0) > 1
    whole = save({"w": np.zeros(100, np.float32)})
    (tmp_path / "4.safetensors").write_bytes(whole)
    assert kept.checkpoints.lengthening(longer) == 1
    (tmp_path / "4.safetensors").write_bytes(whole[:-50])  # damaged: it is as lost
    assert kept.checkpoints.lengthening(longer) == 3 / kept.ladder.further_epochs(0)
    assert kept.checkpoints.lengthening(trial(4, proposals[0], None)) == 1
    repeat = trial(9, proposals[0], None, replace(RUNGS[-1], seed=99))
    assert kept.checkpoints.lengthening(repeat) == RUNGS[-1].epochs / kept.ladder.longest_stretch() > 1
