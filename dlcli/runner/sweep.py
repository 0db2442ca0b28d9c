"""`dlcli sweep`: run a search, or estimate its cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dlcli.assembly.automatic import automatic_tags
from dlcli.assembly.starting_weights import weights_tags
from dlcli.checks.recorded_profile import about_data
from dlcli.distributed.ranks import leading
from dlcli.events import Listener, Note, ignore
from dlcli.formatting import amount
from dlcli.job import take_part
from dlcli.result import Result
from dlcli.runner.recording import recording
from dlcli.runs.creation import make_run
from dlcli.sweeps.cost import CostEstimate, check_room, estimate_cost
from dlcli.sweeps.planning import plan_sweep
from dlcli.sweeps.run_sweep import run_sweep
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.store import open_store


def sweep(
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    listen: Listener = ignore,
) -> Result:
    """Search for the best configuration: compose, check every value, create the run, and run the trials."""
    with leading(take_part):
        tell = None if listen is ignore else lambda text: listen(Note(text))
        plan = plan_sweep(overrides, conf_dirs, runs_dir, tell=tell)
        disk = check_room(plan)
        most = "at most" if plan.options.timeout is not None else "about"
        with open_store(Path(plan.config["runs_dir"])) as store:
            for note in [
                *store.notes,
                *reconcile(store.runs_dir, store),
                f"The sweep will leave {most} {amount(disk)} on the disk.",
            ]:
                listen(Note(note))
            run_dir = make_run(
                store,
                "sweep",
                plan.estimation,
                plan.whole,
                name=f"sweep-{plan.experiment.data.name}",
                overrides=[*overrides, *plan.folds],
                folders=plan.experiment.folders,
                params=plan.recorded_params,
                tags={**weights_tags(plan.config), **automatic_tags(plan.experiment.choices)},
                about=about_data(plan.experiment.data, plan.warnings),
            )
            with recording(run_dir, store, listen):
                return run_sweep(plan, run_dir, store, listen)


def estimate(
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> CostEstimate:
    """Estimate what a sweep would take, without recording anything; `tell` receives warnings."""
    return estimate_cost(plan_sweep(overrides, conf_dirs, runs_dir, tell=tell))
