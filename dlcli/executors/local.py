"""`executor=local`: this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

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
    """

    jobs: Annotated[int, Ge(1)] = 1
    recycle: Annotated[int, Ge(1)] = 20

    def open(self, config: Mapping[str, Any], data: Data, jobs: int) -> Executor:
        """An executor for so many jobs on the same rows: in this process, or in as many workers as there is use for."""
        from dlcli.executors.in_process import InProcess
        from dlcli.executors.resources import share_out
        from dlcli.executors.workers import Workers

        side_by_side = min(self.jobs, jobs)
        if side_by_side <= 1:
            return InProcess()
        places = share_out(side_by_side, config["trainer"]["accelerator"])
        return Workers(places, self.recycle, config, data)
