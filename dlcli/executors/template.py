"""The template of a pool's workers: a process that imports what a job needs, maps the rows, computes nothing, and
forks a worker whenever the driver asks for one. So imports are paid once, and workers share the memory these take.

`python -m dlcli.executors.template DRIVER_PID DATA_FD QUESTIONS_FD TARGETS...`. The driver asks one question at a time
and waits for the answer. To `{"place": ENVIRONMENT}`, sent with the worker's ends of two pipes, it is `{"pid": N}` of a
new worker, or `{"error": TEXT}`; to `{"ended": PID}`, a worker's exit code (minus the number of a signal) as
`{"code": N}`, and `{}` while it lives.

The fork server of multiprocessing does not fit: there is one for a whole program, it runs the user's main module again
in each worker, and a worker outlives it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dlcli.process.lifeline import die_with
from dlcli.process.quiet import quiet
from dlcli.sanitize.presentable import present_process, print_traceback, to_stderr

if TYPE_CHECKING:
    from dlcli.datasets.data import Data

_BLAS_THREADS = "OPENBLAS_NUM_THREADS"

# Libraries that start threads when they are loaded: a template has one only. What workers lose by it, `_settle` gives
# back, but for a thread of pyarrow's that returns memory of an allocator which it does not use.
ONE_THREAD = {_BLAS_THREADS: "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}

# What `run_job` imports only when it gets there, the heavy of it; a test looks for what is missing.
_NEEDED = (
    "dlcli.distributed.ranks",
    "dlcli.executors.channel",
    "dlcli.executors.job_messages",
    "dlcli.assembly.finder_run",
    "dlcli.inference.evaluate",
    "dlcli.assembly.parts",
    "dlcli.reports.report",
    "dlcli.reports.summary",
    "dlcli.tracking.recorder",
    "dlcli.training.finders",
    "omegaconf",
    "pyarrow.parquet",
    "skops.io",
    "sqlalchemy.dialects.sqlite",
    "torchinfo",
)


def main() -> None:
    """Answer until the driver has no more questions."""
    # A supervisor, or a shell's `trap '' CHLD`, may have it ignored: the kernel would keep no exit codes.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    driver, data_fd, questions_fd = map(int, sys.argv[1:4])
    die_with(driver)
    present_process()
    # What libraries and users' models print goes where the driver's errors go.
    os.dup2(2, 1)
    _end_after(lambda: _answer(data_fd, Connection(questions_fd), sys.argv[4:]))


def _end_after(do: Callable[[], None]) -> NoReturn:
    """End this process without the interpreter's own end: slow, and in a fork not its business."""
    status = 1
    try:
        do()
        status = 0
    except BaseException:
        print_traceback()
    finally:
        os._exit(status)


def _answer(data_fd: int, questions: Connection, targets: Sequence[str]) -> None:
    with quiet():
        # Where a fork is not safe there is no use in imports: each worker is started anew.
        data = _warm_up(data_fd, targets) if sys.platform == "linux" else None
        with contextlib.suppress(EOFError):
            while True:
                question = json.loads(questions.recv_bytes())
                if "place" in question:
                    answer = _start(question["place"], data, data_fd, questions)
                else:
                    answer = _ending(question["ended"])
                questions.send_bytes(json.dumps(answer).encode())


def _warm_up(data_fd: int, targets: Sequence[str]) -> Data | None:
    """Import what a job needs; the rows, or None where forks would not be safe."""
    from dlcli.config.build import locate
    from dlcli.datasets.shared_memory import read_shared
    from dlcli.tracking.connection import load_mlflow

    gc.disable()
    load_mlflow("")
    for module in _NEEDED:
        importlib.import_module(module)
    for target in targets:
        locate(target)
    data = read_shared(data_fd)
    # What is there now stays: looking through it for garbage would copy it into each worker's memory.
    gc.freeze()
    gc.enable()
    more = len(list(Path("/proc/self/task").iterdir())) - 1
    if not more:
        return data
    _note(f"a library has started threads, {more} of them")
    return None


def _note(why: str) -> None:
    if os.environ.get("DLCLI_DEBUG") == "1":
        to_stderr(f"dlcli: workers are started anew, not forked, which costs seconds: {why}\n")


def _start(
    place: Mapping[str, str], data: Data | None, data_fd: int, questions: Connection
) -> dict[str, Any]:
    """Fork a worker: its process ID, or why there is none."""
    template = os.getpid()
    pipes = recv_handle(questions), recv_handle(questions)
    try:
        worker = os.fork()
        if not worker:
            questions.close()
            _end_after(lambda: _be_worker(template, place, data, data_fd, pipes))
    except OSError as error:  # too many processes, or no memory
        return {"error": str(error)}
    finally:
        for pipe in pipes:
            os.close(pipe)
    return {"pid": worker}


def _be_worker(
    template: int, place: Mapping[str, str], data: Data | None, data_fd: int, pipes: tuple[int, int]
) -> None:
    os.environ.update(place)
    if data is None or _has_met_a_device():
        _start_anew(template, data_fd, pipes)
    die_with(template)
    _settle()
    from dlcli.executors.worker import work

    work(data, *pipes)


def _ending(worker: int) -> dict[str, Any]:
    """The exit code of a worker that has ended."""
    try:
        pid, status = os.waitpid(worker, os.WNOHANG)
    except ChildProcessError:  # a library has set SIGCHLD, or waited for all
        return {"code": 0}
    return {"code": os.waitstatus_to_exitcode(status)} if pid else {}


def _has_met_a_device() -> bool:
    """Whether CUDA was looked at before the fork: it would refuse to work here."""
    import torch

    if not torch.cuda._is_in_bad_fork():
        return False
    _note("CUDA was looked at while libraries were imported")
    return True


def _start_anew(template: int, data_fd: int, pipes: tuple[int, int]) -> NoReturn:
    for fd in (data_fd, *pipes):
        os.set_inheritable(fd, True)
    arguments = map(str, (template, data_fd, *pipes))
    os.execv(sys.executable, [sys.executable, "-P", "-m", "dlcli.executors.worker", *arguments])


def _settle() -> None:
    """What a process that starts anew has of its own: its threads, and its chance."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    np.random.seed()
    threadpool_limits(int(os.environ[_BLAS_THREADS]), user_api="blas")


if __name__ == "__main__":
    main()
