"""A worker process: runs jobs, one or several at a time, and dies with the process that started it.

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
from collections.abc import Mapping
from functools import partial
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
    state: dict[str, Any] = {"working": False, "hopeless": set()}
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
    """Run jobs and send their outcomes; return False if they were interrupted and the worker must end."""
    from dlcli.executors.job_messages import do_jobs
    from dlcli.job import Job

    jobs = [Job.from_json(text) for text in message["jobs"]]
    is_interrupted = False

    def listen(place: int, event: Event) -> None:
        send_event(channel, event, job=place)
        if isinstance(event, EpochDone) and jobs[place].run_dir in state["hopeless"]:
            raise Pruned

    def tell(place: int, end: Mapping[str, Any]) -> None:
        nonlocal is_interrupted
        is_interrupted = is_interrupted or end["event"] == "interrupted"
        send(channel, **end, job=place)

    do_jobs(jobs, [StepsTogether(partial(listen, place)) for place in range(len(jobs))], tell)
    return not is_interrupted


def _listen(jobs_fd: int, jobs: queue.SimpleQueue[dict[str, Any] | None], state: dict[str, Any]) -> None:
    with os.fdopen(jobs_fd, encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line)
            if "hopeless" in message:
                state["hopeless"].add(message["hopeless"])
            else:
                jobs.put(message)
    if state["working"]:
        # The driver closes the pipe only after the last job, so it is gone. These jobs must end now, since their
        # runs may be resumed at any moment.
        os.kill(os.getpid(), signal.SIGKILL)
    jobs.put(None)


if __name__ == "__main__":
    main()
