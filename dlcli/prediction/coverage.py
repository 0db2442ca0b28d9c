"""Models whose predictions include sets or intervals, calibrated on recorded predictions of rows not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch

from dlcli.errors import DataError, InputError
from dlcli.inference.ensemble_model import Ensemble
from dlcli.inference.evaluation import load_outputs
from dlcli.inference.predictions_file import all_predictions
from dlcli.runs.ensembles import OpenedModel
from dlcli.runs.folder import OpenedRun
from dlcli.runs.recorded import read_split
from dlcli.splits.split import HELD_OUT
from dlcli.statistics.conformal import Conformal, PredictionSets
from dlcli.statistics.conformal_methods import ConformalMethod, conformal_of
from dlcli.tasks.base import Task
from dlcli.tasks.calibration import apply_calibration
from dlcli.tracking.digests import OUTPUTS_FILE, check_recorded


@dataclass(frozen=True, eq=False)
class Covering(OpenedModel):
    """A model whose predictions include sets or intervals.

    Attributes:
        calibration: Indices of the calibration rows; empty for a model without sets and intervals.
    """

    calibration: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def check_not_calibrated(self, rows: np.ndarray) -> None:
        """Check that the rows on which coverage is to be measured contain no calibration rows.

        Raises:
            DataError: They contain some.
        """
        if known := len(np.intersect1d(self.calibration, rows)):
            raise DataError(
                f"{known:,} of the {len(rows):,} rows are calibration rows, on which the coverage holds by "
                "construction",
                "--coverage",
                "Measure it on test rows (--split test), or on new rows (--file FILE).",
            )


def with_coverage(
    found: OpenedModel, coverage: float | None, method: ConformalMethod | None = None
) -> Covering:
    """Return an opened model, with sets or intervals of a coverage unless that is None.

    The calibration rows are the validation rows of a run, the rows that the folds of a cross-validation hold out, and
    the mean of both over the members of an ensemble not trained on a row. Test rows of a hold-out are not used.

    Args:
        found: The model.
        coverage: Requested share of new rows.
        method: How sets and intervals are made; None for `plain`.

    Raises:
        InputError: The task has neither sets nor intervals, or there are too few rows for the coverage, or the method
            needs the models of folds.
        CorruptRun: Recorded predictions cannot be read.
    """
    given = {"run": found.run, "model": found.model, "members": found.members, "notes": found.notes}
    if coverage is None:
        if method is not None:
            raise InputError("is a kind of sets and intervals", "--conformal", "Add such as --coverage 0.9.")
        return Covering(**given)  # type: ignore[arg-type]
    if found.run.ledger.kind == "sweep" and not found.members:
        command = dict(found.run.ledger.result.get("best") or {}).get("command", "dlcli train")
        hint = f"Train it by itself, and predict with that run: {command}"
        raise InputError("is a sweep, whose winner has no calibration rows", found.run.ledger.run_name, hint)
    runs, counts = [found.run], [1]
    refitted = not found.members and found.run.ledger.kind == "cv"
    if found.members:
        assert isinstance(found.model, Ensemble)
        # Each model is loaded once, in order of first occurrence.
        runs = list({one.folder: one for one in found.members}.values())
        counts = [member.count for member in found.model.members]
    elif refitted:
        folds = found.run.ledger.result.get("folds", ())
        runs = [_of_folder(found.run, run_id) for run_id in folds]
        counts = [1] * len(runs)
    task = found.model.task
    table, out_of_fold = _calibration_table(runs, counts, task)
    if table.empty:
        hint = "Train in folds (cv=kfold), or with validation rows: cv=holdout"
        raise InputError("has no rows for a calibration", found.run.ledger.run_name, hint)
    held_out_by: list[np.ndarray] = []
    if method == "plus":
        if not found.members or not out_of_fold:
            hint = (
                "Add --use folds: it needs the models of the folds."
                if refitted
                else "Train in folds (cv=kfold) and keep their weights, or leave --conformal out."
            )
            raise InputError("is not a mean of the models of folds", "--conformal plus", hint)
        table = table.sort_values([name for name in ("row", "step") if name in table], kind="stable")
        held_out_by = _held_out_by(table, counts)
    conformal = conformal_of(task.kind, table, coverage, method or "plain", held_out_by)
    calibrated = _fitted_calibration(found, runs, out_of_fold)
    steps = "step" in table
    said = _told(coverage, conformal, found, out_of_fold, plus=method == "plus", calibrated=calibrated)
    if method == "plus":
        said = f"{said}, {_usual_of_plus(coverage, found, held_out_by, calibrated=calibrated, steps=steps)}"
    if steps:
        said += " Forecast windows overlap and the future may differ from the past, so this is approximate."
    notes = [*found.notes, said]
    model = replace(found.model, conformal=conformal)
    return Covering(found.run, model, found.members, tuple(notes), table["row"].unique())


def _of_folder(run: OpenedRun, run_id: str) -> OpenedRun:
    folder = run.ledger.sibling(run_id)
    tuned = run.ledger.result.get("tuned", {})
    return replace(run, folder=folder, ledger=type(run.ledger).load(folder), tuned=tuned)


def _held_out_by(table: pd.DataFrame, counts: Sequence[int]) -> list[np.ndarray]:
    """Return for each row of a calibration table the weights `(K,)` of the members that were not trained on it."""
    weights: dict[tuple[int, ...], np.ndarray] = {}
    found = []
    for members in table.drop_duplicates("row")["_members"]:
        if members not in weights:
            weights[members] = np.zeros(len(counts))
            for place in members:
                weights[members][place] = counts[place]
        found.append(weights[members])
    return found


def _predictions(run: OpenedRun, task: Task) -> pd.DataFrame:
    """Return the recorded predictions of a run; of a fold that its cross-validation calibrates, calibrated by that."""
    table = all_predictions(run.folder)
    held_out = (table["split"] == HELD_OUT).to_numpy()
    if "calibrated_by" not in run.tuned or not held_out.any():
        return table
    check_recorded(run.ledger, OUTPUTS_FILE)
    rows, outputs = load_outputs(run.folder, read_split(run.ledger).test, uncalibrated=True)
    predicted = task.predictions(apply_calibration(run.tuned, torch.from_numpy(outputs))).set_index(rows)
    table.loc[held_out, predicted.columns] = predicted.loc[table.loc[held_out, "row"]].to_numpy()
    return table


def _calibration_table(
    runs: Sequence[OpenedRun], counts: Sequence[int], task: Task
) -> tuple[pd.DataFrame, bool]:
    """Return targets and predictions of rows, the mean over the runs that were not trained on a row.

    The column `_members` has the places of these runs. Also return whether these are rows that other runs were trained
    on.
    """
    tables = []
    splits = [read_split(one.ledger) for one in runs]
    used = np.unique(np.concatenate([rows for split in splits for rows in (split.train, split.val)]))
    for place, (one, count) in enumerate(zip(runs, counts, strict=True)):
        table = _predictions(one, task)
        # Test rows that all seeds of a hold-out share are not used; rows that a fold holds out are used by others.
        held_out = (table["split"] == HELD_OUT) & table["row"].isin(used)
        chosen = held_out if held_out.any() else table["split"] == "val"
        tables.append(table[chosen].assign(_count=count, _place=place))
    joined = pd.concat(tables, ignore_index=True)
    out_of_fold = bool((joined["split"] == HELD_OUT).any())
    keys = [name for name in ("row", "step") if name in joined]
    if not joined.duplicated(keys).any():
        joined["_members"] = joined.pop("_place").map(lambda place: (place,))
        return joined.drop(columns="_count"), out_of_fold
    # A row may be evaluated by several models, such as those of repeated folds.
    numbers = [str(name) for name in joined.columns if str(name).startswith(("p(", "prediction", "q"))]
    numbers = [name for name in numbers if pd.api.types.is_numeric_dtype(joined[name])]
    weighted = joined[numbers].mul(joined["_count"], axis=0)
    groups = weighted.groupby([joined[key] for key in keys])
    means = groups.sum().div(joined.groupby(keys)["_count"].sum(), axis=0)
    own = (*numbers, *keys, "_count", "_place")
    rest = joined.groupby(keys)[[name for name in joined.columns if name not in own]]
    members = joined.groupby(keys)["_place"].agg(tuple).rename("_members")
    return pd.concat([means, rest.first(), members], axis=1).reset_index(), out_of_fold


def _fitted_calibration(found: OpenedModel, runs: Sequence[OpenedRun], out_of_fold: bool) -> bool:
    """Return whether the calibration of probabilities was fitted on the rows that sets are calibrated on."""
    if out_of_fold:
        return any(one.tuned.get("calibrated_by", "none") != "none" for one in runs)
    models = (
        [one.model for one in found.model.members] if isinstance(found.model, Ensemble) else [found.model]
    )
    return any(model.task.calibration() is not None for model in models)


def _told(
    coverage: float,
    conformal: Conformal,
    found: OpenedModel,
    out_of_fold: bool,
    *,
    plus: bool,
    calibrated: bool,
) -> str:
    kind, rows = "sets" if isinstance(conformal, PredictionSets) else "intervals", conformal.rows
    of = "row that single models were not trained on" if out_of_fold else "validation row"
    shown = f"{rows:,} {of.replace('row', 'rows', 1)}" if rows != 1 else f"1 {of}"
    said = f"{kind.capitalize()} are to cover {coverage:.4g} of new rows, calibrated on {shown}"
    fitted = "fitted the calibration of the probabilities"
    if plus:
        return said
    if out_of_fold:
        model = "their mean" if found.members else "another model"
        usual = f"but also {fitted}" if calibrated else "sets and intervals are usually a little wide"
        return f"{said}, while {model} predicts, so this is approximate; {usual}."
    uses = f"chose the epoch and {fitted}" if calibrated else "chose the epoch"
    return f"{said}, which also {uses}: the coverage of new rows may be a little lower."


def _usual_of_plus(
    coverage: float,
    found: OpenedModel,
    held_out_by: Sequence[np.ndarray],
    *,
    calibrated: bool,
    steps: bool,
) -> str:
    """Return which share is usual for CV+, and the one that is guaranteed, or why none is.

    The bound is that of theorem 4 of Barber et al. (2021), which needs rows whose order does not matter, and all models
    of one division into folds that depend on their training rows alone.
    """
    dataset, cv = found.run.config["dataset"], found.run.config["cv"]
    members = {one.ledger.run_id for one in found.members}
    begins = f"each by these models (CV+): about {coverage:.4g} is usual"
    reason = ""
    if calibrated:
        reason = "the calibration of the probabilities was fitted on the same rows"
    elif steps or dataset.get("group") or not str(cv.get("_target_")).endswith(".KFold"):
        reason = "rows in order of time or in groups, and folds other than cv=kfold, are not covered by the theorem"
    elif members != set(found.run.ledger.result.get("folds", ())):
        reason = "these are not the models of all folds of one cross-validation"
    elif max(int((weights > 0).sum()) for weights in held_out_by) > 1:
        reason = "rows are held out by several models"
    if reason:
        return f"{begins}; no share is guaranteed: {reason}."
    folds, rows = len(held_out_by[0]), len(held_out_by)
    lost = min(2 * (1 - 1 / folds) / (rows // folds + 1), (1 - folds / rows) / (folds + 1))
    least = np.floor(1000 * max(0.0, 2 * coverage - 1 - lost)) / 1000
    return f"{begins}, and at least {least:g} is guaranteed if new rows are distributed like these."
