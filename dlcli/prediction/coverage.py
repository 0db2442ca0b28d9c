"""Models whose predictions include sets or intervals, calibrated on recorded predictions of rows not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from dlcli.errors import DataError, InputError
from dlcli.inference.ensemble_model import Ensemble
from dlcli.inference.predictions_file import all_predictions
from dlcli.runs.ensembles import OpenedModel
from dlcli.runs.folder import OpenedRun
from dlcli.runs.recorded import read_split
from dlcli.statistics.conformal import conformal_of


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


def with_coverage(found: OpenedModel, coverage: float | None) -> Covering:
    """Return an opened model, with sets or intervals of a coverage unless that is None.

    The calibration rows are the validation rows of a run, the rows that the folds of a cross-validation hold out, and
    the mean of both over the members of an ensemble not trained on a row. Test rows of a hold-out are not used.

    Raises:
        InputError: The task has neither sets nor intervals, or there are too few rows for the coverage.
        CorruptRun: Recorded predictions cannot be read.
    """
    given = {"run": found.run, "model": found.model, "members": found.members, "notes": found.notes}
    if coverage is None:
        return Covering(**given)  # type: ignore[arg-type]
    if found.run.ledger.kind == "sweep":
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
    table, out_of_fold = _calibration_table(runs, counts)
    if table.empty:
        hint = "Train in folds (cv=kfold), or with validation rows: cv=holdout"
        raise InputError("has no rows for a calibration", found.run.ledger.run_name, hint)
    task = found.model.task
    conformal = conformal_of(task.kind, table, coverage)
    notes = [*found.notes, *_told(coverage, conformal.rows, found, out_of_fold, "step" in table)]
    model = replace(found.model, conformal=conformal)
    return Covering(found.run, model, found.members, tuple(notes), table["row"].unique())


def _of_folder(run: OpenedRun, run_id: str) -> OpenedRun:
    folder = run.ledger.sibling(run_id)
    return replace(run, folder=folder, ledger=type(run.ledger).load(folder))


def _calibration_table(runs: Sequence[OpenedRun], counts: Sequence[int]) -> tuple[pd.DataFrame, bool]:
    """Return targets and predictions of rows: the mean over the runs that were not trained on the row.

    Also return whether other runs were trained on these rows.
    """
    tables = []
    splits = [read_split(one.ledger) for one in runs]
    used = np.unique(np.concatenate([rows for split in splits for rows in (split.train, split.val)]))
    for one, count in zip(runs, counts, strict=True):
        table = all_predictions(one.folder)
        # Test rows shared by all seeds of a hold-out are not used; rows held out by a fold are training rows of others.
        held_out = (table["split"] == "test") & table["row"].isin(used) & (one.ledger.kind == "fold")
        chosen = held_out if held_out.any() else table["split"] == "val"
        tables.append(table[chosen].assign(_count=count))
    joined = pd.concat(tables, ignore_index=True)
    out_of_fold = bool((joined["split"] == "test").any())
    keys = [name for name in ("row", "step") if name in joined]
    if not joined.duplicated(keys).any():
        return joined.drop(columns="_count"), out_of_fold
    # A row may be evaluated by several models, such as those of repeated folds.
    numbers = [str(name) for name in joined.columns if str(name).startswith(("p(", "prediction", "q"))]
    numbers = [name for name in numbers if pd.api.types.is_numeric_dtype(joined[name])]
    weighted = joined[numbers].mul(joined["_count"], axis=0)
    groups = weighted.groupby([joined[key] for key in keys])
    means = groups.sum().div(joined.groupby(keys)["_count"].sum(), axis=0)
    rest = joined.groupby(keys)[[name for name in joined.columns if name not in (*numbers, *keys, "_count")]]
    return pd.concat([means, rest.first()], axis=1).reset_index(), out_of_fold


def _told(coverage: float, rows: int, found: OpenedModel, out_of_fold: bool, steps: bool) -> list[str]:
    kind = "sets" if found.model.task.kind != "regression" else "intervals"
    of = "row that single models were not trained on" if out_of_fold else "validation row"
    shown = f"{rows:,} {of.replace('row', 'rows', 1)}" if rows != 1 else f"1 {of}"
    said = f"{kind.capitalize()} are to cover {coverage:.4g} of new rows, calibrated on {shown}"
    if out_of_fold:
        said += ", while another model predicts, so this is approximate; sets and intervals are usually a little wide."
        said = said.replace("another model", "their mean") if found.members else said
    else:
        said += ", which also chose the epoch: the coverage of new rows may be a little lower."
    if steps:
        said += " Forecast windows overlap and the future may differ from the past, so this is approximate."
    return [said]
