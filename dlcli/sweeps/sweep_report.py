"""The report of a sweep: a table of its trials, the importances of its settings, and its plots."""

from __future__ import annotations

import csv
import importlib
import io
from contextlib import suppress
from pathlib import Path

from dlcli.datasets.notices import Notice
from dlcli.formatting import counted
from dlcli.reports.missing_pictures import ALL_PLOTS, MissingPictures
from dlcli.sweeps.dimension import plain_text
from dlcli.sweeps.leaderboard import Standing
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.study import Study
from dlcli.tracking.ledger import Ledger, atomic_write

_SEED = 0  # seed of the random forest for the importances
# Plots that cannot always be drawn, with their requirements.
_NEEDS = {
    "parallel_coordinates": "two settings",
    "importances": "four finished trials that differ in value, and a setting that all of them have",
    "contour": "four finished trials, and three values of each of the two most important settings",
}


def write_sweep_report(
    run_dir: Path, plan: SweepPlan, study: Study, standing: Standing
) -> tuple[dict[str, float], list[str], list[Notice]]:
    """Write `trials.csv` and `plots/`.

    Returns:
        The importances of settings, sentences on plots that need other trials, and notices on plots that failed.
    """
    atomic_write(run_dir / "trials.csv", trials_csv(plan, standing))
    plots = run_dir / "plots"
    plots.mkdir(exist_ok=True)
    about = f"{Ledger.load(run_dir).run_name} · {plan.estimation.data.name} · {counted(len(standing.trials), 'trial')}"
    told, lacking, missing = [], [], MissingPictures()
    importances: dict[str, float] = {}
    try:
        importances = study.importances(_SEED)
    except Exception as error:  # must not fail the sweep
        told.append(f"The importances could not be computed: {type(error).__name__}: {error}")
    with missing.noting(ALL_PLOTS):
        from dlcli.reports.style import save
        from dlcli.sweeps.trial_plots import trial_plots

        for name, draw in trial_plots(plan, importances, standing).items():
            with missing.noting(name):
                if (picture := draw()) is not None:
                    save(picture, plots / f"{name}.png", about)
                elif not (told and name in ("importances", "contour")):
                    lacking.append(f"{name} (it needs {_NEEDS[name]})")
    told += [f"Not drawn: {'; '.join(lacking)}."] if lacking else []
    return importances, told, missing.notices(run_dir)


def import_plots() -> None:
    """Import matplotlib while a process has nothing else to do; if that fails, drawing the plots reports the reason."""
    with suppress(Exception):
        importlib.import_module("dlcli.sweeps.trial_plots")


def trials_csv(plan: SweepPlan, standing: Standing) -> str:
    """Return a CSV with a line per trial: number, state, whether it is the best, objectives, settings, metrics, run."""
    keys = list(dict.fromkeys(dimension.key for dimension in plan.space.dimensions))
    goals = [objective.metric for objective in plan.objectives]
    figures = list(
        dict.fromkeys(name for trial in standing.trials for name in trial.metrics if name not in goals)
    )
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    front = {trial.number for trial in standing.front}
    table.writerow(["trial", "state", "best", *goals, *keys, *figures, "duration_s", "run_id", "reason"])
    for trial in standing.trials:
        values = trial.values if trial.state == "finished" else [""] * len(goals)
        table.writerow(
            [trial.number, trial.state, "yes" if trial.number in front else "", *values]
            + [plain_text(trial.params[key]) if key in trial.params else "" for key in keys]
            + [trial.metrics.get(name, "") for name in figures]
            + [trial.seconds, trial.run_id, trial.reason or ""]
        )
    return text.getvalue()
