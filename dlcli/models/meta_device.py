"""Tensors without data: modules are built on the device "meta" to learn their sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dlcli.process.deferred_torch import kernels_only_on_demand


@contextmanager
def on_meta() -> Iterator[None]:
    """Create tensors on the device "meta".

    Modules are built almost always by operators that need none of the kernels in Python, which take half a second to
    load; they are loaded when another operator is called.
    """
    with torch.device("meta"), kernels_only_on_demand() as load:
        if load is None:
            yield
            return
        with _Loading(load):
            yield


class _Loading(TorchDispatchMode):
    """Calls `load` before it repeats an operator that is not implemented."""

    def __init__(self, load: Any) -> None:
        super().__init__()
        self._load = load

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        try:
            return func(*args, **(kwargs or {}))
        except NotImplementedError:
            self._load()
            return func(*args, **(kwargs or {}))
