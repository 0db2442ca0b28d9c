"""Whether somebody else has started several processes for one training; known from the environment alone."""

from __future__ import annotations

import os

from dlcli.errors import ConfigError

# What torchrun says to each process, and rank 0 to the ranks that it starts.
_RANK = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


def is_launched() -> bool:
    """Whether this is one of several processes, started by torchrun, by SLURM's srun or by rank 0."""
    if is_slurm():
        return int(os.environ["SLURM_NTASKS"]) > 1
    return set(os.environ) >= _RANK and int(os.environ["WORLD_SIZE"]) > 1


def is_slurm() -> bool:
    """Whether srun started this process: a batch script itself is no step."""
    return {"SLURM_STEP_ID", "SLURM_PROCID", "SLURM_NTASKS"} <= set(os.environ) and not (
        set(os.environ) >= _RANK
    )


def refuse_launched(what: str) -> None:
    """Refuse what one process leads by itself.

    Raises:
        ConfigError: this is one of several processes.
    """
    if is_launched():
        raise ConfigError(
            f"{what} cannot use processes that torchrun or srun have started: a trial may end, and others go on",
            "trainer",
            "Start it without them: with trainer=ddp each trial starts its own processes.",
        )
