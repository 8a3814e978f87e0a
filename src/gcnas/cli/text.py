"""What others have named, on a terminal."""

from rich import markup

from gcnas.files import printable


def escape(text: str) -> str:
    """A text that is shown as it is: no markup, and no sequences that a terminal would follow."""
    return markup.escape(printable(text))
