"""Shell commands to suggest after a result: resume a run, open the MLflow UI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.config.pasted import dlcli_line
from dlcli.config.project import default_runs_dir
from dlcli.errors import DlcliError
from dlcli.files.paths import display
from dlcli.tracking.connection import URI_VARIABLE, sqlite_file

if TYPE_CHECKING:
    from dlcli.tracking.ledger import Ledger

RUNS_DIR_VARIABLE = "DLCLI_RUNS_DIR"


def next_command(*words: str, runs_dir: str | Path) -> str:
    """Return the shell command `dlcli WORDS`, with `--runs-dir` if `runs_dir` is not the default folder.

    Words after `--` are not options, such as the name of a run that begins with `-`.
    """
    end = words.index("--") if "--" in words else len(words)
    return dlcli_line(*words[:end], *runs_dir_option(Path(runs_dir).absolute()), *words[end:])


def resume_command(ledger: Ledger, *overrides: str) -> str:
    """Return the command that resumes a run: a sweep by its name, a fold with its parent cross-validation.

    For an ensemble, the command selects its members again.
    """
    if ledger.kind == "ensemble":
        return next_command("ensemble", *map(str, ledger.about.get("words", ())), runs_dir=ledger.runs_dir)
    run = (ledger.parent_id or ledger.run_id)[:8]
    if ledger.kind == "sweep" and not ledger.run_name.startswith(("-", "best", "last")):
        run = ledger.run_name
    return next_command("resume", run, *overrides, runs_dir=ledger.runs_dir)


def ui_command(tracking_uri: str) -> str:
    """Return the command that opens the MLflow UI on a store."""
    file = sqlite_file(tracking_uri)
    if file is None or os.environ.get(URI_VARIABLE):
        return "dlcli ui"
    return next_command("ui", runs_dir=file.parent)


def runs_dir_option(runs_dir: Path) -> list[str]:
    """Return the option that names a runs folder; empty for the default one."""
    try:
        if runs_dir.resolve() == Path(os.environ.get(RUNS_DIR_VARIABLE) or default_runs_dir()).resolve():
            return []
    except (DlcliError, OSError):  # must not hide the message that this command is part of
        pass
    return ["--runs-dir", display(runs_dir)]
