"""Every error that dlcli raises on purpose.

::

    DlcliError                 exit code 1
      InputError               exit code 2: the user's input is wrong, nothing ran
        ConfigError            a group, option, key, type or value
          NotSet               a variable of the environment that it reads
        DataError              a file, row or column
        RunNotFound            RUN names no run, or several
        StoreError             the MLflow store does not answer
      TrainingError            a run started and failed
        Diverged               the loss became NaN or infinite
        OutOfMemory            the batch does not fit
        DiskFull               no space left for the record
      ExecutorError            what does the jobs does not answer: no job is to blame
      CorruptRun               a run's folder is damaged or unsafe to load

    Pruned                     Exception: a sweep has given a trial up
    Interrupted                BaseException: Ctrl-C (130), SIGTERM or SIGHUP (143)

Each carries one or more `Problem`s: where, what, and what to do. `dlcli.terminal.console` prints them; with `--json`
they are the document's `errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dlcli.sanitize.redact import redact_all


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    `where` is a config key (`optimizer.lr`), a place in a file (`wine.csv:12, column quality`) or a path; it may be
    empty. `hint` says what to do next.
    """

    message: str
    where: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """The problem as the `--json` contract has it."""
        return {"where": self.where, "message": self.message, "hint": self.hint}

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        hint = f"\n  {self.hint}" if self.hint else ""
        return f"{where}{self.message}{hint}"


class DlcliError(Exception):
    """Base of all errors with a message that a user can act on."""

    exit_code = 1

    def __init__(self, problem: str | Problem | Sequence[Problem], where: str = "", hint: str = "") -> None:
        if isinstance(problem, str):
            problem = Problem(problem, where, hint)
        self.problems = (problem,) if isinstance(problem, Problem) else tuple(problem)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders: the default would rebuild from the text and lose `where` and `hint`.
        return _rebuild, (type(self), [asdict(p) for p in self.problems])


def _rebuild(kind: type[DlcliError], problems: list[dict[str, str]]) -> DlcliError:
    return kind([Problem(**p) for p in problems])


class InputError(DlcliError):
    """The user's input is wrong; nothing ran."""

    exit_code = 2


class ConfigError(InputError):
    """A group, option, key, type or value in the configuration."""


class NotSet(ConfigError):
    """A variable of the environment that a configuration reads."""


class DataError(InputError):
    """A file, row or column of the user's data."""


class RunNotFound(InputError):
    """RUN names no run, or more than one."""


class StoreError(InputError):
    """The MLflow store does not answer or refuses."""


class TrainingError(DlcliError):
    """A run started and failed."""


class Diverged(TrainingError):
    """The loss became NaN or infinite."""


class OutOfMemory(TrainingError):
    """A batch did not fit into memory."""


class DiskFull(TrainingError):
    """No space left on the device that holds the record."""


class ExecutorError(DlcliError):
    """What does the jobs (a cluster, its queue) does not answer any more: no job is to blame, and all can go on."""


class CorruptRun(DlcliError):
    """A run's folder is damaged, or would run code that nobody vouched for."""


class Pruned(Exception):
    """A sweep has given a trial up: nothing is wrong with it, but others are better."""


class Interrupted(BaseException):
    """The user or the system asked the process to stop.

    A BaseException, so that no library's `except Exception` swallows it.
    """

    def __init__(self, signum: int) -> None:
        import signal

        self.signum = signum
        self.exit_code = 130 if signum == signal.SIGINT else 143
        super().__init__(signal.Signals(signum).name)


def describe_error(error: Exception) -> dict[str, Any]:
    """An error as a message to another process: plain types."""
    kind, problems = type(error).__name__, getattr(error, "problems", ())
    if not isinstance(error, DlcliError):
        text = f"{type(error).__name__}: {error}".strip()
        kind, problems = (
            "TrainingError",
            [Problem(text, hint="The traceback is in error.txt, in the run's folder.")],
        )
    return {"kind": kind, "problems": [redact_all(problem.to_json()) for problem in problems]}


def first_line(error: BaseException) -> str:
    """What a library says of an error, in one line; its kind where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def restore_error(message: Mapping[str, Any]) -> DlcliError:
    """The error of a message."""
    kind = globals().get(message["kind"], TrainingError)
    return kind([Problem(**problem) for problem in message["problems"]])
