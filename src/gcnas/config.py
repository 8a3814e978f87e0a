"""The one typed configuration of a run: Python keywords, YAML file and command line."""

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from gcnas.errors import ConfigurationError
from gcnas.files import read_bounded
from gcnas.records import METRICS, Limits, Soft
from gcnas.records.signals import FACTS, PROXIES
from gcnas.records.soft import WEIGHT

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_COUNT = re.compile(r"(\d+(?:\.\d+)?)([kKmMgG]?)")
_SOFT = re.compile(r"([a-z]+)=([0-9.]+[kKmMgG]?)(?::(-?\d+(?:\.\d+)?))?")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}

MAX_WORKERS = 1_024
MAX_TRIALS = 10_000_000
MIN_SECONDS, MAX_SECONDS = 0.001, 1e9
MAX_COUNT = 10**15
MAX_MILLISECONDS = 1e6

NO_SIGNALS = "none"

SIGNALS_READER = "gcnas"
"""The strategy that reads signals."""

MAX_FILE = 1_000_000
"""Bytes of a configuration file that are read."""


class Budget(BaseModel):
    """How much a search may cost: a number of evaluations or a wall clock. Exactly one is set.

    Attributes:
        trials: Evaluations; a candidate that is trained further counts once more each time.
        seconds: Wall clock for everything, final training and report included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] | None = None
    seconds: Annotated[float, Field(ge=MIN_SECONDS, le=MAX_SECONDS)] | None = None

    @model_validator(mode="after")
    def _one_is_set(self) -> Self:
        if (self.trials is None) == (self.seconds is None):
            raise ValueError("a budget is either trials or seconds")
        return self

    @classmethod
    def parse(cls, text: Any) -> "Budget":
        """Read ``200`` (evaluations), ``90s``, ``10m`` or ``2h``.

        Raises:
            ConfigurationError: If the text is none of these, not positive, or beyond all reason.
        """
        if isinstance(text, Budget):
            return text
        written = str(text).strip().lower()
        if match := _DURATION.fullmatch(written):
            seconds = float(match[1]) * _UNITS[match[2]]
            if MIN_SECONDS <= seconds <= MAX_SECONDS:
                return cls(seconds=round(seconds, 3))
        elif written.isdecimal() and len(written) < 20 and 1 <= int(written) <= MAX_TRIALS:
            return cls(trials=int(written))
        raise ConfigurationError(
            f"A budget is a number of evaluations (200) or a time (90s, 10m, 2h), but got {text!r}."
        )

    def __str__(self) -> str:
        # Milliseconds, and never an exponent: the text is read again when a run is resumed.
        return (
            str(self.trials) if self.trials is not None else f"{self.seconds:.3f}".rstrip("0").rstrip(".") + "s"
        )


def parse_seconds(time: str | float | None, name: str = "The wall clock") -> float | None:
    """Read ``90s``, ``10m``, ``2h`` or a number of seconds; None stays None.

    Raises:
        ConfigurationError: If it is none of these; ``name`` is what the user calls it.
    """
    if time is None:
        return None
    with suppress(ConfigurationError):
        written = f"{time}s" if isinstance(time, int | float) else time
        if (seconds := Budget.parse(written).seconds) is not None:
            return seconds
    raise ConfigurationError(f"{name} is a time such as 90s or 10m, but got {time!r}.")


def parse_count(text: Any) -> int:
    """Read ``50000``, ``100k``, ``5M`` or ``1.5M`` as a positive whole number.

    Raises:
        ConfigurationError: If it is none of these.
    """
    try:
        match = _COUNT.fullmatch(str(text).strip())
    except ValueError:  # Python does not print whole numbers of more than 4,300 digits
        match = None
    number = 0.0 if match is None else float(match[1]) * _FACTORS[match[2].lower()]
    if not 0.5 < number <= MAX_COUNT:
        raise ConfigurationError(
            f"A limit is a positive number such as 50000, 100k or 5M, but got {_shown(text)}."
        )
    return round(number)


def _count_or_none(value: Any) -> int | None:
    return None if value is None else parse_count(value)


def _as_text(value: Any) -> Any:
    """A path as text."""
    return str(value) if isinstance(value, Path) else value


def _as_texts(value: Any) -> Any:
    """One path as well as several, as text."""
    if value is None:
        return ()
    if isinstance(value, str | Path):
        return (str(value),)
    return (
        tuple(str(v) if isinstance(v, Path) else v for v in value) if isinstance(value, list | tuple) else value
    )


def parse_soft(text: Any) -> Soft | None:
    """Read ``macs=5M:-0.07``, ``latency=1.5:-0.07``, or ``params=50k`` with MnasNet's weight of -0.07.

    Raises:
        ConfigurationError: If it is no metric, target and weight.
    """
    if text is None or isinstance(text, Soft):
        return text
    match = _SOFT.fullmatch(str(text).strip())
    target = weight = 0.0
    if match is not None and match[1] in METRICS:
        # A latency is a number of milliseconds; a k or an M behind it would make no sense.
        if match[1] != "latency":
            target = float(parse_count(match[2]))
        elif _NUMBER.fullmatch(match[2]):
            target = float(match[2])
        weight = WEIGHT if match[3] is None else float(match[3])
    if match is None or target <= 0 or not -10 <= weight < 0:
        raise ConfigurationError(
            f"A soft target is METRIC=TARGET:WEIGHT with a weight below 0, such as macs=5M:-0.07 or latency=1.5:-0.07 "
            f"(milliseconds); the metrics are {', '.join(METRICS)}. But got {text!r}."
        )
    return Soft(match[1], target, weight)


def parse_signals(text: Any) -> str | None:
    """Read ``none``, or names between commas such as ``params,macs,naswot``; a list of names from Python.

    Raises:
        ConfigurationError: If a name is none of the signals, or comes twice.
    """
    if text is None:
        return None
    names = [str(part).strip() for part in (text if isinstance(text, list | tuple) else str(text).split(","))]
    if names in ([], [NO_SIGNALS]):
        return NO_SIGNALS
    if len(set(names)) < len(names) or not set(names) <= {*FACTS, *PROXIES}:
        raise ConfigurationError(
            f"Signals are '{NO_SIGNALS}' or any of {', '.join((*FACTS, *PROXIES))}, each once, between commas, but "
            f"got {text!r}."
        )
    return ",".join(name for name in (*FACTS, *PROXIES) if name in names)


_T = TypeVar("_T")


def _validated(parse: Callable[[Any], _T]) -> BeforeValidator:
    """A reader as a validator: what it raises is told together with the field's name."""

    def validate(value: Any) -> _T:
        try:
            return parse(value)
        except ConfigurationError as error:
            raise PydanticCustomError("gcnas", "{message}", {"message": str(error)}) from error

    return BeforeValidator(validate)


