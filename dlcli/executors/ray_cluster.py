"""`executor=ray`: jobs on a Ray cluster, or on this machine through Ray. Requires `pip install ray`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt

from dlcli.errors import ConfigError, first_line
from dlcli.formatting import counted

if TYPE_CHECKING:
    from dlcli.datasets.data import Data
    from dlcli.executors.executor import Executor


@dataclass(frozen=True)
class Ray:
    """Configuration section `executor` for Ray.

    All machines must have access to the same `runs_dir`, on a shared disk.

    Args:
        jobs: number of jobs that run at the same time.
        address: address of a cluster (HOST:PORT, or auto for the one on this machine); None starts Ray here.
        cpus: cores per job, and its number of threads.
        gpus: GPUs per job; may be a fraction.
        retries: how often a job whose machine or process has died continues elsewhere.
    """

    jobs: Annotated[int, Ge(1)] = 4
    address: str | None = None
    cpus: Annotated[float, Gt(0)] = 1
    gpus: Annotated[float, Ge(0)] = 0
    retries: Annotated[int, Ge(0)] = 3

    @property
    def opening(self) -> str:
        """A note for the user, since opening the executor takes time."""
        action = f"Connecting to Ray at {self.address}" if self.address else "Starting Ray on this machine"
        return (
            f"{action} can take half a minute; then up to {counted(self.jobs, 'job')} run at the same time."
        )

    def open(self, config: Mapping[str, Any], data: Data, jobs: int, *, apart: bool = False) -> Executor:
        """Return an executor for jobs on the same rows."""
        try:
            from dlcli.executors.ray_pool import RayPool
        except ImportError as error:
            missing = error.name == "ray"
            what = "ray is not installed" if missing else f"ray cannot be imported: {first_line(error)}"
            raise ConfigError(what, "executor", "pip install ray") from error
        cores = max(1, round(self.jobs * self.cpus))
        resources = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": self.retries}
        return RayPool(self.address, cores, resources, config["dataset"], data)
