"""Defer slow imports of modules that most commands never use.

`import torchmetrics` imports every metric and with them transformers, torchvision, scipy and matplotlib. Lightning and
the first step of an optimizer import torch's compiler. After `defer_imports`, these packages can be imported as before,
but a part of them is loaded only when it is used.
"""

from __future__ import annotations

import ast
import dis
import functools
import importlib
import logging
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import resolve_name
from types import FunctionType, ModuleType
from typing import Any

_COMPILER, _BACKEND, _METRICS = "torch._dynamo", "torch._inductor", "torchmetrics"
_STATISTICS, _INTEGRALS = "scipy.stats", "scipy.integrate"  # scikit-learn imports them for a few functions
_DISTRIBUTIONS = ("chi2",)  # which scikit-learn imports by name

# Modules of which others import functions by name.
_CALLED = {
    _INTEGRALS: ("trapezoid",),
    _STATISTICS: ("rankdata", "gmean", "spearmanr", *_DISTRIBUTIONS),
    "torch.utils.flop_counter": ("FlopCounterMode",),  # by Lightning's summary of a model, and with it triton
    "torchmetrics.utilities.plot": ("plot_single_or_multi_val", "plot_confusion_matrix", "plot_curve"),
}
# Modules of the compiler: the settings that `torch.use_deterministic_algorithms` sets, and of torchvision's imports.
_PARTS = {"torch._inductor.config": (), "torch._dynamo.utils": ("is_compile_supported",)}

# Packages that import names from their modules, each of which can be imported on its own.
_OF_SKLEARN = "ensemble impute metrics model_selection neighbors preprocessing"
_COLLECTIONS = tuple(f"sklearn.{name}" for name in _OF_SKLEARN.split())

# Packages whose modules cannot be imported before their own code has run.
_WHOLE = (_COMPILER, _BACKEND, _STATISTICS, _INTEGRALS)


def defer_imports() -> None:
    """Defer the packages above if they have not been imported yet. A second call has no effect."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = ".".join(name.split(".")[:2])
        if package in _WHOLE and name != package:
            if name not in _PARTS:
                return _find_part(package, name)
        elif name not in (*_WHOLE, *_COLLECTIONS, *_CALLED) and name.split(".")[0] != _METRICS:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return spec
        if name == _COMPILER:
            spec.loader = _CompilerLoader(spec.loader)
        elif name in _CALLED:
            spec.loader = _CallsLoader(spec.loader, *_CALLED[name])
        elif name == _BACKEND:
            spec.loader = _DeferringLoader(spec.loader)
        elif name in _PARTS:
            spec.loader = _PartLoader(spec.loader, *_PARTS[name])
        elif spec.submodule_search_locations is not None:
            spec.loader = _NamesLoader(spec.loader)
        return spec


class _Deferred(ModuleType):
    """A module whose code has not run yet; its loader provides each attribute that is read."""

    def __getattr__(self, name: str) -> Any:
        loader = vars(self).get("__loader__")
        # Libraries probe every module for names, such as `pickle` for the module of a function.
        if not isinstance(loader, _DeferringLoader) or loader.is_running or not loader.binds(self, name):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = loader.attribute(self, name)
        if type(self) is _Deferred:  # its code has not run for this attribute
            vars(self)[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted(vars(_loaded(self.__name__)))  # scikit-learn discovers its estimators in this way

    def __setattr__(self, name: str, value: Any) -> None:
        loader = vars(self).get("__loader__")
        if isinstance(loader, _DeferringLoader) and not name.startswith("__"):
            if isinstance(value, ModuleType) and value.__name__ == f"{self.__name__}.{name}":
                if loader.hides(value):
                    return
            elif not loader.is_running:
                loader.given[name] = value
        super().__setattr__(name, value)


class _DeferringLoader(Loader):
    """Creates a module without running its code.

    Attributes:
        given: attributes that were set from outside, such as a test's patches; they are kept when the code runs.
    """

    def __init__(self, source: SourceFileLoader) -> None:
        self._source = source
        self._names: set[str] = set()
        self._any = False  # whether it imports all names of other modules
        self._lock = threading.RLock()
        self._runner: int | None = None
        self.given: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "_source":
            raise AttributeError(name)
        return getattr(self._source, name)  # for readers of source code and resources

    @property
    def is_running(self) -> bool:
        """Whether this thread is running the module's code."""
        return self._runner == threading.get_ident()

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Prepare a deferred module; `importlib.reload` of one whose code has run runs it again."""
        if isinstance(module, _Deferred):
            self.prepare(module)
        else:
            self._source.exec_module(module)

    def prepare(self, module: ModuleType) -> None:
        """Find the names that the module's code binds, without running it."""
        code = self._source.get_code(module.__name__)
        assert code is not None
        steps = list(dis.get_instructions(code))
        self._names = {step.argval for step in steps if step.opname == "STORE_NAME"}
        self._any = any(
            "IMPORT_STAR" in (step.opname, *str(step.argrepr).split("INTRINSIC_")) for step in steps
        )

    def binds(self, module: ModuleType, name: str) -> bool:
        """Whether the module has the attribute after its code has run."""
        if name in self._names or (self._any and not name.startswith("_")):
            return True
        place = vars(module).get("__path__")
        return bool(place and PathFinder.find_spec(f"{module.__name__}.{name}", place))

    def hides(self, submodule: ModuleType) -> bool:
        """Whether the package has another object under the submodule's name."""
        return False

    def attribute(self, module: ModuleType, name: str) -> Any:
        """Run the module's code and return the attribute; subclasses provide some attributes without that."""
        return getattr(self.run(module), name)

    def run(self, module: ModuleType) -> ModuleType:
        """Run the module's code, while other threads wait. It is an ordinary module afterwards.

        If the code fails or is interrupted, the module stays deferred.
        """
        with self._lock:
            if type(module) is not _Deferred or self.is_running:
                return module
            self._runner = threading.get_ident()
            try:
                self._source.exec_module(module)
            finally:
                self._runner = None
            vars(module)["__loader__"] = self._source
            if module.__spec__ is not None:
                module.__spec__.loader = self._source
            if type(module) is _Deferred:
                plain: Any = module
                plain.__class__ = ModuleType
            for name, value in self.given.items():
                setattr(module, name, value)
            return module


