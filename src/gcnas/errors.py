"""The errors that GC-NAS raises on purpose.

:class:`GCNASError` and its children say that the call or the run cannot go on. :class:`CandidateError` and its
children say that one candidate failed: the run records them, counts them and goes on.
"""


class GCNASError(Exception):
    """Root of all errors raised on purpose; its message says the rule, what was given and the way out."""


class ConfigurationError(GCNASError):
    """An option, a limit or a configuration file does not make sense."""


class DataError(GCNASError):
    """The images, labels or arrays cannot be used."""


class SpaceError(GCNASError):
    """A search space, a layer type or an architecture is not valid."""


class RuleError(SpaceError):
    """A rule of a layer type, which may be a user's own, fails."""


class LimitsTooTightError(GCNASError):
    """No proposal stays within the limits."""


class RunFolderError(GCNASError):
    """A run folder is missing, damaged, in use, newer than this version, or of another run."""


class OtherSplitsError(RunFolderError):
    """The images of a run fall into other splits at another resolution."""


class DamagedLedgerError(RunFolderError):
    """The ledger of a run is damaged; some of its trials may still be readable."""


class SearchFailedError(GCNASError):
    """The search cannot go on: the first candidates all failed, or none succeeded."""


class WorkerError(GCNASError):
    """Worker processes cannot be started, or evaluate nothing."""


class BenchError(GCNASError):
    """Runs of a bench failed; the others are kept."""


class ExportError(GCNASError):
    """A network cannot be written in the form asked for."""


class CandidateError(Exception):
    """One candidate failed; ``kind`` names the class of failure in tables and reports."""

    kind = "crash"


class BuildError(CandidateError):
    """The network of a candidate could not be built."""

    kind = "build"


class NotFiniteError(CandidateError):
    """The loss of a candidate became infinite or not a number."""

    kind = "not-finite"


NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
"""Words of PyTorch, CUDA and its libraries where memory ran out."""


class OutOfMemoryError(CandidateError):
    """A candidate needed more memory than there is."""

    kind = "out-of-memory"


class TimeLimitError(CandidateError):
    """A candidate took longer than its time limit."""

    kind = "time-out"
