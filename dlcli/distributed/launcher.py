"""Whether somebody else has started several processes for one training; known from the environment alone."""

from __future__ import annotations

import os

# What torchrun says to each process, and rank 0 to the ranks that it starts.
_RANK = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


def is_launched() -> bool:
    """Whether this is one of several processes, started by torchrun, by SLURM's srun or by rank 0."""
    if is_slurm():
        return int(os.environ["SLURM_NTASKS"]) > 1
    return set(os.environ) >= _RANK and int(os.environ["WORLD_SIZE"]) > 1


def is_follower() -> bool:
    """Whether this is such a process and not the first one, which alone keeps the record."""
    return is_launched() and os.environ["SLURM_PROCID" if is_slurm() else "RANK"] != "0"


def is_slurm() -> bool:
    """Whether srun started this process: a batch script itself is no step."""
    return {"SLURM_STEP_ID", "SLURM_PROCID", "SLURM_NTASKS"} <= set(os.environ) and not (
        set(os.environ) >= _RANK
    )
