"""`dlcli train`."""

from __future__ import annotations

from typing import Annotated

import typer

from dlcli.cli.common import ConfDirs, Jobs, Json, Overrides, RunsDir, session
from dlcli.terminal.outcome import tell_outcome


def train(
    overrides: Overrides = None,
    conf_dir: ConfDirs = None,
    jobs: Jobs = None,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of training seeds with which everything is repeated."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like", metavar="RUN", help="Start from the settings of an earlier run; overrides change them."
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--time",
            metavar="TIME",
            help="With effort=best: do not start trials after this time: 90s, 30m, 2h.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The run's name.")] = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Train an experiment and record it.

    Without arguments: handwritten digits, a small CNN, Adam. Overrides choose any other part, cross-validation too:

    - `dlcli train dataset=iris model=mlp optimizer=sgd optimizer.lr=0.02`
    - `dlcli train dataset=iris model=mlp cv=stratified_kfold --jobs 2`
    - `dlcli train dataset=table effort=best --time 10m` searches for the best model instead.
    """
    with session(json, supervised=True) as terminal:
        from dlcli.checks.sweep_settings import asks_for_search
        from dlcli.config.misspelt import refuse_misspelt
        from dlcli.config.pasted import quoted
        from dlcli.executors.early import warm_early
        from dlcli.terminal.waiting import loading

        flags = {
            "executor.jobs": jobs,
            "cv.seeds": seeds,
            "sweep.timeout": quoted(time) if time is not None else None,
            "run_name": quoted(name) if name is not None else None,
        }
        asked = [*(overrides or ()), *(f"{key}={value}" for key, value in flags.items() if value is not None)]
        if like is None:  # otherwise the recorded words decide which keys exist
            refuse_misspelt(asked, conf_dir or ())  # before the imports below, which take seconds
        warm_early(asked, lambda: loading(terminal))
        with loading(terminal):
            from dlcli.runner import train as runner
        from dlcli.terminal.progress import Progress

        with Progress(terminal, "dlcli train", notes_below_panel=asks_for_search(asked)) as listen:
            if like is None:
                result = runner.train(asked, conf_dir or (), runs_dir, listen)
            else:
                from dlcli.events import Note
                from dlcli.runner.like import like as words_of

                found = words_of(like, asked, conf_dir or (), runs_dir)
                for note in found.notes:
                    listen(Note(note))
                with found.closed():
                    result = runner.train(
                        found.words, found.folders, runs_dir, listen, found.tags, files_may_search=False
                    )
        tell_outcome(terminal, result, json)
