"""The template of a pool's workers: a process that imports what a job needs, maps the rows, and forks workers.

The template itself computes nothing. Modules are imported once, and workers share their memory. A command whose
overrides ask for workers imports these modules and forks its template before anything else (`fork_template`);
otherwise, in a notebook for example, the template is a separate program that imports them itself:
`python -m dlcli.executors.template DRIVER_PID REQUESTS_FD`.

The driver sends one request at a time and waits for the answer:

- `{"targets": TARGETS, "environment": ENVIRONMENT, "path": PATH}`, sent with the file descriptor of the rows, takes the
  driver's environment and `sys.path`, which may have changed since, imports what the jobs name, and maps the rows. The
  answer is `{}`.
- `{"place": ENVIRONMENT}`, sent with the worker's ends of two pipes, forks a worker. The answer is `{"pid": N}`, or
  `{"error": TEXT}`.
- `{"ended": PID}` asks for a worker's exit code. The answer is `{"code": N}` (negative for a signal), or `{}` while the
  worker is alive.

The fork server of multiprocessing is unsuitable: there is one per program, it runs the user's main module again in each
worker, and workers outlive it.
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

from dlcli.config.build import locate
from dlcli.process.lifeline import die_with, name_process
from dlcli.process.quiet import quiet
from dlcli.sanitize.presentable import present_process, print_traceback, to_stderr
from dlcli.tracking.connection import URI_VARIABLE, load_mlflow

if TYPE_CHECKING:
    from dlcli.datasets.data import Data

_BLAS_THREADS = "OPENBLAS_NUM_THREADS"

# Keeps libraries from starting threads on import, since a template must have a single thread to fork safely. `_settle`
# restores the workers' threads, except pyarrow's background thread for an allocator that it does not use.
ONE_THREAD = {"OMP_NUM_THREADS": "1", _BLAS_THREADS: "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}

# Heavy modules that `run_job` imports late; a test reports missing ones.
_NEEDED = (
    "dlcli.job",
    "dlcli.distributed.ranks",
    "dlcli.executors.channel",
    "dlcli.executors.job_messages",
    "dlcli.assembly.finder_run",
    "dlcli.inference.evaluation",
    "dlcli.assembly.parts",
    "dlcli.reports.run_report",
    "dlcli.reports.summary",
    "dlcli.tracking.recorder",
    "dlcli.training.finders",
    "omegaconf",
    "pyarrow.parquet",
    "torchinfo",
)


# Name of a forked template in the output of `ps`.
NAME = "dlcli-template"


def main() -> None:
    """Answer requests until the driver closes the pipe."""
    driver, requests_fd = map(int, sys.argv[1:3])
    present_process()
    _be_template(driver, requests_fd)


def fork_template(requests_fd: int, other_fd: int, later: Sequence[str] = ()) -> int:
    """Fork this process, which has imported `_NEEDED` and has one thread, as its own template; return the process ID.

    The main thread calls it: the template ends with the thread that has forked it.

    Args:
        requests_fd: the template's end of the pipe of requests.
        other_fd: the driver's end, which the template closes.
        later: further modules, which the template imports before it answers.
    """
    driver = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    os.close(other_fd)
    _end_after(lambda: _be_fork(driver, requests_fd, later))


def _be_fork(driver: int, requests_fd: int, later: Sequence[str]) -> None:
    # Ctrl-C must reach the driver only, which then signals its workers once.
    os.setsid()
    name_process(NAME)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    gc.disable()
    _be_template(driver, requests_fd, later)


def _be_template(driver: int, requests_fd: int, later: Sequence[str] = ()) -> NoReturn:
    # If a supervisor or a shell's `trap '' CHLD` has set SIGCHLD to be ignored, the kernel would discard exit codes.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with(driver)
    # Output of libraries and users' models goes to the driver's stderr.
    os.dup2(2, 1)
    _end_after(lambda: _answer(Connection(requests_fd), later))


def _end_after(do: Callable[[], None]) -> NoReturn:
    """Call `do`, then exit without the interpreter's finalization: it is slow, and in a fork belongs to the parent."""
    status = 1
    try:
        do()
        status = 0
    except BaseException:
        print_traceback()
    finally:
        os._exit(status)


