"""Errors that dlcli raises deliberately.

::

    DlcliError                 exit code 1
      InputError               exit code 2: the user's input is wrong, nothing ran
        ConfigError            a group, option, key, type or value
          NotSet               an environment variable that the configuration reads is not set
        DataError              a file, row or column
        RunNotFound            RUN matches no run, or several
        StoreError             the MLflow store does not respond
      TrainingError            a run started and failed
        Diverged               the loss became NaN or infinite
        OutOfMemory            a batch does not fit into memory
        DiskFull               no space left for the record
      ExecutorError            the executor does not respond; the jobs are not the cause
      CorruptRun               a run's folder is damaged or unsafe to load

    Pruned                     Exception: a sweep stopped a trial early
    Interrupted                BaseException: Ctrl-C (130), SIGTERM or SIGHUP (143)

A DlcliError holds one or more `Problem`s: what is wrong, where, and what to do. `dlcli.terminal.console` prints them;
with `--json` they are the document's `errors`.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dlcli.process.own_frame import own_frame
from dlcli.sanitize.redact import redact_all


@dataclass(frozen=True)
class Problem:
    """One mistake, with its place and a hint.

    Attributes:
        message: What is wrong.
        where: A configuration key (`optimizer.lr`), a place in a file (`wine.csv:12, column quality`) or a path; may be
            empty.
        hint: What the user can do; may be empty.
    """

    message: str
    where: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the problem as an item of the `--json` document."""
        return {"where": self.where, "message": self.message, "hint": self.hint}

    @property
    def line(self) -> str:
        """The place, if there is one, and the message."""
        return f"{self.where}: {self.message}" if self.where else self.message

    def __str__(self) -> str:
        return f"{self.line}\n  {self.hint}" if self.hint else self.line


class DlcliError(Exception):
    """Base class of all errors with a message for the user."""

    exit_code = 1

    def __init__(self, problem: str | Problem | Sequence[Problem], where: str = "", hint: str = "") -> None:
        if isinstance(problem, str):
            problem = Problem(problem, where, hint)
        self.problems = (problem,) if isinstance(problem, Problem) else tuple(problem)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[object, ...]:
        # Errors are sent between processes. The default would rebuild them from the text, without `where` and `hint`.
        return _rebuild, (type(self), [asdict(p) for p in self.problems])


def _rebuild(kind: type[DlcliError], problems: list[dict[str, str]]) -> DlcliError:
    return kind([Problem(**p) for p in problems])


class InputError(DlcliError):
    """The user's input is wrong; nothing ran."""

    exit_code = 2


class ConfigError(InputError):
    """A group, option, key, type or value of the configuration is wrong."""


class NotSet(ConfigError):
    """An environment variable that the configuration reads is not set."""


class DataError(InputError):
    """A file, row or column of the user's data is wrong."""


class RunNotFound(InputError):
    """RUN matches no run, or more than one."""


class StoreError(InputError):
    """The MLflow store does not respond, or denies access."""


class TrainingError(DlcliError):
    """A run started and failed."""


class Diverged(TrainingError):
    """The loss became NaN or infinite."""


class OutOfMemory(TrainingError):
    """A batch did not fit into memory."""


class DiskFull(TrainingError):
    """There is no space left on the disk of the record."""


class ExecutorError(DlcliError):
    """The executor (a cluster or its queue) no longer responds. The jobs are not the cause and can be resumed."""


class CorruptRun(DlcliError):
    """A run's folder is damaged, or would run code that is not trusted."""


class Pruned(Exception):
    """A sweep stopped a trial early, because other trials are better."""


class Interrupted(BaseException):
    """The user or the system asked the process to stop.

    It is a BaseException, so that a library's `except Exception` does not catch it.
    """

    def __init__(self, signum: int) -> None:
        self.signum = signum
        self.exit_code = 130 if signum == signal.SIGINT else 143
        super().__init__(signal.Signals(signum).name)


def in_own_code(error: BaseException) -> Problem | None:
    """Return the problem of an exception in the user's code, with its place; None if it comes from elsewhere."""
    frame = own_frame(error)
    if frame is None:
        return None
    file = Path(frame.filename)
    with suppress(OSError, ValueError):  # no current folder, or a file elsewhere
        file = file.relative_to(Path.cwd())
    what = f"{type(error).__name__}: {error}".strip()
    shown = "Correct it there. DLCLI_DEBUG=1 shows the traceback."
    return Problem(f"your own code failed: {what}", f"{file}:{frame.lineno}, in {frame.name}", shown)


def describe_error(error: Exception) -> dict[str, Any]:
    """Convert an error to a message for another process, in plain types."""
    kind, problems = type(error).__name__, getattr(error, "problems", ())
    if not isinstance(error, DlcliError):
        text = f"{type(error).__name__}: {error}".strip()
        shown = Problem(text, hint="The traceback is in error.txt in the run's folder.")
        kind, problems = "TrainingError", [in_own_code(error) or shown]
    return {"kind": kind, "problems": [redact_all(problem.to_json()) for problem in problems]}


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if the message is empty."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def restore_error(message: Mapping[str, Any]) -> DlcliError:
    """Return the error of a message that `describe_error` made."""
    kind = globals().get(message["kind"], TrainingError)
    return kind([Problem(**problem) for problem in message["problems"]])
