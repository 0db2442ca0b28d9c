"""The tables of a run's report: metrics, folds, trials, importances."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlcli.formatting import counted, duration
from dlcli.page.account import Account, ChildRun
from dlcli.page.blocks import Cell, Estimate, Figures, shown_number
from dlcli.page.worst_rows import estimate_of
from dlcli.result import against_trees
from dlcli.runs.ensemble_members import members_in
from dlcli.runs.main_figure import main_figure
from dlcli.statistics.of_rows import wilson_interval
from dlcli.tracking.best_epoch import best_epoch

_MANY = 20  # number of rows of a table that are shown at first
_METRICS = 4  # maximum number of metrics in the tables of folds and trials
_BASELINE = "baseline/"


def figures_tables(account: Account, *, one_loss: bool = True) -> list[Figures]:
    """Return the tables of a run's results: means over folds, a sweep's winner, or the best epoch.

    With `one_loss`, a loss that is the log loss has one row.
    """
    tables = [table for table in (_over_folds(account), _on_parts(account)) if table is not None]
    return [without_log_loss_twice(table) for table in tables] if one_loss else tables


def without_log_loss_twice(table: Figures) -> Figures:
    """Return a table of metrics with one row for `loss` and `log_loss` if all of their figures are equal.

    A cross-entropy without weights is the log loss; they differ by rounding, since the loss is a mean over batches.
    """
    rows = {str(row[0]): row for row in table.rows}
    if not {"loss", "log_loss"} <= rows.keys() or not all(
        map(_equal, rows["loss"][1:], rows["log_loss"][1:])
    ):
        return table
    rows["loss"] = ("loss (log_loss)", *rows.pop("log_loss")[1:])  # only the log loss has intervals over rows
    return replace(table, rows=tuple(rows.values()))


def _equal(a: Cell, b: Cell) -> bool:
    x, y = (cell.value if isinstance(cell, Estimate) else cell for cell in (a, b))
    if isinstance(x, float) and isinstance(y, float):
        return math.isclose(x, y, rel_tol=1e-4, abs_tol=1e-7)
    return x == y


def metric_intervals(account: Account) -> dict[str, tuple[float, float]]:
    """Return the known 95 % intervals: `test/accuracy`, or for folds `cv/accuracy_mean`, to both ends.

    Those of a part cover the choice of its rows, those of folds also the training.
    """
    metrics, values = account.ledger.metrics, account.run.result.values
    found = {}
    for name in values:
        low, high = (metrics.get(f"{name.removesuffix('_mean')}_ci95_{end}") for end in ("low", "high"))
        if name.startswith("cv/") and name.endswith("_mean") and low is not None and high is not None:
            found[name] = (low, high)
    part = "test" if any(name.startswith("test/") for name in values) else "val"
    judged = account.judged.intervals if account.judged is not None else {}
    found |= {f"{part}/{name}": ends for name, ends in judged.items() if f"{part}/{name}" in values}
    on_val = "val/accuracy"
    if on_val in values and on_val not in found and not account.run.result.best:
        of_hits = _of_accuracy(values[on_val], account.sizes.get("val", 0))
        found |= {} if of_hits is None else {on_val: of_hits}
    return found


def key_figures(account: Account) -> list[tuple[str, str, str]]:
    """Return the key figures: label, text, and a small text below."""
    figure = main_figure(account.ledger)
    if figure is None:
        return []
    name = figure.name.partition("/")[2].removesuffix("_mean").removeprefix("val/").removeprefix("test/")
    tables = figures_tables(account, one_loss=False)
    cells = [
        cell
        for table in tables
        for row in table.rows
        for cell in row
        if row[0] == name and isinstance(cell, Estimate) and math.isclose(cell.value, figure.value)
    ]
    ends = next((cell.interval_text() for cell in cells if cell.has_interval), "")
    part = figure.name.partition("/")[0]
    where = {"cv": "mean over folds", "test": account.held_out, "val": "validation rows"}.get(
        part, "validation rows"
    )
    found = [
        (name.replace("_", " "), shown_number(figure.value), f"{where}{f', 95 % {ends}' if ends else ''}")
    ]
    if figure.baseline is not None and not math.isnan(figure.baseline):
        found.append(("baseline", shown_number(figure.baseline), "ignores the inputs"))
    return found


def _over_folds(account: Account) -> Figures | None:
    metrics, baselines = account.ledger.metrics, account.run.result.baselines
    intervals = metric_intervals(account)
    names = [
        name[3:-5] for name in account.run.result.values if name.startswith("cv/") and name.endswith("_mean")
    ]
    if not names:
        return None
    has_baseline = any(f"cv/{name}_mean" in baselines for name in names)
    pooled = any(f"cv/{name}_{part}_in" in metrics for name in names for part in ("defined", "complete"))
    heading = [
        "metric",
        "mean\n95 % interval",
        "std",
        *(["pooled"] if pooled else []),
        *(["baseline"] if has_baseline else []),
    ]
    rows = []
    for name in names:
        low, high = intervals.get(f"cv/{name}_mean", (None, None))
        row: list[Cell] = [name, Estimate(metrics[f"cv/{name}_mean"], low, high, is_mean=True)]
        row.append(metrics.get(f"cv/{name}_std"))
        row += [metrics.get(f"cv/{name}_pooled")] if pooled else []
        row += [baselines.get(f"cv/{name}_mean")] if has_baseline else []
        rows.append(tuple(row))
    folds = {fold.ledger.tags.get("dlcli.fold") for fold in account.folds}
    seeds = -(-len(account.folds) // max(len(folds), 1))
    times = f" x {seeds} seeds" if seeds > 1 else ""
    held = sum(f.sizes.get("test", 0) for f in account.folds) // seeds
    note = f"Mean over {counted(len(folds), 'split')}{times}" + (
        f", {held:,} held-out rows in all." if held else "."
    )
    note += " The interval is a corrected resampled t interval (Nadeau and Bengio, 2003)."
    keys = ("metric", "mean", *heading[2:])
    title = f"{account.ledger.run_name}, held-out rows"
    return Figures("results", title, tuple(heading), tuple(rows), note, keys=keys)


def _on_parts(account: Account) -> Figures | None:
    """Return the figures on the final test rows and the validation rows, with baselines."""
    result, sizes = account.run.result, dict(account.sizes)
    metrics, heads = dict(result.values), {"test": account.held_out, "val": "validation rows"}
    notes = []
    if best := result.best:
        own = best.get("metrics")
        metrics |= own if isinstance(own, dict) else {}
        heads = {"test": "final test rows", "val": "validation rows"}
        final = "ensemble" if members_in(account.ledger) else "refitted model"
        notes.append(f"The validation figures are those of the best trial, the others those of the {final}.")
        sizes["val"] = 0
    elif account.refitted is not None:
        notes.append("The model was trained again on all rows but the final test rows.")
    parts = [part for part in ("test", "val") if any(name.startswith(f"{part}/") for name in metrics)]
    names = dict.fromkeys(
        name.partition("/")[2] for part in parts for name in metrics if name.startswith(f"{part}/")
    )
    if not names:
        return None
    heading, keys, rows = ["metric"], ["metric"], []
    has_baseline = {part: any(name.startswith(f"{part}/") for name in result.baselines) for part in parts}
    intervals = metric_intervals(account)
    for part in parts:
        count = f"\n{sizes[part]:,} rows" if sizes.get(part) else ""
        heading += [f"{heads[part]}{count}", *(["baseline"] if has_baseline[part] else [])]
        keys += [part, *([f"{part} baseline"] if has_baseline[part] else [])]
    for name in names:
        row: list[Cell] = [name]
        for part in parts:
            value = metrics.get(f"{part}/{name}")
            row.append(None if value is None else estimate_of(value, intervals.get(f"{part}/{name}")))
            row += [result.baselines.get(f"{part}/{name}")] if has_baseline[part] else []
        rows.append(tuple(row))
    if any(isinstance(cell, Estimate) and cell.has_interval for row in rows for cell in row):
        notes.append("95 % intervals cover the choice of these rows, not the training.")
    if any(has_baseline.values()):
        notes.append("The baseline ignores the inputs.")
    of_trees = against_trees(metrics, result.baselines)
    # The recorded sentence has a conclusion from the rows.
    notes += [text for text in result.messages if of_trees and text.startswith(of_trees[0])][:1] or of_trees
    title = f"{account.ledger.run_name}, {'winner' if result.best else 'best epoch'}"
    return Figures("figures", title, tuple(heading), tuple(rows), " ".join(notes), keys=tuple(keys))


def _of_accuracy(value: float, rows: int) -> tuple[float, float] | None:
    hits = round(value * rows)
    return wilson_interval(hits, rows) if rows and abs(hits / rows - value) < 1e-4 else None


def table_of_folds(account: Account) -> Figures | None:
    """Return a line for each fold: seed, chosen settings, rows, epoch, metrics, status."""
    folds = account.folds
    if not folds:
        return None
    chosen = {fold.run_id: fold.params for fold in account.run.result.folds}
    keys = list(dict.fromkeys(key for params in chosen.values() for key in params))
    metrics = _few_metrics("test/", [fold.ledger.metrics for fold in folds])
    seeds = account.seeds
    several = any(seeds)
    rows = []
    for place, fold in enumerate(folds):
        ledger = fold.ledger
        row: list[Cell] = [int(ledger.tags.get("dlcli.fold", 0))]
        row += [seeds[place]] if several else []
        row += [_setting(chosen.get(ledger.run_id, {}).get(key)) for key in keys]
        row += [fold.sizes.get("test"), best_epoch(ledger.metrics)]
        row += [ledger.metrics.get(f"test/{name}") for name in metrics]
        rows.append((*row, _status(fold)))
    heading = ("fold", *(["seed"] if several else []), *keys, "rows", "best epoch", *metrics, "status")
    if all(row[-1] == "FINISHED" for row in rows):
        heading, rows = heading[:-1], [row[:-1] for row in rows]
    title = f"{account.ledger.run_name}, each fold on its held-out rows"
    return Figures("folds", title, heading, tuple(rows), many=_MANY)


def table_of_trials(account: Account) -> Figures | None:
    """Return a line for each trial of a sweep: settings, value, metrics; the best one is marked."""
    listed = [trial for trial in account.run.result.trials if isinstance(trial.get("params"), dict)]
    if not listed:
        return _unlisted_trials(account.trials, account.ledger.run_name)
    keys = list(dict.fromkeys(str(key) for trial in listed for key in trial["params"]))
    best = (account.run.result.best or {}).get("trial")
    fronts = {best, *account.run.result.front} if best is not None else set()
    metrics = _few_metrics("val/", [_numbers(trial.get("metrics")) for trial in listed])
    objective = next((name for name in account.run.result.values if name.startswith("best/")), "best/value")
    goal = objective.removeprefix("best/")
    metrics = [name for name in metrics if f"val/{name}" != goal]
    rows = []
    for trial in listed:
        took, value = trial.get("duration_s"), trial.get("value")
        row: list[Cell] = [_int(trial.get("trial")), float(value) if isinstance(value, int | float) else None]
        row += [_setting(trial["params"].get(key)) for key in keys]
        row += [_numbers(trial.get("metrics")).get(f"val/{name}") for name in metrics]
        row += [
            duration(float(took)).replace(" ", "\u00a0") if isinstance(took, int | float) else None,
            str(trial.get("status", "")),
        ]
        rows.append(tuple(row))
    heading = ("trial", goal, *keys, *(f"val/{name}" for name in metrics), "took", "status")
    if all(row[-1] == "FINISHED" for row in rows):
        heading, rows = heading[:-1], [row[:-1] for row in rows]
    marked = frozenset(place for place, row in enumerate(rows) if row[0] in fronts)
    which = (
        "The best trial is marked." if len(marked) == 1 else "The best trial and the Pareto front are marked."
    )
    title = f"{account.ledger.run_name}, trials"
    return Figures("trials", title, heading, tuple(rows), which if marked else "", marked, _MANY)


def _unlisted_trials(trials: Sequence[ChildRun], name: str) -> Figures | None:
    if not trials:
        return None
    metrics = _few_metrics("val/", [trial.ledger.metrics for trial in trials])
    rows = [
        (
            trial.ledger.run_name,
            *(trial.ledger.metrics.get(f"val/{metric}") for metric in metrics),
            _status(trial),
        )
        for trial in trials
    ]
    heading = ("trial", *(f"val/{metric}" for metric in metrics), "status")
    return Figures("trials", f"{name}, trials so far", heading, tuple(rows), many=_MANY)


def table_of_importances(account: Account) -> Figures | None:
    """Return the table of importances: the share of the objective's variance that each setting explains."""
    found = _numbers(account.ledger.result.get("importances"))
    if not found:
        return None
    rows = tuple((key, share) for key, share in found.items())
    note = "Share of the variance of the objective that a setting explains (fANOVA; Hutter et al., 2014)."
    return Figures(
        "importances", f"{account.ledger.run_name}, importance of settings", ("setting", "share"), rows, note
    )


