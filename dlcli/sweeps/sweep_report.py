"""The report of a sweep: a table of its trials, the importances of its settings, and its plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dlcli.errors import DlcliError
from dlcli.formatting import counted
from dlcli.reports.style import save
from dlcli.reports.sweep_plots import (
    SettingAxis,
    Tried,
    contour,
    history,
    importance_bars,
    parallel_coordinates,
    pareto,
)
from dlcli.sweeps.dimension import Choice, Range, plain_text
from dlcli.sweeps.leaderboard import Standing
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.study import Study
from dlcli.sweeps.trial import ENDINGS, Trial
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
) -> tuple[dict[str, float], list[str]]:
    """Write `trials.csv` and `plots/`; return the importances of settings, and notes on plots that are missing."""
    atomic_write(run_dir / "trials.csv", trials_csv(plan, standing))
    plots = run_dir / "plots"
    plots.mkdir(exist_ok=True)
    about = f"{Ledger.load(run_dir).run_name} · {plan.estimation.data.name} · {counted(len(standing.trials), 'trial')}"
    missing, lacking = [], []
    importances: dict[str, float] = {}
    try:
        importances = study.importances(_SEED)
    except Exception as error:  # must not fail the sweep
        missing.append(f"The importances could not be computed: {type(error).__name__}: {error}")
    for name, draw in _pictures(plan, importances, standing).items():
        try:
            if (picture := draw()) is not None:
                save(picture, plots / f"{name}.png", about)
            elif not (missing and name in ("importances", "contour")):
                lacking.append(f"{name} (it needs {_NEEDS[name]})")
        except DlcliError:
            raise
        except Exception as error:  # a picture must not fail the sweep
            missing.append(f"The picture {name} could not be drawn: {type(error).__name__}: {error}")
    return importances, [*missing, *([f"Not drawn: {'; '.join(lacking)}."] if lacking else [])]


def _pictures(
    plan: SweepPlan, importances: Mapping[str, float], standing: Standing
) -> dict[str, Callable[[], Figure | None]]:
    """Return name of a plot to a function that draws it, or returns None if it cannot be drawn."""
    goal, done = plan.objectives[0], standing.having("finished")
    scales = _scales(plan, done)
    tried = [Tried(trial.number, _drawn(trial, scales), trial.values[0]) for trial in done]
    early = {str(state): [trial.number for trial in standing.having(state)] for state in ENDINGS[1:]}

    def mattered() -> Figure | None:
        most = [scales[name] for name in importances if name in scales][:2]
        return contour(tried, most[0], most[1], goal.metric, goal.mode) if len(most) > 1 else None

    axes = list(scales.values())
    found: dict[str, Callable[[], Figure | None]] = {
        "history": lambda: history(tried, early, goal.metric, goal.mode),
        "parallel_coordinates": lambda: parallel_coordinates(tried, axes, goal.metric, goal.mode),
        "importances": lambda: importance_bars(importances, goal.metric) if importances else None,
        "contour": mattered,
    }
    if len(plan.objectives) > 1:
        front = {trial.number for trial in standing.front}
        found["pareto_front"] = lambda: pareto(
            [trial.values for trial in done],
            [index for index, trial in enumerate(done) if trial.number in front],
            [objective.metric for objective in plan.objectives],
        )
    return found


def _scales(plan: SweepPlan, done: Sequence[Trial]) -> dict[str, SettingAxis]:
    """Return key to its axis: numeric, or categorical if the key is a choice under any condition."""
    found: dict[str, SettingAxis] = {}
    for key in dict.fromkeys(dimension.key for dimension in plan.space.dimensions):
        domains = [dimension.domain for dimension in plan.space.dimensions if dimension.key == key]
        values = [value for domain in domains if isinstance(domain, Choice) for value in domain.values]
        if values:
            # Under another condition the key may be numeric; its tried values are added.
            values += [trial.params[key] for trial in done if key in trial.params]
            found[key] = SettingAxis(key, tuple(dict.fromkeys(map(plain_text, values))))
        else:
            log = all(domain.log for domain in domains if isinstance(domain, Range))
            found[key] = SettingAxis(key, log=log)
    return found


def _drawn(trial: Trial, scales: Mapping[str, SettingAxis]) -> dict[str, object]:
    return {
        key: plain_text(v) if scales[key].names else v for key, v in trial.params.items() if key in scales
    }


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
