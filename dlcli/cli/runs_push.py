"""`dlcli runs push`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import Json, RunsDir, SomeFilter, SomeRuns, session


def runs_push(
    to: Annotated[
        str,
        typer.Argument(
            metavar="URI|FOLDER", help="An MLflow store (http://..., sqlite:///...) or a runs folder."
        ),
    ],
    runs: SomeRuns = None,
    only: SomeFilter = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Send recorded runs with their folds and trials to an MLflow store or another runs folder.

    Runs that are already there are not sent again, so the command can be repeated.
    """
    with session(json) as terminal:
        import re
        from datetime import UTC, datetime

        from dlcli.errors import InputError
        from dlcli.files.paths import display, resolved, typed
        from dlcli.runner import runs_directory
        from dlcli.runs.chosen_runs import choose_whole, with_members
        from dlcli.runs.handing_on import push_to_folder, push_to_store
        from dlcli.runs.inventory import list_runs
        from dlcli.sanitize.redact import redact
        from dlcli.terminal.changed_runs import tell_pushed
        from dlcli.tracking.reconcile import settle_ledgers

        folder, now = runs_directory(runs_dir).resolve(), datetime.now(UTC)
        notes = settle_ledgers(folder)
        tree = list_runs(folder, now)
        chosen = with_members(choose_whole(runs or (), only, tree, folder, now, notes, "push"), tree, notes)
        if not to.strip():
            raise InputError(
                "is empty", "URI|FOLDER", "Name an MLflow store or a runs folder; . is this folder."
            )
        if "://" not in to and re.match("[A-Za-z][A-Za-z0-9+.-]+:", to) and not typed(to).exists():
            hint = "An address has two slashes: http://HOST:PORT. A folder of this name is ./NAME."
            raise InputError("is neither the address of a store nor a folder", redact(to), hint)
        if "://" in to:
            pushed, where = [], redact(to)
            for one in push_to_store(chosen, folder, to):
                pushed.append(one)
                if not json:
                    terminal.note(f"{one.ledger.run_name}: {one.sent}")
        else:
            place = typed(to)
            pushed, more = push_to_folder(chosen, folder, place)
            notes, where = [*notes, *more], display(resolved(place))
        for note in notes:
            terminal.warning(note)
        tell_pushed(terminal, pushed, where)
