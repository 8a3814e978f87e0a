"""GC-NAS: from a folder of images to a small, trained, exported network.

``gcnas.search("photos/", budget="10m")`` is the whole way; :mod:`gcnas.space` describes what may be built.
"""

from typing import TYPE_CHECKING, Any

from gcnas._version import __version__

if TYPE_CHECKING:
    from gcnas.api import finalize, load, resume, search
    from gcnas.classifier import GCNASClassifier
    from gcnas.forms import benchmark, export_network
    from gcnas.other_data import transfer
    from gcnas.result import Result
    from gcnas.scaling import finalize_scaled, scale
    from gcnas.strategy.optuna_sampler import GCNASSampler

__all__ = [
    "GCNASClassifier",
    "GCNASSampler",
    "Result",
    "__version__",
    "benchmark",
    "export_network",
    "finalize",
    "finalize_scaled",
    "load",
    "resume",
    "scale",
    "search",
    "transfer",
]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, so what needs it is imported when it is first used.
    if name == "GCNASSampler":
        from gcnas.strategy.optuna_sampler import GCNASSampler

        return GCNASSampler
    if name in ("benchmark", "export_network"):
        from gcnas import forms

        return getattr(forms, name)
    if name in ("finalize_scaled", "scale"):
        from gcnas import scaling

        return getattr(scaling, name)
    if name == "GCNASClassifier":
        from gcnas.classifier import GCNASClassifier

        return GCNASClassifier
    if name == "transfer":
        from gcnas.other_data import transfer

        return transfer
    if name in __all__:
        from gcnas import api

        return getattr(api, name)
    raise AttributeError(f"module 'gcnas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
