"""The recorder of one running job: its metrics, status and end."""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from dlcli.errors import DiskFull, DlcliError, InputError, Interrupted, Pruned, TrainingError
from dlcli.files.disk import write_errors
from dlcli.files.reserve import Reserve, free_spare
from dlcli.formatting import number
from dlcli.process.own_frame import own_frame
from dlcli.sanitize.escapes import shortened, visible
from dlcli.sanitize.redact import redact, redact_value
from dlcli.tracking.connection import load_mlflow, sqlite_file
from dlcli.tracking.digests import results_of
from dlcli.tracking.history import HistoryWriter
from dlcli.tracking.ledger import Ledger, Status, atomic_write, now
from dlcli.tracking.liveness import RunLock
from dlcli.tracking.mlflow_tags import BASELINE_TAG, ERROR_TAG, TAG_LENGTH
from dlcli.tracking.projector import Projector
from dlcli.tracking.system_metrics import PREFIX, Sampler

_OF_EPOCHS = ("train/", "val/")
_BASELINE = "baseline/"

ERROR_FILE = "error.txt"

# In the folders of runs that an earlier version recorded: disk space for their end.
_RESERVE_FILE = ".reserve"


class Recorder:
    """Context manager that records a job.

    The run is RUNNING within the context. Its final status is FINISHED, KILLED (Ctrl-C, a signal, pruning, or a full
    disk in a child run), or FAILED (any other exception, whose message is stored in a tag and whose traceback in
    `error.txt`). Exceptions propagate. Everything is written to disk immediately; MLflow is updated within seconds, or
    later if it does not answer.

    Raises:
        InputError: Another process records the same run, or the folder is not writable.
        DiskFull: There is no space left.
    """

    def __init__(self, run_dir: Path, *, system_metrics: bool = True) -> None:
        self.ledger = Ledger.load(run_dir)
        self._system_metrics = system_metrics
        self._is_brief = self.ledger.parent_id is not None
        # To record the end on a full disk: ledger, traceback, row in SQLite.
        self._reserve: Reserve | None = None

    def __enter__(self) -> Self:
        ledger, run_dir = self.ledger, self.ledger.run_dir
        self._entry = RunLock.of(ledger)
        try:
            self._history = HistoryWriter(run_dir)
            # Again under the lock: another command may have changed it meanwhile.
            self.ledger = ledger = Ledger.load(run_dir)
        except BaseException:
            self._entry.release()
            raise
        self._projector = Projector(ledger)
        self._sampler = Sampler(self._record_sample) if self._system_metrics else None
        try:
            if sqlite_file(ledger.store_uri) is None:
                load_mlflow(ledger.store_uri)  # before threads start, since parallel imports can fail
            release_reserve(run_dir)
            with write_errors(run_dir.parent):
                self._reserve = Reserve(run_dir.parent)
            resumed = {ERROR_TAG: ""} if ledger.tags.get(ERROR_TAG) else {}
            ledger.update(
                durable=not self._is_brief,
                status="RUNNING",
                earlier_s=round(ledger.earlier_s + ledger.seconds, 3),
                started_at=now(),
                ended_at=None,
                error=None,
                tags={**ledger.tags, **resumed},
                pid=os.getpid(),
                host=socket.gethostname(),
            )
            (run_dir / ERROR_FILE).unlink(missing_ok=True)
            self._projector.start()
            if self._sampler:
                self._sampler.start()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record metrics at a step; metrics that are already recorded at the step (in a resumed run) are unchanged."""
        with _while_running():
            self._history.append(step, metrics)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record the metrics of an epoch, which is counted from 0; its step is the epoch from 1.

        In a run that an earlier version began, whose first epoch has step 0, steps go on as they are.
        """
        self.log(metrics, step=epoch + self._history.first_epoch)

    def tag(self, name: str, value: str, *, at_end: bool = False) -> None:
        """Set a tag. `at_end`: a child run writes it with its end, for a resumed one sets it again."""
        tags = {**self.ledger.tags, name: shortened(visible(redact_value(name, value)), TAG_LENGTH)}
        with _while_running():
            self._set(tags=tags) if at_end else self.ledger.update(tags=tags)

    def describe(self, panel: Mapping[str, str]) -> None:
        """Record the panel (label to text) that describes the run, without the location of the record."""
        own = {k: shortened(visible(v), TAG_LENGTH) for k, v in panel.items() if k != "record"}
        with _while_running():
            self.ledger.update(durable=False, about={**self.ledger.about, "panel": own})

    def finish(
        self,
        metrics: Mapping[str, float],
        *,
        step: int | None = None,
        result: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Record the final metrics and further results (`result`) in the ledger.

        Metrics that were not logged by an epoch are added to the history at `step`, by default the last step; in an
        extended run, this is the new last step. Metrics of baselines are stored in a tag instead, because MLflow would
        draw a chart with a single point for each of them.
        """
        step = max(self._history.last_step(without=PREFIX), 0) if step is None else step
        figures = {k: float(v) for k, v in metrics.items()}
        baselines = {k.removeprefix(_BASELINE): v for k, v in figures.items() if k.startswith(_BASELINE)}
        new = {
            k: v
            for k, v in figures.items()
            if not (k.startswith(_BASELINE) or (k.startswith(_OF_EPOCHS) and k in self._history))
        }
        shown = ", ".join(f"{name} {number(value)}" for name, value in baselines.items())
        with _while_running():
            self._history.append(step, new)
            digests = self.ledger.digests
            self._set(
                tags=self.ledger.tags | ({BASELINE_TAG: shortened(shown, TAG_LENGTH)} if shown else {}),
                metrics={**self.ledger.metrics, **figures},
                result={**self.ledger.result, **result},
                digests=None if digests is None else digests | results_of(self.ledger.run_dir),
            )

    def _set(self, **changes: Any) -> None:
        """Set fields of the ledger, and write it unless a child run's end will soon do so."""
        if self._is_brief:
            self.ledger.set(**changes)
        else:
            self.ledger.update(**changes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_recorded = complete = False
        try:
            # The ledger comes first, so that the record is correct even if the following steps are interrupted.
            self._record_end(error)
            is_recorded = True
            self._stop_sampler()
            # All lines have been written; flushing only protects against a power failure.
            if not self._is_brief:
                with contextlib.suppress(DlcliError):
                    self._history.flush()
        finally:
            # Threads must not write the record after the lock is released, even if the end could not be written.
            self._stop_sampler()
            with contextlib.suppress(Exception):
                complete = self._projector.finish() and is_recorded
            self._history.close()
            if complete:
                self._entry.remove()
            else:
                self._entry.release()

    def _stop_sampler(self) -> None:
        if self._sampler and self._sampler.is_alive():
            self._sampler.stop()

    def _record_end(self, error: BaseException | None) -> None:
        """Write the end. A child run's last fields are written with it: if that fails, the run has failed."""
        try:
            with _while_running():
                self._write_end(error)
        except DlcliError as failed:
            if error is None:
                self._write_end(failed)
            raise

    def _write_end(self, error: BaseException | None) -> None:
        run_dir = self.ledger.run_dir
        status, reason = _ending(error, is_part=self.ledger.parent_id is not None)
        tags = {**self.ledger.tags, ERROR_TAG: reason} if reason else self.ledger.tags
        with contextlib.ExitStack() as stack:
            if error is not None:  # an error while recording must not replace the original one
                stack.enter_context(contextlib.suppress(DlcliError))
            changes = {"status": status, "ended_at": now(), "error": reason, "tags": tags}
            self._update_at_end(changes, keeps=self._is_brief and error is None)
            if status == "FAILED" and error is not None:
                text = "".join(traceback.format_exception(error))
                atomic_write(run_dir / ERROR_FILE, visible(redact(text)))

    def _update_at_end(self, changes: Mapping[str, Any], *, keeps: bool) -> None:
        """Update the ledger, and free the reserve; with `keeps`, the next run of this process takes it over."""
        if self._reserve and keeps:
            with contextlib.suppress(DiskFull):
                self.ledger.update(**changes)
                self._reserve.hand_on()
                return
        if self._reserve:
            self._reserve.release()
        free_spare()
        self.ledger.update(**changes)

    def _record_sample(self, sample: dict[str, float]) -> None:
        self._history.append(self._history.last_step(prefix=PREFIX) + 1, sample)


@contextlib.contextmanager
def _while_running() -> Iterator[None]:
    """Translate InputError: during a run, a folder that is no longer writable is a failure, not wrong input."""
    try:
        yield
    except InputError as error:
        raise TrainingError(error.problems) from error


def _ending(error: BaseException | None, *, is_part: bool) -> tuple[Status, str | None]:
    """Return the status of a run that has ended, and the reason if it failed."""
    if error is None:
        return "FINISHED", None
    # GeneratorExit: a job that waited for its steps was not continued.
    if isinstance(error, Interrupted | KeyboardInterrupt | Pruned | GeneratorExit):
        return "KILLED", None
    text = str(error) if isinstance(error, DlcliError) else f"{type(error).__name__}: {error}"
    if not isinstance(error, DlcliError) and (frame := own_frame(error)):
        text += f" ({frame.filename}:{frame.lineno})"
    # On a full disk, a fold or trial counts as stopped, since it can be resumed; its parent has failed.
    status: Status = "KILLED" if is_part and isinstance(error, DiskFull) else "FAILED"
    return status, shortened(visible(redact(text)), TAG_LENGTH)


def release_reserve(run_dir: Path) -> None:
    """Release the disk space that an earlier version held back for the end of a run."""
    with contextlib.suppress(OSError):
        (run_dir.parent / _RESERVE_FILE).unlink(missing_ok=True)
