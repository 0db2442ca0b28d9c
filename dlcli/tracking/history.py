"""`metrics.jsonl`: the metrics of a run by step, one line per step, each appended in a single write.

A line: ``{"step": 3, "time_ms": 1767225600000, "metrics": {"val/loss": 0.1}}``. NaN and infinities are the
strings `"NaN"`, `"Infinity"` and `"-Infinity"`. A process that is killed while writing leaves an incomplete last line:
readers ignore it, and the next writer removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dlcli.errors import CorruptRun, InputError
from dlcli.files.disk import write_errors
from dlcli.files.regular import check_regular, open_regular, os_reason
from dlcli.formatting import amount
from dlcli.tracking.ledger import encode_number

HISTORY_FILE = "metrics.jsonl"

# Texts that a language model generated after epochs.
TEXTS_BY_EPOCH = "samples_by_epoch.jsonl"

# Prefixes of the metrics of epochs; other metrics, such as the learning rate, are not read back.
OF_EPOCHS = ("train/", "val/", "val_loss_", "penalty", "iterations")

# A metric that each epoch has.
EPOCH_LOSS = "train/loss"

_LONGEST_LINE = 1 << 20  # maximum bytes of a line, which has the metrics of one step
_MOST_METRICS = 20_000  # maximum number of different metrics of a run; MLflow takes a millisecond for each
_COPY = "Copy the folder again."

_PATIENCE = 1.0  # seconds to wait for the lock, which a worker whose driver was killed may still hold


class MetricsLine(NamedTuple):
    """The metrics of one step; `end` is the offset of the next line in bytes."""

    step: int
    time_ms: int
    metrics: dict[str, float]
    end: int


def read_history(run_dir: Path, offset: int = 0) -> Iterator[MetricsLine]:
    """Yield the complete lines of a run's history from a byte offset on. Damaged lines are skipped.

    Raises:
        CorruptRun: The history is not a regular file, cannot be read, or exceeds the limits.
    """
    path = run_dir / HISTORY_FILE
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CorruptRun(os_reason(error), str(path), _COPY) from error
    names: set[str] = set()
    with file:
        file.seek(offset)
        while raw := file.readline(_LONGEST_LINE):
            if not raw.endswith(b"\n"):
                if len(raw) == _LONGEST_LINE:
                    raise _too_long(path)
                return
            offset += len(raw)
            try:
                line = json.loads(raw)
                metrics = {k: float(v) for k, v in line["metrics"].items()}
                found = MetricsLine(int(line["step"]), int(line["time_ms"]), metrics, offset)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                continue
            names.update(metrics)
            if len(names) > _MOST_METRICS:
                raise CorruptRun(f"has more than {_MOST_METRICS:,} metrics", str(path), _COPY)
            yield found


def first_epoch(run_dir: Path) -> int:
    """Return the step of a run's first epoch: 1, or 0 in a run that an earlier version began."""
    return min(1, next((line.step for line in read_history(run_dir) if EPOCH_LOSS in line.metrics), 1))


def is_recorded(run_dir: Path) -> bool:
    """Return whether a process is recording the run."""
    try:
        file = open_regular(run_dir / HISTORY_FILE)
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


class HistoryWriter:
    """The writer of a run's history. Thread-safe.

    It holds a lock on the file, so that a leftover worker of a killed driver and a resumed run cannot both write. A
    metric that is already recorded at a step is not recorded again, because a resumed run repeats its last epoch.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / HISTORY_FILE
        self._lock = threading.Lock()
        self._steps: dict[str, set[int]] = {}
        with write_errors(run_dir):
            if self._path.exists():
                _check(self._path)  # first, because opening a device may have an effect
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o644)
        if not _lock(self._fd):
            os.close(self._fd)
            hint = "Wait until it ends, or end it."
            raise InputError("another process is recording this run", str(run_dir), hint)
        try:
            self._remove_incomplete_line()
            for line in read_history(run_dir):
                self._note(line.step, line.metrics)
        except BaseException:
            self.close()
            raise

    def append(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Record metrics at a step; return False if all of them are recorded at this step already."""
        with self._lock:
            new = {k: v for k, v in metrics.items() if step not in self._steps.get(k, ())}
            if not new:
                return False
            line = {
                "step": step,
                "time_ms": time.time_ns() // 1_000_000,
                "metrics": {k: encode_number(v) for k, v in new.items()},
            }
            data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
            with write_errors(self._path.parent):
                start = os.fstat(self._fd).st_size
                try:
                    unwritten = memoryview(data)
                    while unwritten:  # a partial write means that the disk is full: the second write raises
                        unwritten = unwritten[os.write(self._fd, unwritten) :]
                except OSError:
                    os.ftruncate(self._fd, start)
                    raise
            self._note(step, new)
            return True

    def __contains__(self, metric: str) -> bool:
        return metric in self._steps

    def last_step(self, *, prefix: str = "", without: str = "\0") -> int:
        """Return the highest step of the metrics that start with `prefix` and not with `without`; -1 if none."""
        names = (n for n in self._steps if n.startswith(prefix) and not n.startswith(without))
        return max((max(self._steps[name]) for name in names), default=-1)

    @property
    def first_epoch(self) -> int:
        """The step of the first epoch: 1, or 0 if an earlier version has recorded it."""
        return 0 if 0 in self._steps.get(EPOCH_LOSS, ()) else 1

    def flush(self) -> None:
        """Synchronize the file with the disk, so that the lines survive a power failure."""
        with write_errors(self._path.parent):
            os.fsync(self._fd)

    def close(self) -> None:
        """Close the file, and release its lock."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _note(self, step: int, metrics: Mapping[str, float]) -> None:
        for name in metrics:
            self._steps.setdefault(name, set()).add(step)

    def _remove_incomplete_line(self) -> None:
        size = os.fstat(self._fd).st_size
        start = max(0, size - _LONGEST_LINE)
        end = os.pread(self._fd, size - start, start).rfind(b"\n")
        if end < 0 and start > 0:
            raise _too_long(self._path)
        if start + end + 1 < size:
            os.ftruncate(self._fd, start + end + 1)


def _too_long(path: Path) -> CorruptRun:
    return CorruptRun(f"has a line of more than {amount(_LONGEST_LINE)}", str(path), _COPY)


def _check(path: Path) -> None:
    try:
        check_regular(path)
    except OSError as error:
        raise CorruptRun(os_reason(error), str(path), _COPY) from error


def _lock(fd: int) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
