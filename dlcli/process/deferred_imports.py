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
# scikit-learn imports them for a few functions.
_STATISTICS, _INTEGRALS = "scipy.stats", "scipy.integrate"
_SPARSE, _GRAPHS = "scipy.sparse.linalg", "scipy.sparse.csgraph"

# Packages that run no code before they are used.
_UNUSED = (
    BACKEND,
    "numpy.f2py",
    "scipy.linalg",
    "torch._export",
    "torch.distributions",
    "torch.export",
    "torch.masked",
)

# Modules of which others import functions by name.
_CALLED = {
    _INTEGRALS: ("trapezoid",),
    _GRAPHS: ("laplacian",),
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
_WHOLE = {name: name for name in (COMPILER, _STATISTICS, _INTEGRALS, _SPARSE, _GRAPHS, *_UNUSED)}
_WHOLE |= dict.fromkeys(("torch._decomp", "torch._prims", "torch._refs"), KERNELS)


def defer_imports() -> None:
    """Defer the packages above if they have not been imported yet. A second call has no effect."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parts = name.split(".")
        owner = _WHOLE.get(".".join(parts[:2])) or _WHOLE.get(".".join(parts[:3]))
        if owner is not None and name != owner and name not in _PARTS:
            return find_part(owner, name)
        if owner is None and name not in (KERNELS, *_COLLECTIONS, *_CALLED) and parts[0] != _METRICS:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return spec
        if name == COMPILER:
            spec.loader = CompilerLoader(spec.loader)
        elif name == KERNELS:
            spec.loader = KernelsLoader(spec.loader)
        elif name == _STATISTICS:
            spec.loader = _ScipyLoader(spec.loader, "rankdata", "gmean", "spearmanr", "chi2")
        elif name == _SPARSE:
            spec.loader = _ScipyLoader(spec.loader, "cg", "LinearOperator")
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


class _ScipyLoader(CallsLoader):
    def stand_in(self, module: ModuleType, name: str) -> Any:
        is_function = name not in ("chi2", "LinearOperator")
        return super().stand_in(module, name) if is_function else _Object(module.__name__, name)


class _Object:
    """Stands in for a class or a distribution, whose module is loaded when it is used."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def _real(self) -> Any:
        return getattr(loaded(self._module), self._name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._real(),)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._real())

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, self._real())

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # libraries probe every object for some
            raise AttributeError(attribute)
        return getattr(self._real(), attribute)
