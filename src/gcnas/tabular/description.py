"""The description of a table of trained networks: which columns, which decisions, how they are connected."""

import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from gcnas.errors import ConfigurationError

MAX_BYTES = 2**20
MAX_DECISIONS = 500
MAX_CHOICES = 500
MAX_WINDOW = 100
MAX_SIGNALS = 20

Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Token: TypeAlias = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^,\s]+$")]


def _absent(value: Any) -> Any:
    """YAML's ways to write nothing, which the loader leaves as text."""
    return None if value in ("", "~", "null") else value


def _cost(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) and _absent(value) else _absent(value)


Optional: TypeAlias = Annotated[Text | None, BeforeValidator(_absent)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class CostColumn(_Part):
    """Where simulated seconds, or the size of a network, come from.

    Attributes:
        column: Column of numbers.
        factor: They are multiplied by this.
    """

    column: Text
    factor: Annotated[float, Field(gt=0, le=1e9)] = 1.0


Cost: TypeAlias = Annotated[CostColumn | None, BeforeValidator(_cost)]


class FidelityColumns(_Part):
    """What the table knows about shorter trainings.

    Attributes:
        reward: Column of the reward, higher is better.
        cost: Simulated seconds; none if absent.
    """

    reward: Text
    cost: Cost = None


class Connections(_Part):
    """Whether connections are decisions.

    Attributes:
        searched: If so, each layer's tokens are followed in the key by one token 0 or 1 for each connection to the
            nodes 2, 3, … ``window`` back, as far as there are such nodes (node 0 is the input).
        window: m, how far connections reach. Where they are not searched it must hold those that are given, and changes
            no graph.
    """

    searched: bool = False
    window: Annotated[int, Field(ge=1, le=MAX_WINDOW)] | None = None

    @model_validator(mode="after")
    def _window_is_given(self) -> Self:
        if self.searched and (self.window is None or self.window < 2):
            raise ValueError("searched connections need a window of at least 2")
        return self


class Decision(_Part):
    """One decision: a layer's type, or one of its hyper-parameters.

    Attributes:
        name: Distinct name.
        kind: ``layer`` or ``hyperparameter``.
        of: The layer that a hyper-parameter belongs to: the name of a layer decision, or any other name for a layer
            whose type is fixed.
        choices: What each token of the key means.
        inputs: Names of earlier decisions that it is connected to; an empty list for the input alone.
    """

    name: Text
    kind: Literal["layer", "hyperparameter"]
    of: Optional = None
    choices: Annotated[dict[Token, Text], Field(min_length=1, max_length=MAX_CHOICES)]
    inputs: Annotated[tuple[Text, ...] | None, Field(max_length=MAX_DECISIONS), BeforeValidator(_absent)] = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.of is None) == (self.kind == "hyperparameter"):
            raise ValueError("a hyper-parameter needs 'of: LAYER', and only a hyper-parameter has it")
        if len(set(self.choices.values())) != len(self.choices):
            raise ValueError("every token needs a meaning of its own")
        return self

    @property
    def layer(self) -> str:
        """Name of the layer that the decision belongs to."""
        return self.of or self.name


