"""`dlcli sweep`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.common import ConfDirs, Json, Overrides, RunsDir, jobs_of, session
from dlcli.terminal.outcome import tell_outcome

if TYPE_CHECKING:
    from dlcli.sweeps.cost import CostEstimate
    from dlcli.terminal.console import Terminal


def sweep(
    overrides: Overrides = None,
    trials: Annotated[int | None, typer.Option(metavar="N", help="The number of trials.")] = None,
    conf_dir: ConfDirs = None,
    jobs: Annotated[int | None, jobs_of("Trials")] = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--time", "--timeout", metavar="TIME", help="Do not start trials after this time: 90s, 30m, 2h."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The sweep's name.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the space, its size and the estimated time.")
    ] = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Search for the best configuration on validation rows, and test the best model once.

    A key with several values is searched; a learning rate is best searched on a logarithmic scale. Without such keys,
    the model's own ranges are searched:

    - `dlcli sweep dataset=iris model=mlp --time 10s`
    - `dlcli sweep dataset=iris model=mlp model.hidden=8,16,32`
    - `dlcli sweep model=mlp 'optimizer.lr=tag(log,interval(1e-3,1e-1))'`

    Each trial is a child run of the sweep. `dlcli resume` continues a sweep that was stopped.
    """
    with session(json, supervised=True) as terminal:
        from dlcli.config.pasted import quoted
        from dlcli.executors.early import warm_early
        from dlcli.terminal.waiting import loading

        flags = {
            "sweep.trials": trials,
            "sweep.timeout": quoted(time) if time is not None else None,
            "executor.jobs": jobs,
            "run_name": quoted(name) if name is not None else None,
        }
        asked = [*(overrides or ()), *(f"{key}={value}" for key, value in flags.items() if value is not None)]
        if not dry_run:
            plots = ["dlcli.reports.run_plots", "dlcli.reports.classification"]  # of the refit
            warm_early(asked, lambda: loading(terminal), plots)
        with loading(terminal):
            from dlcli.runner import sweep as runner
        from dlcli.terminal.progress import Progress

        if dry_run:
            _tell(terminal, runner.estimate(asked, conf_dir or (), runs_dir, terminal.sentence), json)
            return
        with Progress(terminal, "dlcli sweep", notes_below_panel=True) as listen:
            result = runner.sweep(asked, conf_dir or (), runs_dir, listen)
        tell_outcome(terminal, result, json)


def _tell(terminal: Terminal, forecast: CostEstimate, json: bool) -> None:
    if json:
        terminal.document({"status": "OK", **forecast.to_json()})
        return
    terminal.panel("dlcli sweep --dry-run", forecast.rows())
    terminal.note("Nothing was trained.")