BudgetField = Annotated[Budget, _validated(Budget.parse), PlainSerializer(str)]
CountField = Annotated[int | None, _validated(_count_or_none)]
SoftField = Annotated[
    Soft | None,
    _validated(parse_soft),
    PlainSerializer(lambda soft: None if soft is None else str(soft), return_type=str | None),
]
PathsField = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_texts)]
SignalsField = Annotated[str | None, _validated(parse_signals)]
MillisecondsField = Annotated[float, Field(gt=0, le=MAX_MILLISECONDS)] | None


class RunConfig(BaseModel):
    """Everything that decides a run; the resolved form is ``config.yaml`` in the run folder.

    Attributes:
        data: ``digits``, or the path of an image folder, a CSV or an npz file. ``<arrays>`` for arrays given
            from Python, which a resumed run needs again.
        budget: Number of evaluations, or wall clock for everything.
        max_params: Most parameters of the delivered network.
        max_macs: Most multiply-adds of the delivered network, for one image.
        max_activations: Most numbers alive at once in a forward pass, for one image.
        max_size: Most bytes of the file of weights.
        max_latency: Most milliseconds of one image with ONNX Runtime on this device; needs the extra ``onnx``.
        latency_threads: CPU threads that latencies are measured with.
        soft: A target that may be missed at a price, such as ``macs=5M:-0.07``: the reward is
            accuracy x (multiply-adds / 5 M) ^ -0.07.
        strategy: Who proposes: a name, or ``FILE.py:NAME`` for one of your own.
        signals: What the critics of ``gcnas`` see of a network besides its decisions: ``none``, or any of ``params``,
            ``macs``, ``depth``, ``naswot`` and ``synflow`` between commas; None is ``params,macs``.
        space: Name of a preset or ``FILE.py:NAME``.
        fidelity: ``rungs`` trains candidates a little, and the best of them further, up to ``epochs``; ``full`` trains
            each for all of them at once.
        init_from: Run folder or safetensors file whose weights every network of the run begins with, wherever they fit.
        freeze: With them: epochs of the final training in which only what was not taken over is trained; None is 0.
        fine_tune_rate: With them: peak of the learning rate of the final training after that, as a share of the run's;
            None is 0.3.
        warm_start: Run folders of earlier searches in the same space, from which the strategy starts.
        epochs: Full training of a candidate; None chooses by the size of the data and the budget.
        final_epochs: Training of the delivered network; None chooses likewise.
        final_share: Share of a wall-clock budget kept for the final training; less where that can use no more.
        reward: What the search maximises on the validation split.
        references: Whether designs by people are evaluated first.
        resolution: Side of the square images; None keeps or infers it.
        channels: ``grey``, ``rgb`` or ``auto``.
        flip: Whether training mirrors images; None measures whether labels survive it.
        mixing: Whether long final trainings mix images, two and two.
        validation_fraction: Share of the training images kept for the search's reward.
        test_fraction: Share kept for the test, where the data has no test split; 0 takes none, and the delivered
            network is not tested.
        batch_size: Images a training step.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Weight decay of all weights but those of normalisation.
        candidate_seconds: Time limit of one candidate; None derives it from a wall-clock budget.
        onnx: Whether the delivered network is written as ``best/model.onnx`` too, where the extra ``onnx`` is there.
        report: Whether ``report.html`` is written when a run ends; ``gcnas report`` writes it at any time.
        workers: Processes that evaluate candidates at once, which share the threads; None takes one for each
            thread, or for each GPU.
        worker_memory: Bytes that a worker process may have for itself; None shares four fifths of the memory. Also a
            single worker is a process if this is given. With Ray, what it keeps free for each.
        executor: Where candidates are evaluated: ``processes`` on this machine, or ``ray`` on a cluster.
        address: Head of the Ray cluster, ``HOST:PORT`` or ``auto``; None starts one on this machine alone.
        worker_cpus: CPU cores of each worker of a Ray cluster.
        worker_gpus: GPUs of each, with fractions; 0 trains on the CPU there.
        threads: CPU threads of everything together; None takes all cores.
        device: ``cpu``, ``cuda``, … ; None chooses a GPU where there is one.
        precision: What training computes in: ``float32``, ``bfloat16``, or ``auto``, which is the latter where that is
            faster: on CUDA GPUs with units for it, and on CPUs with instructions for it for images of 16 pixels
            and more.
        seed: Root of all random streams.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    data: str
    budget: BudgetField = Budget(seconds=600.0)
    max_params: CountField = None
    max_macs: CountField = None
    max_activations: CountField = None
    max_size: CountField = None
    max_latency: MillisecondsField = None
    latency_threads: Annotated[int, Field(ge=1, le=1_024)] = 1
    soft: SoftField = None
    strategy: str = "gcnas"
    signals: SignalsField = None
    space: str = "cnn"
    fidelity: Literal["rungs", "full"] = "rungs"
    init_from: Annotated[str | None, BeforeValidator(_as_text)] = None
    freeze: Annotated[int, Field(ge=0, le=100_000)] | None = None
    fine_tune_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    warm_start: PathsField = ()
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    final_epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    final_share: Annotated[float, Field(ge=1 / 3, lt=1)] = 0.5
    reward: Literal["accuracy", "balanced-accuracy"] = "accuracy"
    references: bool = True
    resolution: Annotated[int, Field(ge=8, le=512)] | None = None
    channels: Literal["auto", "grey", "rgb"] = "auto"
    flip: bool | None = None
    mixing: bool = True
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 2e-3
    candidate_seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] | None = None
    onnx: bool = True
    report: bool = True
    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] | None = None
    worker_memory: CountField = None
    executor: Literal["processes", "ray"] = "processes"
    address: str | None = None
    worker_cpus: Annotated[int, Field(ge=1, le=1_024)] = 1
    worker_gpus: Annotated[float, Field(ge=0, le=64)] = 0.0
    threads: Annotated[int, Field(ge=1, le=1_024)] | None = None
    device: str | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _cluster_for_ray_only(self) -> Self:
        asked = {
            "address": self.address is not None,
            "worker_cpus": self.worker_cpus > 1,
            "worker_gpus": self.worker_gpus,
        }
        if self.executor != "ray" and any(asked.values()):
            names = ", ".join(name for name, given in asked.items() if given)
            message = f"{names} is for a Ray cluster; add executor: ray (--executor ray)"
            raise PydanticCustomError("gcnas", "{message}", {"message": message})
        if self.worker_gpus > 1 and self.worker_gpus % 1:
            message = f"worker_gpus is a share of one GPU or a whole number of them, but got {self.worker_gpus}"
            raise PydanticCustomError("gcnas", "{message}", {"message": message})
        return self

    @model_validator(mode="after")
    def _fine_tuning_of_weights_taken_over(self) -> Self:
        if self.init_from is None and (self.freeze is not None or self.fine_tune_rate is not None):
            message = "freeze and fine_tune_rate are for weights taken over: name init_from (--init-from)"
            raise PydanticCustomError("gcnas", "{message}", {"message": message})
        return self

    @model_validator(mode="after")
    def _something_is_left_for_training(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            message = (
                "validation_fraction and test_fraction leave nothing for training; together they are below 1"
            )
            raise PydanticCustomError("gcnas", "{message}", {"message": message})
        return self

    @model_validator(mode="after")
    def _signals_are_read(self) -> Self:
        if self.signals is not None and self.strategy != SIGNALS_READER:
            message = (
                f"signals are read by the strategy {SIGNALS_READER!r} alone, but the strategy is {self.strategy!r}; "
                "leave one of the two out"
            )
            raise PydanticCustomError("gcnas", "{message}", {"message": message})
        return self

    @property
    def facts(self) -> tuple[str, ...] | None:
        """What the strategy sees of a network's specification; None for the usual."""
        return None if self.signals is None else self._named(FACTS)

    @property
    def proxies(self) -> tuple[str, ...]:
        """What is measured on untrained networks."""
        return self._named(PROXIES)

    def _named(self, names: tuple[str, ...]) -> tuple[str, ...]:
        given = (self.signals or "").split(",")
        return tuple(name for name in names if name in given)

    @property
    def limits(self) -> Limits:
        """The limits on the delivered network."""
        return Limits(self.max_params, self.max_macs, self.max_activations, self.max_size, self.max_latency)

    @property
    def costs(self) -> set[str]:
        """The costs of networks that limits, or the soft target, ask for."""
        asked = {metric for metric, name in METRICS.items() if getattr(self.limits, name) is not None}
        return asked | ({self.soft.metric} if self.soft is not None else set())

    @classmethod
    def create(cls, /, **values: Any) -> Self:
        """Validate keywords.

        Raises:
            ConfigurationError: If a name or a value is wrong; the message names each.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            problems = "; ".join(_problem(problem, list(cls.model_fields)) for problem in error.errors())
            # The message says it all; pydantic's own would only stand in the way.
            raise ConfigurationError(f"The configuration is not valid. {problems}") from None

    def changed(self, **changes: Any) -> Self:
        """The same configuration with some values changed, validated."""
        return type(self).create(**(self.model_dump() | changes))

    def to_yaml(self) -> str:
        """The content of ``config.yaml``."""
        values = self.model_dump(mode="json")
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        if yaml.safe_load(text) == values:
            return text
        # Some signs that end a line, such as U+0085, are written as they are and read as a space.
        return yaml.safe_dump(values, sort_keys=False)

    @classmethod
    def from_yaml(cls, path: Path) -> dict[str, Any]:
        """Read the keywords of a YAML file, not yet validated.

        Raises:
            ConfigurationError: If the file is missing or does not hold names and values.
        """
        try:
            values = yaml.load(_text(path), Loader=_NoReferences)  # noqa: S506 - a safe loader, and less than that
        # The last ones: of values that say what they are and are not.
        except (
            OSError, ValueError, RecursionError, yaml.YAMLError, LookupError, AttributeError, TypeError,
        ) as error:  # fmt: skip
            raise ConfigurationError(f"The configuration {path} cannot be read: {error!r}") from error
        if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
            raise ConfigurationError(f"The configuration {path} must hold lines 'name: value'.")
        nested = [name for name, value in values.items() if _nested(name, value)]
        if nested:
            raise ConfigurationError(
                f"The configuration {path} must hold one value a line, but {nested[0]} has several."
            )
        huge = [name for name, value in values.items() if isinstance(value, int) and abs(value) >= 2**63]
        if huge:
            raise ConfigurationError(f"The configuration {path} holds a number that is too large: {huge[0]}.")
        return values


class _NoReferences(yaml.SafeLoader):
    """References to other lines are refused: with them a few hundred bytes stand for more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next value.

        Raises:
            yaml.YAMLError: If it is a reference.
        """
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("references to other lines (*) are not read")
        return super().compose_node(parent, index)

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The type of a value: one with a colon is text, while YAML reads 10:00 as the number 600."""
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        is_number = tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        return "tag:yaml.org,2002:str" if is_number and ":" in value else tag


def _nested(name: str, value: Any) -> bool:
    if name == "warm_start" and isinstance(value, list):
        return not all(isinstance(item, str) for item in value)
    return isinstance(value, list | dict | set | tuple)


def _text(path: Path) -> str:
    """The content of a file.

    Raises:
        OSError, ValueError: If it cannot be read, or is no configuration by its size.
    """
    return read_bounded(path, MAX_FILE).decode("utf-8")


def _problem(problem: ErrorDetails, options: list[str]) -> str:
    """What is wrong with one value, in words."""
    name = ".".join(map(str, problem["loc"])) or "configuration"
    if problem["type"] == "extra_forbidden":
        close = get_close_matches(name, options, n=1)
        return f"{name}: there is no such option" + (f"; did you mean {close[0]}?" if close else "")
    if problem["type"] in ("gcnas", "missing"):
        return f"{name}: {problem['msg']}"
    return f"{name}: {problem['msg']} (got {_shown(problem['input'])})"


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # as above
        return "a number of thousands of digits"


def stream_seed(seed: int, name: str) -> int:
    """Seed of a named random stream, independent of all other names.

    Args:
        seed: Root seed of the run.
        name: Name of the stream, such as ``strategy``.

    Returns:
        A number below 2**63.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
