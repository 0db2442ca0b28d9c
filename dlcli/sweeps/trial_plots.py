"""The plots of a sweep's trials. This module needs matplotlib, the table of trials does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure

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
from dlcli.sweeps.trial import ENDINGS, Trial


def trial_plots(
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
