"""Lines that go on from where a command has come to: whoever pastes one gets the run that it is about."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.config.kept_out import written_words
from dlcli.config.project import default_runs_dir
from dlcli.errors import DlcliError
from dlcli.files.paths import display
from dlcli.tracking.connection import URI_VARIABLE, sqlite_file

if TYPE_CHECKING:
    from dlcli.result import Result
    from dlcli.tracking.ledger import Ledger

RUNS_DIR_VARIABLE = "DLCLI_RUNS_DIR"


def next_command(*words: str, runs_dir: str | Path) -> str:
    """A line for the shell, `dlcli WORDS`: with `--runs-dir` where dlcli would look elsewhere without it."""
    return shlex.join(["dlcli", *written_words(words), *_place(Path(runs_dir).absolute())])


def resume_command(ledger: Ledger, *overrides: str) -> str:
    """The line by which a run goes on: a sweep by its name, a fold with its whole cross-validation."""
    run = ledger.run_name if ledger.kind == "sweep" else (ledger.parent_id or ledger.run_id)[:8]
    return next_command("resume", run, *overrides, runs_dir=ledger.runs_dir)


def ui_command(result: Result) -> str:
    """The line that opens the UI on the store of a result."""
    file = sqlite_file(result.tracking_uri)
    if file is None or os.environ.get(URI_VARIABLE):
        return "dlcli ui"
    return next_command("ui", runs_dir=file.parent)


def _place(runs_dir: Path) -> list[str]:
    try:
        if runs_dir.resolve() == Path(os.environ.get(RUNS_DIR_VARIABLE) or default_runs_dir()).resolve():
            return []
    except (DlcliError, OSError):  # what brought us here matters more
        pass
    return ["--runs-dir", display(runs_dir)]
