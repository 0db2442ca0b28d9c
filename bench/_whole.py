"""CPU and wall time of a whole process with all its descendants, also of those whose parent has ended.

Run as a script, `python _whole.py OUTPUT COMMAND...`, it starts the command, waits for its descendants, and writes the
figures to OUTPUT as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ORPHANS_S = 20.0
"""Seconds that descendants get to end after the command."""


class ProcessFailed(Exception):
    """A measured command that did not end with 0; the message ends with its last output."""


def whole(command: Sequence[str], folder: Path, environment: dict[str, str]) -> dict[str, float]:
    """Run a command in a folder, and return `cpu` and `wall` seconds.

    A command whose last line of output is a JSON object with `cpu` and `wall` is measured by itself: these count.

    Raises:
        ProcessFailed: the command failed.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        result, output = Path(place, "figures.json"), Path(place, "output")
        with output.open("wb") as file:
            clock = subprocess.Popen(
                [sys.executable, __file__, str(result), *command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C ends all of it at once, here
            )
            try:
                clock.wait()
            except BaseException:
                os.killpg(clock.pid, signal.SIGKILL)
                clock.wait()
                raise
        text = output.read_text(errors="replace").strip()
        figures = json.loads(result.read_text()) if result.exists() else {"code": clock.returncode}
    if figures.pop("code"):
        raise ProcessFailed(f"{' '.join(command)}\n{text[-1500:]}")
    return figures | own_figures(text)


def own_figures(text: str) -> dict[str, float]:
    """Return the `cpu` and `wall` of a JSON object in the last line, if there is one."""
    try:
        found = json.loads(text.splitlines()[-1])
    except (IndexError, ValueError):
        return {}
    return {name: found[name] for name in ("cpu", "wall") if name in found} if isinstance(found, dict) else {}


def clock(output: str, command: Sequence[str]) -> None:
    if sys.platform == "linux":  # orphans become children of this process, which waits for them
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    started = time.perf_counter()
    code = subprocess.run(command, check=False).returncode
    wall = time.perf_counter() - started
    latest = time.monotonic() + ORPHANS_S
    while time.monotonic() < latest:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if not ended:
            time.sleep(0.02)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    Path(output).write_text(json.dumps({"code": code, "cpu": used.ru_utime + used.ru_stime, "wall": wall}))


if __name__ == "__main__":
    clock(sys.argv[1], sys.argv[2:])
