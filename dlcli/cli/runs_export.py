"""`dlcli runs export`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import Json, RunsDir, SomeFilter, session


def runs_export(
    words: Annotated[
        list[str], typer.Argument(metavar="RUN... FILE.zip", help="Runs, and the archive to be written.")
    ],
    only: SomeFilter = None,
    checkpoints: Annotated[
        bool, typer.Option(help="Include the states from which runs are resumed, which are the largest part.")
    ] = True,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Write runs with their folds and trials into an archive, which `dlcli runs import` reads elsewhere.

    With an ensemble, the runs of its members are included.
    """
    with session(json) as terminal:
        from datetime import UTC, datetime

        from dlcli.config.next_command import next_command
        from dlcli.errors import InputError
        from dlcli.files.paths import display, typed
        from dlcli.formatting import amount, counted
        from dlcli.runner import runs_directory
        from dlcli.runs.archive import write_archive
        from dlcli.runs.chosen_runs import choose_whole, with_members
        from dlcli.runs.inventory import list_runs
        from dlcli.tracking.reconcile import settle_ledgers

        *refs, name = words
        folder = runs_directory(runs_dir).resolve()
        if not name.endswith(".zip"):
            archives = [word for word in refs if word.endswith(".zip")]
            runs_of = [word for word in words if word not in archives] or ["last"]
            line = next_command("runs", "export", *runs_of, *(archives[-1:] or ["runs.zip"]), runs_dir=folder)
            raise InputError("does not end with .zip", name, f"Name the archive last: {line}")
        now = datetime.now(UTC)
        notes = settle_ledgers(folder)
        tree = list_runs(folder, now)
        runs = with_members(choose_whole(refs, only, tree, folder, now, notes, "export"), tree, notes)
        if not runs:
            raise InputError("no run matches", "--filter", "dlcli runs lists them.")
        target = typed(name).absolute()
        size, more = write_archive(runs, target, checkpoints=checkpoints)
        for note in [*notes, *more]:
            terminal.warning(note)
        count = sum(1 for run in runs for _ in run.all())
        if json:
            ids = [part.run_id for run in runs for part in run.all()]
            terminal.document({"status": "OK", "file": str(target), "size_bytes": size, "runs": ids})
        else:
            terminal.note(f"{counted(count, 'run')} in {display(target)}, {amount(size)}")
