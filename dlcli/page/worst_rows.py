"""The rows with the largest errors, and intervals of metrics that are means over rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from dlcli.formatting import counted
from dlcli.page.blocks import Cell, Estimate, Figures
from dlcli.statistics.of_rows import mean_interval, wilson_interval

_SHOWN = 10
_MOST_TARGETS = 4  # maximum number of columns of targets and predictions that fit a page

# Tolerance between a metric that is computed from the predictions and the recorded value, which has another precision.
_ROUNDING = 1e-4

# Column with a metric of each text to the sign by which the worst one comes first, its name, and words for a title.
_BY_ALIKE = {
    "cer": (-1, "CER", "highest character error rate"),
    "chrf": (1, "chrF", "lowest chrF"),
    "loss": (-1, "loss", "largest loss per token"),
}


@dataclass(frozen=True)
class JudgedRows:
    """Results from the recorded predictions of rows that were not used for training.

    Attributes:
        rows: number of rows.
        worst: the rows with the largest errors; None if there are none, or if they cannot be determined.
        intervals: metric to its 95 % interval, for metrics that are means over rows and equal the recorded values.
        remark: a sentence about the worst rows, or an empty text.
    """

    rows: int
    worst: Figures | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    remark: str = ""


def judge_rows(table: pd.DataFrame, recorded: Mapping[str, float], where: str) -> JudgedRows:
    """Return the worst rows of a table of predictions, and the intervals of metrics over its rows.

    Args:
        table: predictions of rows that were not used for training, with their targets.
        recorded: metric to its recorded value on these rows.
        where: name of the rows for the title, such as `final test rows`.
    """
    rows = int(table["row"].nunique())
    if {"target", "prediction", "loss"} <= set(table.columns) and {"source", "file"} & set(table.columns):
        return _least_alike(table, recorded, where)
    if {"target", "prediction"} <= set(table.columns):
        target, predicted = table["target"], table["prediction"]
        if pd.api.types.is_float_dtype(predicted):
            error = (predicted - target).to_numpy(dtype=float)
            # Several predictions of the same row, by other seeds or for other steps, are not independent.
            ends = _of_errors(error, recorded) if len(table) == rows else {}
            return JudgedRows(rows, _largest(table, np.abs(error), where), ends)
        return _misclassified(table, recorded, where)
    if "iou" in table.columns:
        return _least_overlap(table, recorded, where)
    if {"question", "answers", "prediction", "f1"} <= set(table.columns):
        return _worst_answers(table, recorded, where)
    if {"text", "target", "tags", "right_words"} <= set(table.columns):
        return _worst_tags(table, where)
    pairs = [
        (f"target{column[10:]}", column)
        for column in table.columns
        if column.startswith("prediction(") and f"target{column[10:]}" in table.columns
    ]
    if not pairs:
        return JudgedRows(rows)
    errors = np.stack([(table[b] - table[a]).to_numpy(dtype=float) for a, b in pairs], axis=1)
    if all(f"p({b[11:-1]})" in table.columns for _, b in pairs):  # labels
        return _wrong_labels(table, pairs, where)
    spread = np.nanstd([table[a].to_numpy(dtype=float) for a, _ in pairs], axis=1)
    apart = np.abs(errors) / np.where(spread > 0, spread, 1.0)
    return JudgedRows(rows, _largest(table, apart.sum(axis=1), where, pairs))


def _least_overlap(table: pd.DataFrame, recorded: Mapping[str, float], where: str) -> JudgedRows:
    """Return the images with the lowest IoU, each with the class of most of its wrong pixels."""
    rows, iou = int(table["row"].nunique()), table["iou"].to_numpy(dtype=float)
    names = [column[7:-1] for column in table.columns if column.startswith("pixels(")]
    missed = np.stack([table[f"pixels({n})"] - table[f"right({n})"] for n in names], axis=1)
    known = np.flatnonzero(np.isfinite(iou))
    lines: list[tuple[Cell, ...]] = []
    for position in known[np.argsort(iou[known], kind="stable")][:_SHOWN]:
        row = _row(table, position)
        most = names[int(missed[position].argmax())] if missed[position].any() else ""
        lines.append((*_place(row, table), float(row["iou"]), float(row["pixel_accuracy"]), most))
    if not lines:
        return JudgedRows(rows)
    heading = (*_places(table), "IoU", "pixel accuracy", "most missed pixels of")
    return JudgedRows(rows, Figures("worst", f"Images with the lowest IoU, {where}", heading, tuple(lines)))


def _least_alike(table: pd.DataFrame, recorded: Mapping[str, float], where: str) -> JudgedRows:
    """Return the texts that have least in common with their targets.

    These have the highest character error rate, the lowest chrF, or the largest loss.
    """
    rows = int(table["row"].nunique())
    equal = (table["target"].astype(str) == table["prediction"].astype(str)).to_numpy()
    name = "sequence_accuracy"
    intervals = {}
    if len(table) == rows and name in recorded and abs(equal.mean() - recorded[name]) < _ROUNDING:
        intervals[name] = wilson_interval(int(equal.sum()), len(equal))
    by = next(name for name in _BY_ALIKE if name in table.columns)
    sign, name, words = _BY_ALIKE[by]
    values = table[by].to_numpy(dtype=float)
    given = "source" if "source" in table.columns else "file"
    if by == "cer" and equal.all():
        return JudgedRows(rows, None, intervals, f"All {len(table):,} texts are right.")
    lines: list[tuple[Cell, ...]] = []
    for position in np.argsort(sign * values, kind="stable")[:_SHOWN]:
        if by == "cer" and equal[position]:
            break
        row = _row(table, position)
        texts = (str(row[key]) for key in (given, "target", "prediction"))
        lines.append((*_place(row, table), *texts, float(row[by])))
    heading = (*_places(table), given, "target", "prediction", name)
    return JudgedRows(
        rows, Figures("worst", f"Texts with the {words}, {where}", heading, tuple(lines)), intervals
    )


def _worst_answers(table: pd.DataFrame, recorded: Mapping[str, float], where: str) -> JudgedRows:
    """Return the predicted answers with the lowest F1, of equal ones the surest first."""
    intervals = {
        metric: ends
        for metric, column in (("answer_f1", "f1"), ("answer_exact_match", "exact_match"))
        if metric in recorded
        and table["row"].is_unique
        and len(table) > 1
        and abs(table[column].mean() - recorded[metric]) < _ROUNDING
        for ends in [mean_interval(table[column].to_numpy(dtype=float))]
    }
    wrong = table[table["f1"] < 1]
    if wrong.empty:
        return JudgedRows(len(table), None, intervals, f"All {len(table):,} answers are right.")
    order = np.lexsort((-wrong["score"].to_numpy(), wrong["f1"].to_numpy()))[:_SHOWN]
    lines: list[tuple[Cell, ...]] = []
    for position in order:
        row = _row(wrong, position)
        texts = (str(row["question"]), str(row["answers"]), str(row["prediction"]) or "no answer")
        lines.append((*_place(row, table), *texts, float(row["score"]), float(row["f1"])))
    heading = (*_places(table), "question", "answers", "prediction", "p(prediction)", "F1")
    title = f"Wrong answers, the surest first, {where}"
    note = f"{len(wrong):,} of {counted(len(table), 'answer')} have an F1 below 1."
    return JudgedRows(len(table), Figures("worst", title, heading, tuple(lines), note), intervals)


def _worst_tags(table: pd.DataFrame, where: str) -> JudgedRows:
    """Return the sentences with the most wrong tags, each with its words that are wrong."""
    missed = (table["words"] - table["right_words"]).to_numpy()
    wrong = np.flatnonzero(missed)
    if not len(wrong):
        return JudgedRows(len(table), None, {}, f"The tags of all {len(table):,} sentences are right.")
    lines: list[tuple[Cell, ...]] = []
    for position in wrong[np.argsort(-missed[wrong], kind="stable")][:_SHOWN]:
        row = _row(table, position)
        pairs = zip(str(row["target"]).split(), str(row["tags"]).split(), strict=False)
        wrong_tags = ", ".join(f"{tag}, not {target}" for target, tag in pairs if tag != target)
        lines.append((*_place(row, table), str(row["text"]), wrong_tags, int(missed[position])))
    heading = (*_places(table), "text", "predicted tags", "wrong words")
    title = f"Sentences with the most wrong tags, {where}"
    note = f"{len(wrong):,} of {counted(len(table), 'sentence')} have a wrong tag."
    return JudgedRows(len(table), Figures("worst", title, heading, tuple(lines), note))


def _misclassified(table: pd.DataFrame, recorded: Mapping[str, float], where: str) -> JudgedRows:
    rows = int(table["row"].nunique())
    right = (table["target"].astype(str) == table["prediction"].astype(str)).to_numpy()
    intervals = {}
    if len(table) == rows and "accuracy" in recorded and abs(right.mean() - recorded["accuracy"]) < _ROUNDING:
        intervals["accuracy"] = wilson_interval(int(right.sum()), len(right))
    wrong = table[~right]
    if wrong.empty:
        return JudgedRows(rows, None, intervals, f"All {len(table):,} predictions are right.")
    sure = [float(row.get(f"p({row['prediction']})", math.nan)) for _, row in wrong.iterrows()]
    order = np.argsort([-x if math.isfinite(x) else 1.0 for x in sure], kind="stable")[:_SHOWN]
    heading = [*_places(table), "target", "prediction", "p(prediction)", "p(target)"]
    lines: list[tuple[Cell, ...]] = []
    for position in order:
        row = _row(wrong, position)
        likely = row.get(f"p({row['target']})", math.nan)
        lines.append(
            (*_place(row, table), str(row["target"]), str(row["prediction"]), sure[position], float(likely))
        )
    title = f"Wrong predictions, the surest first, {where}"
    note = f"{len(wrong):,} of {counted(len(table), 'prediction')} are wrong."
    return JudgedRows(rows, Figures("worst", title, tuple(heading), tuple(lines), note), intervals)


def _wrong_labels(table: pd.DataFrame, pairs: list[tuple[str, str]], where: str) -> JudgedRows:
    wrong = np.stack([(table[a] != table[b]).to_numpy() for a, b in pairs], axis=1)
    chances = np.stack(
        [np.where(table[a] == 1, table[f"p({b[11:-1]})"], 1 - table[f"p({b[11:-1]})"]) for a, b in pairs],
        axis=1,
    )
    likely = np.log(chances.clip(1e-7)).sum(axis=1)
    bad = np.flatnonzero(wrong.any(axis=1))
    if not len(bad):
        return JudgedRows(len(table), None, {}, f"All labels of {counted(len(table), 'row')} are right.")
    lines: list[tuple[Cell, ...]] = []
    for position in bad[np.argsort(likely[bad], kind="stable")][:_SHOWN]:
        row = _row(table, position)
        names = ", ".join(
            b[11:-1] for (_, b), is_wrong in zip(pairs, wrong[position], strict=True) if is_wrong
        )
        lines.append((*_place(row, table), names, float(np.exp(likely[position]))))
    title = f"Rows with wrong labels, the least likely first, {where}"
    heading = (*_places(table), "wrong labels", "p(all labels)")
    note = f"{counted(len(bad), 'row has', 'rows have')} a wrong label, of {len(table):,}."
    return JudgedRows(int(table["row"].nunique()), Figures("worst", title, heading, tuple(lines), note))


def _largest(
    table: pd.DataFrame, apart: np.ndarray, where: str, pairs: list[tuple[str, str]] | None = None
) -> Figures | None:
    """Return the rows with the largest errors; several targets are summed in units of their standard deviations."""
    known = np.flatnonzero(np.isfinite(apart))
    worst = known[np.argsort(-apart[known], kind="stable")][:_SHOWN]
    shown = (pairs or [("target", "prediction")])[:_MOST_TARGETS]
    single = len(shown) == 1
    lines: list[tuple[Cell, ...]] = []
    for position in worst:
        row = _row(table, position)
        values = [float(row[name]) for pair in shown for name in pair]
        errors = [values[1] - values[0]] if single else []
        lines.append((*_place(row, table), *values, *errors))
    if not lines:
        return None
    heading = (*_places(table), *(name for pair in shown for name in pair), *(["error"] if single else []))
    hidden = len(pairs or ()) - len(shown)
    note = (
        f"{counted(hidden, 'more target')} {'is' if hidden == 1 else 'are'} not shown." if hidden > 0 else ""
    )
    how = "" if len(pairs or (1,)) == 1 else ", in standard deviations over all targets"
    return Figures("worst", f"Largest errors{how}, {where}", heading, tuple(lines), note)


def _row(table: pd.DataFrame, position: int) -> dict[str, Any]:
    """Return a row as a mapping; `iloc` would convert integers to floats."""
    return {name: table[name].iloc[position] for name in table.columns}


def _places(table: pd.DataFrame) -> list[str]:
    """Return the columns that identify a prediction."""
    return [
        name
        for name in ("row", "fold", "repeat", "series", "time", "step")
        if name in table.columns and _differs(table, name)
    ]


def _differs(table: pd.DataFrame, name: str) -> bool:
    return name in ("row", "fold", "time") or table[name].nunique() > 1


def _place(row: Mapping[str, Any], table: pd.DataFrame) -> list[Cell]:
    values = [row[name] for name in _places(table)]
    return [
        int(value) if isinstance(value, int | np.integer) else str(value).removesuffix(" 00:00:00")
        for value in values
    ]


def _of_errors(error: np.ndarray, recorded: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return the intervals of mean absolute error, mean squared error, and root mean squared error."""
    error = error[np.isfinite(error)]
    found: dict[str, tuple[float, float]] = {}
    if len(error) < 2:
        return found
    squares = mean_interval(error**2)
    for name, value, ends in (
        ("mae", np.abs(error).mean(), mean_interval(np.abs(error))),
        ("mse", (error**2).mean(), squares),
        ("rmse", math.sqrt((error**2).mean()), tuple(map(math.sqrt, squares))),
    ):
        if name in recorded and abs(value - recorded[name]) <= _ROUNDING * max(abs(value), 1e-12):
            found[name] = (ends[0], ends[1])
    return found


def estimate_of(value: float, ends: tuple[float, float] | None) -> Estimate:
    """Return a figure with its interval, if there is one."""
    return Estimate(value, *ends) if ends else Estimate(value)
