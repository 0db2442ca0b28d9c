"""A worker process: waits for jobs, does them one after the other, and dies with the driver.

`python -m dlcli.executors.worker DRIVER_PID DATA_FD`; jobs come on stdin. Its environment (threads, device) is set by
who starts it, before torch is imported here.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from typing import IO, Any

from dlcli.distributed.lifeline import die_with


def main() -> None:
    """Do jobs until stdin ends."""
    driver, data_fd = int(sys.argv[1]), int(sys.argv[2])
    die_with(driver)
    # What a user's model prints must not get between the messages.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    jobs: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    state: dict[str, Any] = {"working": False, "hopeless": None}
    threading.Thread(target=_listen, args=(sys.stdin, jobs, state), daemon=True).start()

    from dlcli.quiet import quiet

    with quiet():
        _prepare(jobs.get(), data_fd)
        while (message := jobs.get()) is not None:
            state["working"] = True
            if not _do(message, channel, state):
                break
            state["working"] = False
    # All is recorded and said. The interpreter's own end would trip over the thread that still reads stdin.
    sys.stderr.flush()
    os._exit(0)


def _prepare(message: dict[str, Any] | None, data_fd: int) -> None:
    from dlcli.datasets.raw_rows import preload
    from dlcli.datasets.sharing import read_shared

    if message is not None:
        preload(message["dataset"], read_shared(data_fd))


def _do(message: dict[str, Any], channel: IO[str], state: dict[str, Any]) -> bool:
    """Do one job and say what came of it; false where the driver wants no more."""
    from dlcli.executors.channel import Sender, send
    from dlcli.executors.elsewhere import do_job
    from dlcli.job import Job

    job = Job.from_json(message["job"])
    end = do_job(job, Sender(channel, lambda: state["hopeless"] == job.run_dir))
    send(channel, **end)
    return bool(end["event"] != "interrupted")


def _listen(stdin: IO[str], jobs: queue.SimpleQueue[dict[str, Any] | None], state: dict[str, Any]) -> None:
    for line in stdin:
        message = json.loads(line)
        if "hopeless" in message:
            state["hopeless"] = message["hopeless"]
        else:
            jobs.put(message)
    if state["working"]:
        # The driver closes stdin after the last job only: it is gone. What it left may be resumed at any moment.
        os.kill(os.getpid(), signal.SIGKILL)
    jobs.put(None)


if __name__ == "__main__":
    main()
