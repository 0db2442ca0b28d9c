"""Detection of a launcher, such as torchrun or srun, from environment variables alone."""

from __future__ import annotations

import os
import sys

from dlcli.config.pasted import dlcli_line
from dlcli.errors import ConfigError

# Variables that torchrun sets in each process, and rank 0 in the ranks that it starts.
_RANK = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


def is_launched() -> bool:
    """Return whether this is one of several processes started by torchrun, by SLURM's srun or by rank 0."""
    if is_slurm():
        return int(os.environ["SLURM_NTASKS"]) > 1
    return set(os.environ) >= _RANK and int(os.environ["WORLD_SIZE"]) > 1


def is_slurm() -> bool:
    """Return whether srun started this process; a batch script itself is not a step."""
    return {"SLURM_STEP_ID", "SLURM_PROCID", "SLURM_NTASKS"} <= set(os.environ) and not (
        set(os.environ) >= _RANK
    )


def refuse_allocation() -> None:
    """Refuse a number of SLURM tasks that Lightning does not accept.

    Raises:
        ConfigError: There are several tasks, and their number is not given per node.
    """
    tasks, by_node = os.environ.get("SLURM_NTASKS", "1"), "SLURM_NTASKS_PER_NODE" in os.environ
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")  # Lightning ignores SLURM then
    if by_node or interactive or not tasks.isdecimal() or int(tasks) < 2:
        return
    line = dlcli_line(*sys.argv[1:])
    ways = [f"For one process: SLURM_NTASKS=1 {line}"]
    if sys.argv[1:2] == ["train"]:  # a run that is resumed keeps its trainer
        ways.append(f"For several: srun --ntasks-per-node={tasks} {line} trainer=ddp")
    raise ConfigError(
        f"SLURM_NTASKS={tasks}: the allocation is for several tasks, and this is one process",
        "SLURM_NTASKS",
        "\n".join(ways),
    )


def refuse_launched(what: str) -> None:
    """Refuse a command that a single process must control.

    Raises:
        ConfigError: This is one of several processes.
    """
    if is_launched():
        raise ConfigError(
            f"{what} cannot run under torchrun or srun: single trials may end while others continue",
            "trainer",
            "Start it without a launcher: with trainer=ddp each trial starts its own processes.",
        )
