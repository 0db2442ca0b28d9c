"""`dlcli runs rm`."""

from __future__ import annotations

from dlcli.cli.common import Force, Json, RunsDir, SomeFilter, SomeRuns, Yes, session

_NAMED = 10  # maximum number of runs that the suggested command for restoring names


def runs_rm(
    runs: SomeRuns = None,
    only: SomeFilter = None,
    yes: Yes = False,
    force: Force = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Move runs with their folds and trials to the trash, and delete them in MLflow.

    Without `--yes`, it only shows what would be moved. `dlcli runs restore` brings runs back, `dlcli runs gc` empties
    the trash.
    """
    with session(json) as terminal:
        from datetime import UTC, datetime

        from dlcli.config.next_command import next_command
        from dlcli.runner import runs_directory
        from dlcli.runs.deletion import delete, plan_deletion
        from dlcli.terminal.removal import affected_json, in_all, tell_affected

        now = datetime.now(UTC)
        affected = plan_deletion(runs or (), only, runs_directory(runs_dir), now, force=force)
        for note in affected.notes:
            terminal.warning(note)
        for run in affected.runs:
            for reason in affected.needed.get(run.run_id, ()):
                what = "is deleted" if yes else "would be deleted"
                terminal.warning(f"{run.name} {what} although it is needed: {reason}")
        problems = delete(affected) if yes and affected.runs else []
        for problem in problems:
            terminal.warning(
                f"MLflow was not updated: {problem}. The next command that reaches the store updates it."
            )
        if json:
            terminal.document({"status": "OK", "done": yes, **affected_json(affected), "mlflow": problems})
        elif not affected.runs:
            terminal.note("No run matches.")
        else:
            tell_affected(terminal, affected, now)
            if yes:
                terminal.note(f"In the trash: {in_all(affected)}.")
                ids = [run.run_id[:8] for run in affected.runs] if len(affected.runs) <= _NAMED else []
                back = next_command("runs", "restore", *ids, runs_dir=affected.runs_dir)
                terminal.note(f"{'Bring back with' if ids else 'Choose what to bring back'}: {back}")
            else:
                terminal.sentence(f"Would go to the trash: {in_all(affected)}. Nothing was moved: add --yes.")
