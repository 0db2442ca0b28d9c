"""Modules whose code runs when it is used: loaders for the import system, by what the module is used for."""

from __future__ import annotations

import ast
import dis
import functools
import importlib
import logging
import sys
import threading
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import resolve_name
from types import ModuleType
from typing import Any


class DeferredModule(ModuleType):
    """A module whose code has not run yet; its loader provides each attribute that is read."""

    def __getattr__(self, name: str) -> Any:
        loader = vars(self).get("__loader__")
        # Libraries probe every module for names, such as `pickle` for the module of a function.
        if not isinstance(loader, DeferringLoader) or not loader.provides(self, name):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = loader.attribute(self, name)
        if type(self) is DeferredModule:  # its code has not run for this attribute
            vars(self)[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted(vars(loaded(self.__name__)))  # scikit-learn discovers its estimators in this way

    def __setattr__(self, name: str, value: Any) -> None:
        loader = vars(self).get("__loader__")
        if isinstance(loader, DeferringLoader) and not name.startswith("__"):
            if isinstance(value, ModuleType) and value.__name__ == f"{self.__name__}.{name}":
                if loader.hides(value):
                    return
            elif not loader.is_running:
                loader.given[name] = value
        super().__setattr__(name, value)


class DeferringLoader(Loader):
    """Creates a module without running its code.

    Attributes:
        given: attributes that were set from outside, such as a test's patches; they are kept when the code runs.
    """

    def __init__(self, source: SourceFileLoader) -> None:
        self._source = source
        self._lock = threading.RLock()
        self._runner: int | None = None
        self._is_ready = False  # the import system reads attributes before it executes a module
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
        """Return a deferred module."""
        return DeferredModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do not run the code; `importlib.reload` of a module whose code has run runs it again."""
        self._is_ready = True
        if not isinstance(module, DeferredModule):
            self._source.exec_module(module)

    @functools.cached_property
    def names(self) -> set[str]:
        """Names that the module's code binds, found without running it."""
        return {step.argval for step in self._steps if step.opname == "STORE_NAME"}

    @functools.cached_property
    def _imports_all(self) -> bool:
        """Whether the module's code imports all names of another module."""
        return any(
            "IMPORT_STAR" in (step.opname, *str(step.argrepr).split("INTRINSIC_")) for step in self._steps
        )

    @property
    def _steps(self) -> list[dis.Instruction]:
        code = self._source.get_code(self._source.name)
        assert code is not None
        return list(dis.get_instructions(code))

    def provides(self, module: ModuleType, name: str) -> bool:
        """Whether `attribute` can be called now."""
        return self._is_ready and not self.is_running and self.binds(module, name)

    def binds(self, module: ModuleType, name: str) -> bool:
        """Whether the module has the attribute after its code has run."""
        if name in self.names or (self._imports_all and not name.startswith("_")):
            return True
        place = vars(module).get("__path__")
        return bool(place and PathFinder.find_spec(f"{module.__name__}.{name}", place))

    def hides(self, submodule: ModuleType) -> bool:
        """Whether the package has another object under the submodule's name."""
        return False

    def attribute(self, module: ModuleType, name: str) -> Any:
        """Run the module's code and return the attribute; subclasses provide some attributes without that."""
        return getattr(self.run(module), name)

    def run_unless_busy(self, module: ModuleType) -> bool:
        """Run the module's code and return True, or return False while another thread runs it."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self.run(module)
        finally:
            self._lock.release()
        return True

    def run(self, module: ModuleType) -> ModuleType:
        """Run the module's code, while other threads wait. It is an ordinary module afterwards.

        If the code fails or is interrupted, the module stays deferred.
        """
        with self._lock:
            if type(module) is not DeferredModule or self.is_running:
                return module
            self._runner = threading.get_ident()
            try:
                self._source.exec_module(module)
            finally:
                self._runner = None
            vars(module)["__loader__"] = self._source
            if module.__spec__ is not None:
                module.__spec__.loader = self._source
            if type(module) is DeferredModule:
                plain: Any = module
                plain.__class__ = ModuleType
            for name, value in self.given.items():
                setattr(module, name, value)
            return module


class NamesLoader(DeferringLoader):
    """Defers a package whose code imports names from its modules: each name is imported when it is read."""

    _imports_all = False

    @functools.cached_property
    def names(self) -> set[str]:
        """Names that the module's code binds, with those that it imports from its modules."""
        return super().names | set(self._origins)

    @functools.cached_property
    def _origins(self) -> dict[str, tuple[str, str]]:
        """The module and the name there of each name that the code imports."""
        package = self._source.name
        imports = [
            (resolve_name("." * node.level + node.module, package), alias)
            for node in ast.parse(self._source.get_source(package) or "").body
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        ]
        origins = {alias.asname or alias.name: (place, alias.name) for place, alias in imports}
        for place, alias in imports:
            if alias.name == "*":
                origins |= {name: (place, name) for name in importlib.import_module(place).__all__}
        return origins

    def attribute(self, module: ModuleType, name: str) -> Any:
        """Import the name from the module that defines it."""
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


class CallsLoader(DeferringLoader):
    """Defers functions that others import by name: a stand-in for each loads the module when it is called.

    Types of the module `torchmetrics.utilities.plot`, which are used in annotations, are `object`.
    """

    def __init__(self, source: SourceFileLoader, *functions: str) -> None:
        super().__init__(source)
        self._functions = functions

    def binds(self, module: ModuleType, name: str) -> bool:
        """Whether the module has the attribute after its code has run."""
        return name in self._functions or super().binds(module, name)

    def attribute(self, module: ModuleType, name: str) -> Any:
        """Return a stand-in for a function or type, or run the module's code."""
        if name.endswith("_TYPE"):
            return object
        if name not in self._functions:
            return super().attribute(module, name)
        return self.stand_in(module, name)

    def stand_in(self, module: ModuleType, name: str) -> Any:
        """Return an object that is used like the function `name`, and loads the module then."""

        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(loaded(module.__name__), name)(*args, **kwargs)

        call.__module__, call.__name__, call.__qualname__ = module.__name__, name, name
        return call


class PartLoader(CallsLoader):
    """Defers a module that cannot be loaded before its package, such as one of torch's compiler."""

    def run(self, module: ModuleType) -> ModuleType:
        """Load the package, then run the module's code."""
        loaded(module.__name__.rpartition(".")[0])
        return super().run(module)


def loaded(name: str) -> Any:
    """Return a module of `sys.modules`, after running its code if it is deferred."""
    module = sys.modules[name]
    loader = vars(module).get("__loader__")
    return loader.run(module) if isinstance(loader, DeferringLoader) else module


def run_here(name: str) -> bool:
    """Run the code of a deferred module in this thread; do nothing while another thread runs it.

    Within an import, waiting could last forever, since that thread may wait for the module that is imported here.

    Returns:
        Whether the module is deferred no longer because of this call.
    """
    module = sys.modules.get(name)
    if not isinstance(module, DeferredModule):
        return False
    loader = vars(module).get("__loader__")
    return isinstance(loader, DeferringLoader) and not loader.is_running and loader.run_unless_busy(module)


def find_part(owner: str, name: str) -> ModuleSpec | None:
    """Find a module that cannot be imported before the code of the module `owner` has run."""
    if not run_here(owner):
        return None
    # For a module that is there meanwhile, the import system would use its own specification, and execute it again.
    part = sys.modules.pop(name, None)
    return ModuleSpec(name, LoadedModule(part)) if part else None


class LoadedModule(Loader):
    """Returns a module that an import of its package has loaded meanwhile."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the specification, which the import system has replaced."""
        vars(module)["__spec__"] = self._spec
