"""`dlcli ensemble`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import ConfDirs, Json, RunsDir, Trust, session
from dlcli.events import Event, Note


def ensemble(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="SWEEP|RUN...",
            help="A sweep, or two runs or more; dataset.path=FILE is the current location of their data.",
        ),
    ],
    metric: Annotated[
        str | None, typer.Option(help="Select by this metric; by default the monitored one.")
    ] = None,
    size: Annotated[int, typer.Option(min=1, metavar="N", help="Models to add, with replacement.")] = 25,
    name: Annotated[str | None, typer.Option(help="Name of the ensemble's run.")] = None,
    conf_dir: ConfDirs = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Select trials of a sweep, or runs, whose mean prediction is best, and record them as a run.

    Members are selected greedily on out-of-fold or validation rows, and the ensemble is tested on the final test rows.

    - `dlcli ensemble searched --name together`

    `predict`, `eval`, `export`, `serve`, `compare` and `report` accept the ensemble like any other run.
    """
    with session(json, supervised=True) as terminal:
        from dlcli.runner import ensemble as runner
        from dlcli.terminal.outcome import tell_outcome

        def listen(event: Event) -> None:
            if isinstance(event, Note):
                terminal.note(event.text)

        overrides = [word for word in runs if word.startswith("dataset.") and "=" in word]
        result = runner.ensemble(
            [word for word in runs if word not in overrides],
            metric=metric,
            size=size,
            name=name,
            overrides=overrides,
            conf_dirs=conf_dir or (),
            runs_dir=runs_dir,
            trust=trust,
            listen=listen,
        )
        tell_outcome(terminal, result, json)
