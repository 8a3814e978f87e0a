"""What others have named, on a terminal."""

from rich import markup

from gcnas.files import printable

UNLEARNT = "The policy of the run has learnt nothing yet: it believes what it did from the start."


def escape(text: str) -> str:
    """A text that is shown as it is: no markup, and no sequences that a terminal would follow."""
    return markup.escape(printable(text))
