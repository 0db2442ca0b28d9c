"""A worker process: runs jobs one after the other, and dies with the process that started it.

It is forked from the pool's template (`dlcli.executors.template`). Where forks are not safe, the template starts
`python -m dlcli.executors.worker TEMPLATE_PID DATA_FD JOBS_FD CHANNEL_FD` instead.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from typing import IO, TYPE_CHECKING, Any, NoReturn

from dlcli.errors import Pruned
from dlcli.events import EpochDone, Event
from dlcli.executors.channel import StepsTogether, send, send_event
from dlcli.process.lifeline import die_with
from dlcli.process.quiet import quiet
from dlcli.sanitize.presentable import present_process

if TYPE_CHECKING:
    from dlcli.datasets.data import Data


# Modules that load numpy are imported late: the process must be bound to its template before that.


def main() -> None:
    """Run a worker that was not forked: its environment (threads, device) is set before it imports torch."""
    template, data_fd, jobs_fd, channel_fd = map(int, sys.argv[1:])
    die_with(template)
    present_process()
    with quiet():
        from dlcli.datasets.shared_memory import read_shared

        work(read_shared(data_fd), jobs_fd, channel_fd)


def work(data: Data, jobs_fd: int, channel_fd: int) -> NoReturn:
    """Run jobs until the driver closes the pipe, then exit.

    Args:
        data: the dataset.
        jobs_fd: pipe from the driver: the `dataset` section, then jobs.
        channel_fd: pipe to the driver, which only the worker's messages are written to.
    """
    from dlcli.datasets.raw_rows import preload

    channel = os.fdopen(channel_fd, "w", encoding="utf-8")
    jobs: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    state: dict[str, Any] = {"working": False, "hopeless": None}
    threading.Thread(target=_listen, args=(jobs_fd, jobs, state), daemon=True).start()
    while (message := jobs.get()) is not None:
        if "dataset" in message:
            preload(message["dataset"], data)
            continue
        state["working"] = True
        if not _do(message, channel, state):
            break
        state["working"] = False
    # Everything is recorded and sent. The interpreter's finalization would fail on the thread that is still reading.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _do(message: dict[str, Any], channel: IO[str], state: dict[str, Any]) -> bool:
    """Run one job and send its outcome; return False if it was interrupted and the worker must end."""
    from dlcli.executors.job_messages import do_job
    from dlcli.job import Job

    job = Job.from_json(message["job"])

    def listen(event: Event) -> None:
        send_event(channel, event)
        if isinstance(event, EpochDone) and state["hopeless"] == job.run_dir:
            raise Pruned

    end = do_job(job, StepsTogether(listen))
    send(channel, **end)
    return bool(end["event"] != "interrupted")


def _listen(jobs_fd: int, jobs: queue.SimpleQueue[dict[str, Any] | None], state: dict[str, Any]) -> None:
    with os.fdopen(jobs_fd, encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line)
            if "hopeless" in message:
                state["hopeless"] = message["hopeless"]
            else:
                jobs.put(message)
    if state["working"]:
        # The driver closes the pipe only after the last job, so it is gone. This job must end now, since its run may be
        # resumed at any moment.
        os.kill(os.getpid(), signal.SIGKILL)
    jobs.put(None)


if __name__ == "__main__":
    main()
