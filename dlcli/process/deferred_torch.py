"""Parts of torch that most commands never use: its compiler, and kernels in Python for tensors without data."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from dlcli.process import program
from dlcli.process.deferring import DeferredModule, DeferringLoader, PartLoader, loaded, run_here

COMPILER, BACKEND, EXPORT_TOOLS = "torch._dynamo", "torch._inductor", "torch._export.utils"
# Registers kernels in Python for tensors on the device "meta", a quarter of the time of `import torch`.
KERNELS = "torch._meta_registrations"

# What the compiler looks up in torch, and must find as it is without this module.
_BEFORE_COMPILER = (KERNELS, "torch.export")

# Operators that create tensors on the device "meta" from nothing; others get such tensors, or call these.
_CREATING = ("empty.memory_format", "empty_strided", "tril_indices", "triu_indices")


class CompilerLoader(DeferringLoader):
    """Defers torch's compiler. Three of its names are used by programs that compile nothing; others load it."""

    def attribute(self, module: ModuleType, name: str) -> Any:
        """Return a name of programs that compile nothing, or load the compiler."""
        own = {"graph_break": _break_graph, "OptimizedModule": _NothingOptimized, "disable": _disable}
        return own[name] if name in own else super().attribute(module, name)

    def run(self, module: ModuleType) -> ModuleType:
        """Run the compiler's code after that of the other parts of torch."""
        if isinstance(module, DeferredModule) and not self.is_running:
            for name in _BEFORE_COMPILER:
                run_here(name)
        return super().run(module)


class ExportLoader(PartLoader):
    """Defers tools of `torch.export`, which `torch.vmap` asks whether it is being exported."""

    def stand_in(self, module: ModuleType, name: str) -> Any:
        """Return a function that loads the tools while a model is exported, and returns None otherwise."""
        find = super().stand_in(module, name)
        return lambda: find() if sys.modules["torch"].compiler.is_exporting() else None


class KernelsLoader(DeferringLoader):
    """Defers kernels for tensors on the device "meta" in dlcli's commands: the first such tensor loads them.

    In other programs, of which several threads may create such tensors at once, they are loaded with torch.
    """

    _hook: Any = None  # kernels that are registered until then

    def exec_module(self, module: ModuleType) -> None:
        """Let the first tensor load the module. It is loaded at once if generators of random numbers need it."""
        super().exec_module(module)
        if isinstance(module, DeferredModule) and not program.is_running:
            self.run(module)
        elif isinstance(module, DeferredModule):
            self.hook(module)
            torch = sys.modules["torch"]
            try:
                # torch 2.15 does this in a module that the kernels import.
                if (make := getattr(torch._C, "_set_generator_metaclass", None)) is not None:
                    make(importlib.import_module("torch._custom_class_base").CustomClassBaseMeta)
                torch._C.Generator()
            except Exception:  # another version of torch
                self.run(module)

    def hook(self, module: ModuleType) -> None:
        """Register kernels that load the module before they create a tensor."""
        torch = sys.modules["torch"]
        self._hook = torch.library.Library("aten", "IMPL", "Meta")
        for word in _CREATING:
            name, _, overload = word.partition(".")
            operator = getattr(getattr(torch.ops.aten, name), overload or "default")
            self._hook.impl(word, partial(self._create, module, operator), "Meta")

    def unhook(self) -> None:
        """Let tensors be created without loading the module."""
        self._hook = None

    def _create(self, module: ModuleType, operator: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.is_running:
            self.run(module)
        self.unhook()
        return operator(*args, **kwargs)

    def run(self, module: ModuleType) -> ModuleType:
        """Register the kernels; if that fails or is interrupted, the next tensor repeats it."""
        super().run(module)
        if not self.is_running:
            self.unhook()
        return module


@contextmanager
def kernels_only_on_demand() -> Iterator[Callable[[], object] | None]:
    """Create tensors on the device "meta" without loading the kernels.

    Yields:
        A function that loads them, which operators need that are implemented in Python only; None if they are loaded.
    """
    module = sys.modules.get(KERNELS)  # other versions of torch may have none
    loader = vars(module).get("__loader__") if isinstance(module, DeferredModule) else None
    if module is None or not isinstance(loader, KernelsLoader):
        yield None
        return
    loader.unhook()
    try:
        yield partial(loader.run, module)
    finally:
        if isinstance(module, DeferredModule):
            loader.hook(module)


def _disable(fn: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Return a function that calls `fn`, by way of the compiler's `disable` once the compiler is loaded."""
    if not isinstance(fn, FunctionType):
        return loaded(COMPILER).disable(fn, *args, **kwargs)

    disabled: Any = fn

    @functools.wraps(fn)
    def call(*fn_args: Any, **fn_kwargs: Any) -> Any:
        nonlocal disabled
        if disabled is fn and not isinstance(sys.modules[COMPILER], DeferredModule):
            disabled = loaded(COMPILER).disable(fn, *args, **kwargs)
        return disabled(*fn_args, **fn_kwargs)

    return call


def _break_graph(*args: Any, **kwargs: Any) -> None:
    """Break the graph that is being compiled; does nothing before the compiler is loaded."""
    compiler: Any = sys.modules[COMPILER]
    if not isinstance(compiler, DeferredModule):
        compiler.graph_break(*args, **kwargs)


class _IsOptimized(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        real = vars(sys.modules[COMPILER]).get("OptimizedModule", cls)
        return real is not cls and isinstance(instance, real)


class _NothingOptimized(metaclass=_IsOptimized):
    """Replaces `torch._dynamo.OptimizedModule`, which has no instances before the compiler is loaded."""
