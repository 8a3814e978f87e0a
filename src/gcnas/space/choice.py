"""Choices: the options of one hyper-parameter."""

from gcnas.errors import SpaceError
from gcnas.records import HyperparameterValue
from gcnas.records.architecture import MAX_NUMBER

MAX_OPTIONS = 1_000


class Choice:
    """The finite, ordered options of one hyper-parameter.

    Written as a class attribute of a :class:`~gcnas.space.LayerType`, it takes the attribute's name.

    Args:
        options: Distinct finite numbers or strings, all numbers or all strings.

    Raises:
        SpaceError: If there are no options, equal ones, or both numbers and strings.
    """

    name: str = ""

    def __init__(self, *options: HyperparameterValue) -> None:
        numeric = all(_is_number(option) for option in options)
        textual = all(isinstance(option, str) for option in options)
        if not options or not (numeric or textual) or len(set(options)) != len(options):
            raise SpaceError(
                f"A choice needs distinct options, all finite numbers or all strings, but got {options!r}."
            )
        if len(options) > MAX_OPTIONS:
            raise SpaceError(f"A choice has at most {MAX_OPTIONS} options, but got {len(options)}.")
        # Numbers of NumPy are written as no others are.
        self.options = tuple(float(option) if isinstance(option, float) else option for option in options)

    def __set_name__(self, owner: type, name: str) -> None:
        # The first name stays: a second one is an error that the layer type reports.
        self.name = self.name or name

    def __len__(self) -> int:
        return len(self.options)

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.options))})"

    @property
    def numeric(self) -> bool:
        """Whether the options are numbers, and so have an order."""
        return not isinstance(self.options[0], str)

    def index(self, value: HyperparameterValue) -> int:
        """Position of an option.

        Raises:
            SpaceError: If the value is not one of the options.
        """
        try:
            return self.options.index(value)
        except ValueError:
            raise SpaceError(f"{self.name} must be one of {self.options}, but got {value!r}.") from None


def _is_number(option: object) -> bool:
    # The comparison is false for NaN.
    return isinstance(option, int | float) and not isinstance(option, bool) and abs(option) <= MAX_NUMBER
