"""`dlcli resume`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from dlcli.cli.common import ConfDirs, Json, Run, RunsDir, Trust, jobs_of, session
from dlcli.terminal.outcome import tell_outcome


def resume(
    run: Run,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="OVERRIDES", help="Changed settings: trainer.max_epochs=50, executor.jobs=2."),
    ] = None,
    conf_dir: ConfDirs = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="For a sweep: the total number of trials.")
    ] = None,
    jobs: Annotated[int | None, jobs_of("Folds or trials")] = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Continue a run that was stopped in any way, or extend a finished one.

    Finished folds and trials are not trained again. Interrupted training continues from its last checkpoint, in the
    same MLflow run, with the result of an uninterrupted run, which is bit-identical on the CPU of the same machine. A
    larger `trainer.max_epochs` extends a finished run, a larger `--trials` a finished sweep.
    """
    with session(json, supervised=True) as terminal:
        from dlcli.executors.early import warm_early
        from dlcli.terminal.waiting import loading

        flags = {"executor.jobs": jobs, "sweep.trials": trials}
        asked = [*(overrides or ()), *(f"{key}={value}" for key, value in flags.items() if value is not None)]
        warm_early(asked, lambda: loading(terminal))
        with loading(terminal):
            from dlcli.resumption import NOTHING_LEFT
            from dlcli.runner import resume as runner
        from dlcli.terminal.progress import Progress

        with Progress(terminal, "dlcli resume") as listen:
            result = runner.resume(run, asked, conf_dir or (), runs_dir, listen, trust=trust)
        if NOTHING_LEFT in result.messages and not json:
            terminal.note(NOTHING_LEFT)  # before the metrics, which are unchanged
            result = replace(result, messages=())
        tell_outcome(terminal, result, json)