class _NamesLoader(_DeferringLoader):
    """Defers a package whose code imports names from its modules: each name is imported when it is read."""

    def prepare(self, module: ModuleType) -> None:
        super().prepare(module)
        imports = [
            (resolve_name("." * node.level + node.module, module.__name__), alias)
            for node in ast.parse(self._source.get_source(module.__name__) or "").body
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        ]
        self._origins = {alias.asname or alias.name: (place, alias.name) for place, alias in imports}
        for place, alias in imports:
            if alias.name == "*":
                self._origins |= {name: (place, name) for name in importlib.import_module(place).__all__}
        self._names |= set(self._origins)
        self._any = False

    def attribute(self, module: ModuleType, name: str) -> Any:
        if name == "_logger":
            return logging.getLogger(module.__name__)
        if name not in self._origins:
            return super().attribute(module, name)
        place, original = self._origins[name]
        if place == module.__name__:
            return importlib.import_module(f"{place}.{original}")
        return getattr(importlib.import_module(place), original)

    def hides(self, submodule: ModuleType) -> bool:
        """Whether the package has another object under the submodule's name."""
        package, _, name = submodule.__name__.rpartition(".")
        return self._origins.get(name, (package, name)) != (package, name)


class _CallsLoader(_DeferringLoader):
    """Defers functions that others import by name: a stand-in for each loads the module when it is called.

    Types of the module `torchmetrics.utilities.plot`, which are used in annotations, are `object`.
    """

    def __init__(self, source: SourceFileLoader, *functions: str) -> None:
        super().__init__(source)
        self._functions = functions

    def binds(self, module: ModuleType, name: str) -> bool:
        return name in self._functions or super().binds(module, name)

    def attribute(self, module: ModuleType, name: str) -> Any:
        if name.endswith("_TYPE"):
            return object
        if name not in self._functions:
            return super().attribute(module, name)

        if name in _DISTRIBUTIONS:
            return _Distribution(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(_loaded(module.__name__), name)(*args, **kwargs)

        call.__module__, call.__name__, call.__qualname__ = module.__name__, name, name
        return call


class _Distribution:
    """Stands in for a distribution of `scipy.stats`, which is loaded when it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(_loaded(_STATISTICS), self._name)(*args, **kwargs)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # libraries probe every object for some
            raise AttributeError(attribute)
        return getattr(getattr(_loaded(_STATISTICS), self._name), attribute)


class _CompilerLoader(_DeferringLoader):
    """Defers torch's compiler. Three of its names are used by programs that compile nothing; others load it."""

    def attribute(self, module: ModuleType, name: str) -> Any:
        own = {"graph_break": _break_graph, "OptimizedModule": _NothingOptimized, "disable": _disable}
        return own[name] if name in own else super().attribute(module, name)


class _PartLoader(_CallsLoader):
    """Defers a module of the compiler, which cannot be loaded before its package."""

    def run(self, module: ModuleType) -> ModuleType:
        _loaded(module.__name__.rpartition(".")[0])
        return super().run(module)


def _disable(fn: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Return a function that calls `fn`, by way of the compiler's `disable` once the compiler is loaded."""
    if not isinstance(fn, FunctionType):
        return _loaded(_COMPILER).disable(fn, *args, **kwargs)

    disabled: Any = fn

    @functools.wraps(fn)
    def call(*fn_args: Any, **fn_kwargs: Any) -> Any:
        nonlocal disabled
        if disabled is fn and not isinstance(sys.modules[_COMPILER], _Deferred):
            disabled = _loaded(_COMPILER).disable(fn, *args, **kwargs)
        return disabled(*fn_args, **fn_kwargs)

    return call


def _loaded(name: str) -> Any:
    """Return a module of `sys.modules`, after running its code if it is deferred."""
    module = sys.modules[name]
    loader = vars(module).get("__loader__")
    return loader.run(module) if isinstance(loader, _DeferringLoader) else module


def _break_graph(*args: Any, **kwargs: Any) -> None:
    """Break the graph that is being compiled; does nothing before the compiler is loaded."""
    compiler: Any = sys.modules[_COMPILER]
    if not isinstance(compiler, _Deferred):
        compiler.graph_break(*args, **kwargs)


class _IsOptimized(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        real = vars(sys.modules[_COMPILER]).get("OptimizedModule", cls)
        return real is not cls and isinstance(instance, real)


class _NothingOptimized(metaclass=_IsOptimized):
    """Replaces `torch._dynamo.OptimizedModule`, which has no instances before the compiler is loaded."""


def _find_part(package: str, name: str) -> ModuleSpec | None:
    """Find a module of a package whose modules cannot be imported before it."""
    module = sys.modules[package]
    loader = vars(module).get("__loader__")
    if not isinstance(module, _Deferred) or not isinstance(loader, _DeferringLoader) or loader.is_running:
        return None
    _loaded(package)
    part = sys.modules.get(name)
    return ModuleSpec(name, _LoadedModule(part)) if part else None


class _LoadedModule(Loader):
    """Returns a module that an import of its package has loaded meanwhile."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the specification, which the import system has replaced."""
        module.__spec__ = self._spec
