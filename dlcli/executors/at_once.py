"""How many jobs of an experiment run at the same time on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlcli.assembly.batch_rows import automatic_rows
from dlcli.inference.evaluation import choose_device
from dlcli.process.cores import share
from dlcli.process.memory import free_memory

if TYPE_CHECKING:
    from dlcli.datasets.data import Data

# Number of steps from which on `auto` runs jobs in parallel; even for the smallest network they take five seconds.
MANY_STEPS = 20_000

# Memory that `auto` assumes for a job: copies of the rows, and the memory of the libraries.
_COPIES, _WORKER_BYTES = 4, 300 << 20


def jobs_at_once(config: Mapping[str, Any], jobs: int, data: Data) -> int:
    """Return the number of jobs that run at the same time, of `jobs` jobs of a configuration on a dataset.

    With `auto`, one job at a time uses an accelerator. On a CPU, as many jobs run as cores and memory allow, if that
    saves more time than the imports of the worker processes take. Results do not depend on it, except for rounding
    with other numbers of threads.
    """
    most = most_at_once(config, jobs, data)
    is_short = jobs * steps_of(config, len(data)) < MANY_STEPS
    return 1 if is_short and config["executor"].get("jobs", 1) == "auto" else most


def most_at_once(config: Mapping[str, Any], jobs: int, data: Data) -> int:
    """Return the number of processes for jobs, or with `auto` the most for which there are cores and memory."""
    asked = config["executor"].get("jobs", 1)
    if asked != "auto":
        return min(asked, jobs)
    trainer = config["trainer"]
    if choose_device(trainer["accelerator"]).type != "cpu" or trainer["devices"] not in (1, "1", "auto"):
        return 1
    room = free_memory() // (_COPIES * bytes_of_rows(data.x) + _WORKER_BYTES)
    return max(1, min(share(), jobs, room))


def bytes_of_rows(x: Any) -> int:
    """Return the approximate size of raw rows in bytes; 0 for rows that are read on demand."""
    if hasattr(x, "memory_usage"):
        return int(x.memory_usage(deep=False).sum())
    return int(getattr(x, "nbytes", 0))


def steps_of(config: Mapping[str, Any], rows: int) -> int:
    """Return an upper bound of the steps of a job, which may stop early and has fewer training rows; 0 if unknown."""
    batch, trainer = config["dataset"].get("batch_size"), config["trainer"]
    batch = automatic_rows(rows) if batch == "auto" else rows if batch == "full" else batch
    epochs, most = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    if not isinstance(batch, int) or not isinstance(epochs, int) or batch < 1:
        return 0
    steps = max(epochs, 0) * -(-rows // batch)
    return min(steps, most) if isinstance(most, int) and most >= 0 else steps
