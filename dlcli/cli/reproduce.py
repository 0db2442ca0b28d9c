"""`dlcli reproduce`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import ConfDirs, DataPlace, Json, Run, RunsDir, Trust, session


def reproduce(
    run: Run,
    overrides: DataPlace = None,
    conf_dir: ConfDirs = None,
    seeds: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="If metrics differ, train with N (2 or more) other seeds to see whether seeds explain it.",
        ),
    ] = 0,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Train a finished run again in a new run, and compare its weights and metrics with the original.

    Data, split and code are compared with the record, and the environment package by package.
    """
    with session(json, supervised=True) as terminal:
        from dlcli.terminal.waiting import loading

        with loading(terminal):
            from dlcli.runner import reproduce as runner
        from dlcli.terminal.outcome import tell_reproduction
        from dlcli.terminal.progress import Progress

        with Progress(terminal, "dlcli reproduce") as listen:
            result, found = runner.reproduce(
                run, overrides or (), conf_dir or (), runs_dir, listen, trust=trust, seeds=seeds
            )
        tell_reproduction(terminal, result, found)
