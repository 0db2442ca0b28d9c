"""Shared by all commands: options, the terminal, signals, and errors as messages with an exit code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dlcli.distributed.launcher import refuse_allocation
from dlcli.errors import DlcliError, Interrupted, Problem, TrainingError, in_own_code
from dlcli.files.disk import refusal
from dlcli.files.paths import display
from dlcli.process.interrupts import interruptible
from dlcli.process.supervision import STOPPING, Ending, supervise
from dlcli.terminal.console import Terminal

if TYPE_CHECKING:
    from dlcli.tracking.ledger import Ledger

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="OVERRIDES", help="Hydra overrides: model=mlp optimizer.lr=0.01 ..."),
]
ConfDirs = Annotated[
    list[Path] | None,
    typer.Option("-C", "--conf-dir", metavar="DIR", help="A conf folder of your own. Repeatable."),
]
RunsDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", envvar="DLCLI_RUNS_DIR", help="The folder of all runs; by default runs."),
]
Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's ID or its start, name or folder, `last`, `best`, or `models:/NAME@ALIAS`.",
    ),
]
SomeRuns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN...", help="IDs or their starts, names, folders, `last`, or `models:/NAME@ALIAS`."
    ),
]
SomeFilter = Annotated[
    str | None, typer.Option("--filter", metavar="FILTER", help="'status=failed and age>7d'")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Execute; otherwise, only show what would be done.")]
Force = Annotated[bool, typer.Option("--force", help="Also delete runs that others need; these are listed.")]

DataPlace = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="OVERRIDES", help="Current location of the data: dataset.root=DIR, dataset.path=FILE."
    ),
]


def jobs_of(what: str) -> Any:
    """Return the option `--jobs` of a command that runs `what`."""
    return typer.Option(
        "--jobs", "-j", metavar="N", min=1, help=f"{what} that run at the same time, each in its own process."
    )


Jobs = Annotated[int | None, jobs_of("Folds")]
SomeModels = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's ID or its start, its name, its folder, `last` or `best`; or several: RUN1,RUN2.",
    ),
]
UseModels = Annotated[
    Literal["folds", "refit"] | None,
    typer.Option(
        "--use",
        help="Of a cross-validation: the mean of its folds' models, or the refitted one, the default if there is one.",
    ),
]
Coverage = Annotated[
    float | None,
    typer.Option(
        "--coverage",
        metavar="SHARE",
        min=0,
        max=1,
        help="Sets of classes or intervals of numbers that cover this share of new rows, such as 0.9.",
    ),
]
ConformalOption = Annotated[
    Literal["plain", "plus", "adaptive"] | None,
    typer.Option(
        "--conformal",
        help="With --coverage: plain, the default; plus, from the models of folds (CV+); or adaptive sets, larger for "
        "uncertain rows.",
    ),
]
Trust = Annotated[bool, typer.Option("--trust", help="Run the model code in the run's folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, everything else on stderr.")]


def refuse_misplaced(ctx: typer.Context) -> bool:
    """Return whether a command of a group was called, in which case the group's own options are not accepted.

    Raises:
        typer.BadParameter: An option of the group precedes that command.
    """
    if ctx.invoked_subcommand is None:
        return False
    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            where = f"dlcli {ctx.info_name} {ctx.invoked_subcommand}"
            raise typer.BadParameter(f"options of a command must follow it: {where} ...")
    return True


@contextmanager
def session(json: bool = False, *, data: bool = False, supervised: bool = False) -> Iterator[Terminal]:
    """Run a command's work; if it fails, exit with 1, 2, 130 or 143 and without a traceback.

    Args:
        json: stdout carries one JSON document, everything else goes to stderr.
        data: stdout carries the data that the command produces, everything else goes to stderr.
        supervised: run in a child process, whose end its parent reports (`dlcli.process.supervision`). Used by commands
            that run a user's model.
    """
    if supervised and (ending := supervise(lambda text: Terminal(json, data=data).warning(text))):
        raise typer.Exit(_see_to(ending, json, data))
    # Spinning threads make two busy programs on one machine slower by orders of magnitude. A few microseconds of
    # spinning cost nothing. The variable is read once, when torch is imported.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    with Terminal(json, data=data) as terminal:
        try:
            with interruptible():
                if supervised:
                    refuse_allocation()
                yield terminal
        except typer.Exit:
            raise
        except Interrupted as interrupt:
            how = "Ctrl-C" if interrupt.exit_code == 130 else str(interrupt)
            *progress, hint = getattr(interrupt, "__notes__", ()) or [_how_to_resume(terminal)]
            shown = DlcliError("\n".join([f"stopped by {how}", *progress]), hint=hint)
            terminal.error(shown, _stopped_run(terminal))
            raise typer.Exit(interrupt.exit_code) from None
        except Exception as error:
            if os.environ.get("DLCLI_DEBUG") == "1":
                raise
            shown = error if isinstance(error, DlcliError) else _unforeseen(error)
            terminal.error(shown, _stopped_run(terminal))
            if notes := _notes(error):
                terminal.note(notes)
            raise typer.Exit(shown.exit_code) from None


def _see_to(ending: Ending, json: bool, data: bool) -> int:
    """Report and record, in the parent process, the end of a child that could not do so; return the exit code."""
    if ending.ended_normally:
        return ending.code
    from dlcli.config.next_command import resume_command
    from dlcli.runs import lost

    with Terminal(json, data=data) as terminal:
        terminal.run_dir = ending.run_dir
        if ending.interrupted is not None or -ending.code in STOPPING:
            interrupt = Interrupted(ending.interrupted or -ending.code)
            lost.record_stop(ending.run_dir)
            how = "Ctrl-C" if interrupt.exit_code == 130 else str(interrupt)
            shown = DlcliError(
                f"stopped by {how}, before it could end in order", hint=_how_to_resume(terminal)
            )
            terminal.error(shown, _stopped_run(terminal))
            return interrupt.exit_code
        error = lost.error_at_end(ending)
        runs = lost.record_lost_runs(ending, error)
        if runs and (command := lost.resuming_command(runs)):
            terminal.warning(
                f"{runs[0].run_name} has failed: {error.problems[0].message}. The sweep continues."
            )
            lost.replace_process([*command, *(["--json"] if json else [])])
        terminal.error(error, _stopped_run(terminal))
        for ledger in runs[:1]:
            kept = "is FAILED; its results so far are kept in"
            terminal.note(f"The run {ledger.run_name} {kept} {display(ledger.run_dir)}")
            terminal.note(f"Resume it: {resume_command(ledger)}")
        return error.exit_code


def _notes(stopped_by: BaseException) -> str:
    """Return the notes of an exception, which say where the record is and how to resume."""
    return "\n".join(getattr(stopped_by, "__notes__", ()))


def _how_to_resume(terminal: Terminal) -> str:
    """Return the hint for an exception without notes, raised before, between or after training runs."""
    from dlcli.config.next_command import resume_command

    ledger = _stopped_ledger(terminal)
    return f"Resume it: {resume_command(ledger)}" if ledger else "No run was created."


def _stopped_run(terminal: Terminal) -> dict[str, str]:
    """Return the fields of the JSON document that identify the stopped run."""
    if terminal.run_dir is None:
        return {}
    ledger = _stopped_ledger(terminal)
    if ledger is None:
        return {"run_dir": str(terminal.run_dir)}
    return {
        "run_id": ledger.run_id,
        "run_name": ledger.run_name,
        "run_status": ledger.status,
        "run_dir": str(terminal.run_dir),
    }


def _stopped_ledger(terminal: Terminal) -> Ledger | None:
    from dlcli.tracking.ledger import Ledger

    try:
        return Ledger.load(terminal.run_dir) if terminal.run_dir else None
    except DlcliError:  # the error that is shown is more important
        return None


def _unforeseen(error: Exception) -> DlcliError:
    if found := refusal(error):
        return found
    if own := in_own_code(error):
        return TrainingError(own)
    what = f"{type(error).__name__}: {error}".strip()
    return DlcliError(Problem(what, hint="This error was not foreseen. DLCLI_DEBUG=1 shows the traceback."))
