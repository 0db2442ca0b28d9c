"""Import libraries without work that only their developers and interactive users need.

- torch notes file and line of each operator that it defines, and the module that defines a kernel for fake tensors.
  `inspect.getframeinfo` and `inspect.getmodule` find them, which resolve the paths of all modules again and again: that
  takes a tenth of the CPU time of `import torch`.
- The first `torch.vmap` imports all decompositions of torch's operators, which takes half a second, to register those
  of eight operators that it cannot map without. Each of these imports them when it is called.
- torch imports NVIDIA's bindings of CUDA where they are installed, and with them a twelfth of the time of
  `import torch`, for functions that a training does not call. They are imported when they are used.
- matplotlib writes a description of the settings of each class of artists, which takes 0.4 of the time of its import.
  A notebook shows them; dlcli's commands leave them out.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, module_from_spec
from types import FrameType, FunctionType, ModuleType
from typing import Any

from dlcli.process import program


def import_quickly() -> None:
    """Change the libraries that have not been imported yet when they are. A second call has no effect."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def get_source(stacklevel: int) -> str:
    """Return the caller as `/path/to/file.py:42`; 1 is the caller of this function, 2 its caller, and so on."""
    frame = sys._getframe(stacklevel)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class _Inspect(ModuleType):
    """The module `inspect`, with a `getmodule` that knows the module of a frame by its name."""

    def __getattr__(self, name: str) -> Any:
        return getattr(inspect, name)

    @staticmethod
    def getmodule(of: Any, _filename: str | None = None) -> ModuleType | None:
        """Return the module in which an object was defined."""
        if isinstance(of, FrameType):
            module = sys.modules.get(of.f_globals.get("__name__", ""))
            if module is not None and vars(module) is of.f_globals:
                return module
        return inspect.getmodule(of, _filename)


def _locate_operators(module: ModuleType) -> None:
    if hasattr(module, "get_source"):
        vars(module)["get_source"] = get_source


def _locate_kernels(module: ModuleType) -> None:
    if hasattr(module, "inspect"):
        vars(module)["inspect"] = _Inspect("inspect")


def _describe_no_artists(module: ModuleType) -> None:
    name = "_update_set_signature_and_docstring"
    artist = getattr(module, "Artist", None)
    if program.is_running and hasattr(artist, name):
        setattr(artist, name, classmethod(lambda cls: None))


# Operators with a decomposition for `torch.vmap`: those that `torch._functorch.predispatch` registers in torch 2.15.
_DECOMPOSED = (
    "addr",
    "huber_loss_backward",
    "mse_loss_backward",
    "nll_loss2d_backward",
    "nll_loss2d_forward",
    "nll_loss_backward",
    "nll_loss_forward",
    "smooth_l1_loss_backward",
)
# Names in the code of the function that registers them.
_READ = {*_DECOMPOSED, "DECOMPOSITIONS_LOADED", "VMAP_DECOMPOSITIONS_LIB"}


def _decompose_late(module: ModuleType) -> None:
    """Let the first `torch.vmap` register operators that import their decompositions when they are called."""
    load = getattr(module, "lazy_load_decompositions", None)
    if not isinstance(load, FunctionType) or not set(load.__code__.co_names) >= _READ:
        return
    state, lock = vars(module), threading.Lock()

    @functools.wraps(load)
    def register() -> None:
        torch = sys.modules["torch"]
        if torch.compiler.is_exporting():
            load()  # the exported program calls it
            return
        with lock:
            if not state["DECOMPOSITIONS_LOADED"]:
                library = torch.library.Library("aten", "IMPL", "FuncTorchBatched")
                for name in _DECOMPOSED:
                    operator = getattr(torch.ops.aten, name).default
                    library.impl(operator, partial(_decompose, operator))
                state.update(VMAP_DECOMPOSITIONS_LIB=library, DECOMPOSITIONS_LOADED=True)

    state["lazy_load_decompositions"] = register


def _decompose(operator: Any, *args: Any, **kwargs: Any) -> Any:
    return importlib.import_module("torch._decomp").decomposition_table[operator](*args, **kwargs)


_BINDINGS, _OF_BINDINGS = "cuda.bindings", ("driver", "runtime")


class _Late(ModuleType):
    """A module that is imported when an attribute of it is read."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # libraries probe every module for some
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def _bindings_late() -> Iterator[None]:
    """Let dlcli's commands import stand-ins for the bindings of CUDA, if these are installed."""
    version = _version_of_bindings() if program.is_running and _BINDINGS not in sys.modules else None
    if version is None:
        yield
        return
    bindings: Any = _Late(_BINDINGS)
    bindings.__version__ = version
    for name in _OF_BINDINGS:
        setattr(bindings, name, _Late(f"{_BINDINGS}.{name}"))
    sys.modules[_BINDINGS] = bindings
    try:
        yield
    finally:
        del sys.modules[_BINDINGS]


@functools.cache
def _version_of_bindings() -> str | None:
    """Return the version of the bindings of CUDA, without importing them; None if they are not installed."""
    try:
        package = find_spec(_BINDINGS)
        path = package.submodule_search_locations if package else None
        found = [PathFinder.find_spec(f"{_BINDINGS}.{name}", path) for name in ("_version", *_OF_BINDINGS)]
        if path is None or found[0] is None or None in found:
            return None
        module = module_from_spec(found[0])
        assert found[0].loader is not None
        found[0].loader.exec_module(module)
        return str(module.__version__)
    except (ImportError, AttributeError):  # without the package, or one that is laid out differently
        return None


# What is done after the code of a module has run.
_CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "torch._library.utils": _locate_operators,
    "torch.library": _locate_kernels,
    "torch._functorch.predispatch": _decompose_late,
    "matplotlib.artist": _describe_no_artists,
}
# In which contexts the code of a module runs.
_WITHIN: dict[str, Callable[[], AbstractContextManager[None]]] = dict.fromkeys(
    ("torch.cuda._graph_annotations", "torch.cuda._utils", "torch.cuda.graphs"), _bindings_late
)


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _CHANGES and name not in _WITHIN:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _ChangingLoader(spec.loader.name, spec.loader.path)
        return spec


class _ChangingLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code, then change the module."""
        with _WITHIN.get(self.name, nullcontext)():
            super().exec_module(module)
        if change := _CHANGES.get(self.name):
            change(module)
