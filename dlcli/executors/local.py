"""`executor=local`: this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt

from dlcli.timespan import seconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from dlcli.datasets.data import Data
    from dlcli.executors.base import Executor


@dataclass(frozen=True)
class Local:
    """The `executor` section.

    Args:
        jobs: how many jobs at once.
        recycle: a worker process is replaced after so many jobs.
        job_timeout: a job that takes longer is ended, and has failed: seconds, or text such as 30m, 2h.
        silence: a worker process that gives no sign of life for so long is replaced; None waits for it.
    """

    jobs: Annotated[int, Ge(1)] = 1
    recycle: Annotated[int, Ge(1)] = 20
    job_timeout: Annotated[float, Gt(0)] | str | None = None
    silence: Annotated[float, Gt(0)] | str | None = "10m"

    def __post_init__(self) -> None:
        seconds_of(self.job_timeout, "executor.job_timeout")
        seconds_of(self.silence, "executor.silence")

    def open(self, config: Mapping[str, Any], data: Data, jobs: int, *, apart: bool = False) -> Executor:
        """An executor for so many jobs on the same rows: in this process, or in as many workers as there is use for.

        A job that may have to be ended from outside runs in a worker, also where it is alone at a time (`apart`, or its
        own limits say so). Processes that a launcher has started train themselves.
        """
        from dlcli.distributed.launcher import is_launched
        from dlcli.executors.in_process import InProcess
        from dlcli.executors.limits import Limits
        from dlcli.executors.resources import share_out
        from dlcli.executors.workers import Workers
        from dlcli.supervision import is_supervised

        side_by_side = min(self.jobs, jobs)
        limits = Limits.of(config)
        # A command's parent process can end its only job; nobody can from a notebook.
        apart = apart or (limits.any_of_time and jobs > 1) or (limits.job is not None and not is_supervised())
        if is_launched() or (side_by_side <= 1 and not apart):
            return InProcess()
        places = share_out(side_by_side, config["trainer"]["accelerator"])
        return Workers(places, self.recycle, config, data)