def table_of_members(account: Account) -> Figures | None:
    """Return the members of an ensemble that was selected, and how often each counts in the mean."""
    found, members = account.ledger.result, members_in(account.ledger)
    if not members:
        return None
    total = sum(one.times for one in members) or 1
    rows = [(one.run_name, one.run_id, one.times, f"{one.times / total:.0%}") for one in members]
    chosen = found.get("selection")
    note = ""
    if isinstance(chosen, dict) and isinstance(chosen.get("ensemble"), int | float):
        single = _numbers(chosen).get("best_single", math.nan)
        note = (
            f"Selected by {chosen.get('metric')} on {_numbers(chosen).get('rows', 0):,.0f} rows that each member was "
            f"not trained on: {shown_number(float(chosen['ensemble']))} together, {shown_number(single)} for the best "
            "single one. Both are optimistic, since members were chosen by these rows."
        )
    heading = ("member", "run", "counts", "weight")
    return Figures("members", f"{account.ledger.run_name}, members", heading, tuple(rows), note, many=_MANY)


def _few_metrics(part: str, found: Iterable[Mapping[str, float]]) -> list[str]:
    names = dict.fromkeys(name[len(part) :] for metrics in found for name in metrics if name.startswith(part))
    return list(names)[:_METRICS]


def _numbers(found: Any) -> dict[str, float]:
    if not isinstance(found, dict):
        return {}
    return {
        str(k): float(v) for k, v in found.items() if isinstance(v, int | float) and not isinstance(v, bool)
    }


def _setting(value: Any) -> Cell:
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    return value if isinstance(value, int | float) else str(value)


def _int(value: Any) -> Cell:
    return value if isinstance(value, int) else str(value)


def _status(child: ChildRun) -> str:
    return child.status