class Description(_Part):
    """What a table means; see ``docs/bench.md``.

    Attributes:
        name: Name in results.
        reward: Column of the score, higher is better; empty or NaN is infeasible.
        test: Column of the test score, which no strategy sees.
        cost: Simulated seconds; none if absent.
        key: Column with a character, or a token between commas, for each decision.
        canonical: Column that is equal for equal networks.
        length: Fewest and most decisions (or layers) of a key; all keys are whole if absent.
        decisions: In the order of the key.
        connections: Whether connections are decisions too, and how far they reach.
        epochs: Training behind ``reward``.
        fidelities: Shorter trainings by their epochs.
        signals: Columns of what can be measured without training; a cell may be empty. Strategies see them of the few
            candidates that they are about to propose.
        parameters: Parameters of each network, which strategies may know as they may in a search; none if absent.
        multiply_adds: Multiply-adds, likewise; with parameters or not at all.
        file: Usual name of the table's file.
        sha256: Checksum of the file that was checked.
    """

    name: Text
    reward: Text
    test: Optional = None
    cost: Cost = None
    key: Text
    canonical: Optional = None
    length: Annotated[tuple[int, int] | None, BeforeValidator(_absent)] = None
    decisions: Annotated[tuple[Decision, ...], Field(min_length=1, max_length=MAX_DECISIONS)]
    connections: Connections = Connections()
    epochs: Annotated[int, Field(ge=1, le=10**6)] = 1
    fidelities: dict[Annotated[int, Field(ge=1, le=10**6)], FidelityColumns] = Field(
        default_factory=dict, max_length=20
    )
    signals: Annotated[tuple[Text, ...], Field(max_length=MAX_SIGNALS)] = ()
    parameters: Cost = None
    multiply_adds: Cost = None
    file: Optional = None
    sha256: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$"), BeforeValidator(_absent)] = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [decision.name for decision in self.decisions]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"names of decisions are distinct, but two are called {repeated!r}")
        if self.length is not None and not 1 <= self.length[0] <= self.length[1]:
            raise ValueError(f"length must be [min, max] with 1 <= min <= max, but is {list(self.length)}")
        if self.fidelities and max(self.fidelities) >= self.epochs:
            raise ValueError(
                f"fidelities are shorter trainings than that of 'reward' ('epochs: {self.epochs}'), but one has "
                f"{max(self.fidelities)} epochs"
            )
        if len(set(self.signals)) < len(self.signals):
            raise ValueError(f"signals are distinct columns, but are {list(self.signals)}")
        scores = {self.reward, self.test, *(columns.reward for columns in self.fidelities.values())}
        if hidden := scores & {*self.signals}:
            raise ValueError(
                f"signals are measured without training, but {sorted(map(str, hidden))} are scores"
            )
        if (self.parameters is None) != (self.multiply_adds is None):
            raise ValueError("parameters and multiply_adds are both given, or none of them")
        sizes = {cost.column for cost in (self.parameters, self.multiply_adds) if cost is not None}
        if hidden := scores & sizes:
            raise ValueError(f"sizes are known without training, but {sorted(map(str, hidden))} are scores")
        if self.connections.searched and any(decision.inputs for decision in self.decisions):
            raise ValueError("connections are either searched or given by 'inputs', not both")
        return self

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """Read YAML.

        Raises:
            ConfigurationError: If it is no YAML or not a description; the message names each problem.
        """
        try:
            values = yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - the loader makes text, lists and mappings
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise ConfigurationError(f"The description {where} is no YAML: {error}") from None
        if not isinstance(values, dict):
            raise ConfigurationError(f"The description {where} must hold lines 'name: value' (docs/bench.md).")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = "; ".join(_problem(problem) for problem in error.errors()[:5])
            raise ConfigurationError(f"The description {where} is not valid. {problems}") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a YAML file.

        Raises:
            ConfigurationError: If it cannot be read, is too large, or is not a description.
        """
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ConfigurationError(f"A description has at most {MAX_BYTES:,} bytes; {path} has more.")
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"The description {path} cannot be read: {error}") from None
        return cls.parse(text, str(path))


class _PlainLoader(yaml.BaseLoader):
    """Leaves scalars as they are written, so that the token 007 stays 007, and refuses a key that comes twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str) or key in mapping:
                mark = key_node.start_mark
                raise yaml.YAMLError(f"line {mark.line + 1}: {reprlib.repr(key)} is no name or comes twice")
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping


def _problem(problem: ErrorDetails) -> str:
    """What is wrong with one value, in words."""
    name = ".".join(map(str, problem["loc"])) or "description"
    if problem["type"] == "extra_forbidden":
        return f"{name}: there is no such entry"
    given = "" if problem["type"] in ("missing", "value_error") else f" (got {reprlib.repr(problem['input'])})"
    return f"{name}: {problem['msg'].removeprefix('Value error, ')}{given}"
