"""Defer slow imports of modules that most commands never use.

`import torchmetrics` imports every metric, and with them transformers, torchvision, scipy and matplotlib. Torch,
Lightning and the first step of an optimizer import torch's compiler and its tools. After `defer_imports`, these
packages can be imported as before, but a part of them is loaded only when it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from dlcli.process.deferred_torch import (
    BACKEND,
    COMPILER,
    EXPORT_TOOLS,
    KERNELS,
    CompilerLoader,
    ExportLoader,
    KernelsLoader,
)
from dlcli.process.deferring import CallsLoader, DeferringLoader, NamesLoader, PartLoader, find_part, loaded

_METRICS = "torchmetrics"
_STATISTICS, _INTEGRALS = "scipy.stats", "scipy.integrate"  # scikit-learn imports them for a few functions

# Packages that run no code before they are used.
_UNUSED = (BACKEND, "torch._export", "torch.distributions", "torch.export", "torch.masked", "numpy.f2py")

# Modules of which others import functions by name.
_CALLED = {
    _INTEGRALS: ("trapezoid",),
    "torch.utils.flop_counter": ("FlopCounterMode",),  # by Lightning's summary of a model, and with it triton
    "torchmetrics.utilities.plot": ("plot_single_or_multi_val", "plot_confusion_matrix", "plot_curve"),
}
# Modules of these packages: the settings that `torch.use_deterministic_algorithms` sets, of torchvision's imports, and
# of `torch.vmap`.
_PARTS = {
    "torch._inductor.config": (),
    "torch._dynamo.utils": ("is_compile_supported",),
    EXPORT_TOOLS: ("_maybe_find_pre_dispatch_tf_mode_for_export",),
}

# Packages that import names from their modules, each of which can be imported on its own.
_OF_SKLEARN = "ensemble impute metrics model_selection neighbors preprocessing"
_COLLECTIONS = tuple(f"sklearn.{name}" for name in _OF_SKLEARN.split())

# Packages whose modules cannot be imported before their own code has run, with the module that this loads.
_WHOLE = {name: name for name in (COMPILER, _STATISTICS, _INTEGRALS, *_UNUSED)}
_WHOLE |= dict.fromkeys(("torch._decomp", "torch._prims", "torch._refs"), KERNELS)


def defer_imports() -> None:
    """Defer the packages above if they have not been imported yet. A second call has no effect."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = ".".join(name.split(".")[:2])
        owner = _WHOLE.get(package)
        if owner is not None and name != owner and name not in _PARTS:
            return find_part(owner, name)
        if (
            owner is None
            and name not in (KERNELS, *_COLLECTIONS, *_CALLED)
            and name.split(".")[0] != _METRICS
        ):
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return spec
        if name == COMPILER:
            spec.loader = CompilerLoader(spec.loader)
        elif name == KERNELS:
            spec.loader = KernelsLoader(spec.loader)
        elif name == _STATISTICS:
            spec.loader = _StatisticsLoader(spec.loader, "rankdata", "gmean", "spearmanr", "chi2")
        elif name in _CALLED:
            spec.loader = CallsLoader(spec.loader, *_CALLED[name])
        elif name in _UNUSED:
            spec.loader = DeferringLoader(spec.loader)
        elif name in _PARTS:
            part = ExportLoader if name == EXPORT_TOOLS else PartLoader
            spec.loader = part(spec.loader, *_PARTS[name])
        elif spec.submodule_search_locations is not None:
            spec.loader = NamesLoader(spec.loader)
        return spec


class _StatisticsLoader(CallsLoader):
    def stand_in(self, module: ModuleType, name: str) -> Any:
        return _Distribution(name) if name == "chi2" else super().stand_in(module, name)


class _Distribution:
    """Stands in for a distribution of `scipy.stats`, which is loaded when it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(loaded(_STATISTICS), self._name)(*args, **kwargs)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # libraries probe every object for some
            raise AttributeError(attribute)
        return getattr(getattr(loaded(_STATISTICS), self._name), attribute)
