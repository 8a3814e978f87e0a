"""What a run tells whoever watches it."""

from pathlib import Path

from gcnas.run.trial import Trial


class Observer:
    """Told what happens in a run; every method may do nothing, and does nothing here."""

    def started(self, run: Path, done: int, total: int | None, seconds: float | None) -> None:
        """The search begins or goes on.

        Args:
            run: The run folder.
            done: Trials that are finished already.
            total: Trials in all, where the budget counts trials.
            seconds: Wall clock left, where the budget is one.
        """

    def note(self, message: str) -> None:
        """Something the user should know."""

    def trial_started(self, trial: Trial) -> None:
        """An evaluation begins."""

    def progress(self, share: float) -> None:
        """The training under way, candidate or final, has done this share, from 0 to 1."""

    def trial_finished(self, trial: Trial, best: Trial | None) -> None:
        """An evaluation ended; ``best`` is the best complete trial so far."""

    def stopping(self) -> None:
        """An interrupt was received: what runs is finished, then the best is delivered."""

    def final_started(self, trial: Trial, seconds: float | None) -> None:
        """The final training of a trial's network begins, with a wall clock if there is one."""

    def final_finished(self, test_accuracy: float | None) -> None:
        """The test split was opened and gave this accuracy; None if the data has no test split."""

    def finished(self, run: Path) -> None:
        """Everything is written."""
