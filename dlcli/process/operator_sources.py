"""Import torch without searching all modules for the sources of its operators.

torch notes file and line of each operator that it defines, and the module that defines a kernel for fake tensors.
`inspect.getframeinfo` and `inspect.getmodule` find them, which resolve the paths of all modules again and again: that
takes a tenth of the CPU time of `import torch`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import FrameType, ModuleType
from typing import Any


def note_operators_quickly() -> None:
    """Replace torch's functions if torch has not been imported yet. A second call has no effect."""
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


# The modules, and what replaces a name of theirs, if they have it.
_REPLACED: dict[str, tuple[str, Callable[..., Any] | ModuleType]] = {
    "torch._library.utils": ("get_source", get_source),
    "torch.library": ("inspect", _Inspect("inspect")),
}


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _REPLACED:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _QuickLoader(spec.loader.name, spec.loader.path)
        return spec


class _QuickLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code, then replace the name."""
        super().exec_module(module)
        name, value = _REPLACED[self.name]
        if hasattr(module, name):
            setattr(module, name, value)
