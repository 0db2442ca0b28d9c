"""Import torch without reading the source files of its operators.

torch notes file and line of each operator that it defines. `inspect.getframeinfo` finds them, and reads the source
around the line as well: for that, it resolves the paths of all modules again and again, which takes a tenth of the CPU
time of `import torch`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

_MODULE, _FUNCTION = "torch._library.utils", "get_source"


def note_operators_quickly() -> None:
    """Replace torch's function if torch has not been imported yet. A second call has no effect."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def get_source(stacklevel: int) -> str:
    """Return the caller as `/path/to/file.py:42`; 1 is the caller of this function, 2 its caller, and so on."""
    frame = sys._getframe(stacklevel)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _QuickLoader(spec.loader.name, spec.loader.path)
        return spec


class _QuickLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code, then replace the function, if there still is one of this name."""
        super().exec_module(module)
        if hasattr(module, _FUNCTION):
            setattr(module, _FUNCTION, get_source)
