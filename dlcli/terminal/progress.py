"""Show the events of a command."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType

from dlcli.events import (
    Event,
    JobEvent,
    JobFinished,
    JobsPlanned,
    Listener,
    Note,
    RefitStarted,
    RunOpened,
    TrialEvent,
)
from dlcli.process.supervision import announce_run
from dlcli.terminal.console import Terminal
from dlcli.terminal.job_progress import JobProgress
from dlcli.terminal.sweep_progress import SweepProgress
from dlcli.terminal.waiting import Waiting


class Progress:
    """A context manager that yields a listener, which shows the events of a command.

    Args:
        terminal: the terminal.
        title: title of the panel.
        notes_below_panel: delay notes until a sweep's panel is shown.
    """

    def __init__(self, terminal: Terminal, title: str, *, notes_below_panel: bool = False) -> None:
        self._terminal = terminal
        self._waiting = ExitStack()
        self._jobs = JobProgress(terminal, title)
        self._sweep = SweepProgress(terminal, title, keeps_notes=notes_below_panel)

    def __enter__(self) -> Listener:
        self._waiting.enter_context(Waiting(self._terminal, "reading data"))
        return self._listen

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.close()
        self._sweep.close(error)
        self._jobs.close(error)

    def _listen(self, event: Event) -> None:
        if not isinstance(event, Note | RunOpened | JobsPlanned):  # another display is active now
            self._waiting.close()
        match event:
            case Note(text) | JobEvent(_, Note(text)) | TrialEvent(_, Note(text)):
                self._sweep.note(text)
            case JobEvent() | JobsPlanned() | JobFinished():
                self._jobs.show(event)
            case RunOpened(run_dir):  # for the message that says what stopped the run
                self._terminal.run_dir = run_dir
                announce_run(run_dir)
            case RefitStarted():
                self._sweep.close()
                self._jobs = JobProgress(self._terminal, "the winner, on all rows but the final test rows")
            case _:
                self._sweep.show(event)
