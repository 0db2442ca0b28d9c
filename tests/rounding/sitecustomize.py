"""A simulation of another machine's rounding. Python runs this file at its start where PYTHONPATH names its folder.

The output of each layer with parameters is multiplied by 1 - eps, 1 or 1 + eps. Which of them depends on
DLCLI_TEST_ROUNDING (a number), the output's shape and the place in it: a computation that is repeated gives the same
bits, in every process, as on a real machine, and the same rows in a batch of another size do not. Gradients pass
through the factors as well, so that a training's path leaves the usual one within a few epochs.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from functools import lru_cache
from types import ModuleType
from typing import Any

_SEED = int(os.environ.get("DLCLI_TEST_ROUNDING", "0"))
_PATCHED = "torch.nn.modules.module"


class _AfterImport(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Registers the hook once torch's modules can take one, and imports nothing before."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != _PATCHED:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec and spec.loader
        self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        module.register_module_forward_hook(_round_otherwise)


def _round_otherwise(module: Any, arguments: Any, output: Any) -> Any:
    import torch

    if torch.compiler.is_compiling() or torch.jit.is_tracing() or not any(True for _ in module._parameters):
        return None
    return _rounded(output)


def _rounded(output: Any) -> Any:
    import torch

    if isinstance(output, tuple):
        parts = [_rounded(part) for part in output]
        return type(output)(*parts) if hasattr(output, "_fields") else tuple(parts)
    if type(output) is torch.Tensor and output.dtype in (torch.float32, torch.float64):
        return output * _factors(output.shape, output.dtype, output.device)
    return output


@lru_cache(64)
def _factors(shape: Any, dtype: Any, device: Any) -> Any:
    import torch

    random = torch.Generator().manual_seed(hash((_SEED, tuple(shape))))
    steps = torch.randint(-1, 2, tuple(shape), generator=random)
    with torch.inference_mode(False), torch.no_grad():
        return (1 + steps * torch.finfo(dtype).eps).to(device, dtype)


if _SEED:
    sys.meta_path.insert(0, _AfterImport())