def _answer(requests: Connection, later: Sequence[str]) -> None:
    with quiet():
        # Elsewhere forks are not safe and workers start from scratch, so imports in this process would be of no use.
        can_fork = sys.platform == "linux"
        if can_fork:
            gc.disable()
            import_needed()
            for module in later:
                importlib.import_module(module)
        data, data_fd = None, -1
        with contextlib.suppress(EOFError):
            while True:
                request = json.loads(requests.recv_bytes())
                answer: dict[str, Any] = {}
                if "targets" in request:
                    data_fd = recv_handle(requests)
                    os.environ.clear()
                    path = os.pathsep.join(filter(None, request["path"]))
                    os.environ.update(request["environment"] | ONE_THREAD | {"PYTHONPATH": path})
                    sys.path[:] = request["path"]
                    data = _take_rows(data_fd, request["targets"]) if can_fork else None
                elif "place" in request:
                    answer = _start(request["place"], data, data_fd, requests)
                else:
                    answer = _ending(request["ended"])
                requests.send_bytes(json.dumps(answer).encode())


def import_needed() -> None:
    """Import what every job needs."""
    for module in _NEEDED:
        importlib.import_module(module)


def _take_rows(data_fd: int, targets: Sequence[str]) -> Data | None:
    """Import what the jobs name, and return the rows; None if forks would not be safe."""
    # Imported late, since it loads numpy, and the process must be bound to its driver before that.
    from dlcli.datasets.shared_memory import read_shared

    if store := os.environ.get(URI_VARIABLE):
        load_mlflow(store)
    for target in targets:
        locate(target)
    data = read_shared(data_fd)
    # These objects are never freed: a garbage collection over them would copy their memory pages into each worker.
    gc.freeze()
    gc.enable()
    more = len(list(Path("/proc/self/task").iterdir())) - 1
    if not more:
        return data
    _note(f"a library has started {more} threads")
    return None


def _note(why: str) -> None:
    if os.environ.get("DLCLI_DEBUG") == "1":
        to_stderr(f"dlcli: workers are started from scratch instead of forked, which takes seconds: {why}\n")


def _start(place: Mapping[str, str], data: Data | None, data_fd: int, requests: Connection) -> dict[str, Any]:
    """Fork a worker, and return the answer with its process ID or the error."""
    template = os.getpid()
    pipes = recv_handle(requests), recv_handle(requests)
    try:
        worker = os.fork()
        if not worker:
            requests.close()
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
    if data is None or _has_touched_cuda():
        _start_from_scratch(template, data_fd, pipes)
    # Imported late, because only workers need it; a test lists the modules that a fork still imports.
    from dlcli.executors.worker import work

    die_with(template)
    _settle()
    work(data, *pipes)


def _ending(worker: int) -> dict[str, Any]:
    """Return the answer with a worker's exit code, empty while it is alive."""
    try:
        pid, status = os.waitpid(worker, os.WNOHANG)
    except ChildProcessError:  # a library has changed SIGCHLD, or has waited for all children
        return {"code": 0}
    return {"code": os.waitstatus_to_exitcode(status)} if pid else {}


def _has_touched_cuda() -> bool:
    """Return whether CUDA was initialized before the fork: it does not work in the child then."""
    import torch

    if not torch.cuda._is_in_bad_fork():
        return False
    _note("CUDA was initialized while libraries were imported")
    return True


def _start_from_scratch(template: int, data_fd: int, pipes: tuple[int, int]) -> NoReturn:
    for fd in (data_fd, *pipes):
        os.set_inheritable(fd, True)
    arguments = map(str, (template, data_fd, *pipes))
    os.execv(sys.executable, [sys.executable, "-P", "-m", "dlcli.executors.worker", *arguments])


def _settle() -> None:
    """Give a forked worker its own number of threads and its own random state."""
    import numpy as np
    import torch
    from threadpoolctl import threadpool_limits

    np.random.seed()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    # OpenMP's libraries other than torch's, such as scikit-learn's, have read the driver's environment.
    threadpool_limits({"blas": int(os.environ[_BLAS_THREADS]), "openmp": int(os.environ["OMP_NUM_THREADS"])})


if __name__ == "__main__":
    main()
