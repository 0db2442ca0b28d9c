"""Collective operations on the process group, which also work in a process without one."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def is_group() -> bool:
    """Return whether this process is in a process group."""
    return distributed.is_available() and distributed.is_initialized()


def all_gather_bytes(message: bytes, device: torch.device) -> list[bytes]:
    """Return the messages of all ranks of the process group, by rank (an all-gather of bytes)."""
    lengths = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(distributed.get_world_size())]
    distributed.all_gather(lengths, torch.tensor([len(message)], device=device))
    longest = max(int(length) for length in lengths)
    mine = torch.frombuffer(bytearray(message.ljust(longest, b"\0")), dtype=torch.uint8).to(device)
    texts = [torch.empty_like(mine) for _ in lengths]
    distributed.all_gather(texts, mine)
    pairs = zip(texts, lengths, strict=True)
    return [text[: int(length)].cpu().numpy().tobytes() for text, length in pairs]


def summed(values: Tensor) -> Tensor:
    """Return the sum of the values over all ranks (in place); without a process group, the values themselves."""
    if is_group():
        distributed.all_reduce(values)
    return values


def gathered_rows(rows: Tensor) -> Tensor:
    """Return the rows of all ranks `(N, ...)`, by rank; each rank may have another number of rows."""
    lengths = [
        torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(distributed.get_world_size())
    ]
    distributed.all_gather(lengths, torch.tensor([len(rows)], device=rows.device))
    padded = rows.new_zeros((max(map(int, lengths)), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(parts, padded)
    return torch.cat([part[: int(length)] for part, length in zip(parts, lengths, strict=True)])
