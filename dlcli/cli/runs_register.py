"""`dlcli runs register`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import Json, Run, RunsDir, session


def runs_register(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The registered model.")],
    alias: Annotated[
        str | None,
        typer.Option(help="Alias that is moved to this version, such as champion.", metavar="ALIAS"),
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Also register a model from elsewhere.")] = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Register a run's saved model as a version of a registered model in MLflow.

    A run that is already registered under this name keeps its version, so the command can be repeated.
    """
    with session(json) as terminal:
        from dlcli.runner import runs_directory
        from dlcli.runs.find import find_run
        from dlcli.runs.registration import register_model
        from dlcli.terminal.changed_runs import tell_registered

        found = find_run(run, runs_directory(runs_dir))
        tell_registered(terminal, register_model(found.run_dir, name, alias, trust=trust), found.note)
