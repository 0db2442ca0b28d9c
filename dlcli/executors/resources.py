"""Cores and devices, shared out among jobs that run side by side."""

from __future__ import annotations

import os

from dlcli.cores import cores, share

# Whoever asks for threads asks one of these; they count only where they are set before the library is loaded.
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


def share_out(jobs: int, accelerator: str) -> list[dict[str, str]]:
    """The environment of each of `jobs` processes: its threads, and one GPU each where there are any.

    Threads beyond the cores spin and wait for each other: two processes with two threads each on two cores were
    measured to take 300 times as long. So a user's own OMP_NUM_THREADS counts only where it is lower than the share.
    """
    threads = min(share(), max(1, cores() // jobs))
    environments = [dict.fromkeys(_THREADS, str(threads)) for _ in range(jobs)]
    # A single one has all devices, as it would in the driver's own process.
    devices = _gpus() if accelerator != "cpu" and jobs > 1 else []
    for index, environment in enumerate(environments):
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = devices[index % len(devices)]
    return environments


def _gpus() -> list[str]:
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return visible.split(",")
    return [str(index) for index in range(torch.cuda.device_count())]
