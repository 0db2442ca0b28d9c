"""Detect out-of-memory errors, and find a batch size that fits."""

from __future__ import annotations

import ctypes
import gc

import torch

from dlcli.errors import OutOfMemory
from dlcli.tasks.base import Task
from dlcli.training.fields import Fields
from dlcli.training.loader import BatchLoader
from dlcli.training.network import Network


def release_freed() -> None:
    """Return freed memory to the system; glibc would keep as much as the size of a large table."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed, on a device or on the host (where torch raises a plain RuntimeError)."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or "can't allocate memory" in text or "Cannot allocate memory" in text)
    )


def out_of_memory_error(
    network: Network,
    task: Task,
    train: Fields,
    batch_size: int,
    device: torch.device,
    batch_tokens: int | None = None,
) -> OutOfMemory:
    """Return the error to show, with the batch size that failed and one that fits, which is determined by trying."""
    tried, unit, key = min(batch_size, len(train["y"])), "rows", "dataset.batch_size"
    if batch_tokens:
        tried, unit, key = batch_tokens, "tokens", "dataset.batch_tokens"
    size = _fitting(network.to(device), task, train, tried, device, by_tokens=bool(batch_tokens))
    if size is None:
        hint = "Even a single row does not fit: choose a smaller model."
    else:
        hint = f"{key}={size} fits (forward and backward were tried)"
        hint += f"; trainer.accumulate_grad_batches={-(-tried // size)} keeps the effective batch size."
    return OutOfMemory(f"a batch of {tried} {unit} does not fit into the memory of {device}", key, hint)


def _fitting(
    network: Network, task: Task, train: Fields, tried: int, device: torch.device, *, by_tokens: bool
) -> int | None:
    """Return the first of tried/2, tried/4, ... whose forward and backward pass succeed, or None."""
    size = tried // 2
    while size >= 1:
        network.zero_grad(set_to_none=True)
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            batch = next(iter(BatchLoader(train, size, tokens=size if by_tokens else None)))
            batch = {name: values.to(device) for name, values in batch.items()}
            task.step(network, batch)[0].backward()
            return size
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            size //= 2
    return None
