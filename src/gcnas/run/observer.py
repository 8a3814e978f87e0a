"""What a run tells whoever watches it."""

import logging
from pathlib import Path

from gcnas.run.trial import Trial


class Observer:
    """Told what happens in a run; every method may do nothing, and does nothing here, but notes are logged.

    Attributes:
        at_once: Whether the first interrupt ends the run, as the second one does otherwise, and nothing is delivered.
    """

    at_once = False

    def started(self, run: Path, done: int, total: int | None, seconds: float | None, workers: int = 1) -> None:
        """The search begins or goes on.

        Args:
            run: The run folder.
            done: Trials that are finished already.
            total: Trials in all, where the budget counts trials.
            seconds: Wall clock left, where the budget is one.
            workers: Candidates that are evaluated at once.
        """

    def note(self, message: str) -> None:
        """Something the user should know; here a warning of the logger ``gcnas``."""
        logging.getLogger("gcnas").warning(message)

    def trial_started(self, trial: Trial) -> None:
        """An evaluation begins."""

    def trial_progress(self, trial: int, share: float) -> None:
        """The evaluation of the trial of this number has done this share, from 0 to 1; several may be under way."""

    def trial_finished(self, trial: Trial, best: Trial | None) -> None:
        """An evaluation ended; ``best`` is the best complete trial so far."""

    def stopping(self) -> None:
        """An interrupt was received: what runs is finished, then the best is delivered; here it is noted."""
        self.note(
            "Interrupted: candidates under way are finished, then the best network gets its final training, which goes "
            "on if it had begun. Another interrupt stops now; nothing finished is lost."
        )

    def final_started(self, trial: Trial, seconds: float | None) -> None:
        """The final training of a trial's network begins, with a wall clock if there is one."""

    def final_finished(self, test_accuracy: float | None) -> None:
        """The test split was opened and gave this accuracy; None if the data has no test split."""

    def final_progress(self, share: float) -> None:
        """The final training has done this share, from 0 to 1."""

    def finished(self, run: Path) -> None:
        """Everything is written."""
