"""Synthetic example rows; they contain no user data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.date_formats import ISO, MIDNIGHT, QUARTER, is_epoch
from dlcli.datasets.reading.number_formats import NumberFormat
from dlcli.preprocessing.series import Series

TEXT = "An example of a text."
GREY = 128  # of all pixels
TONE, LOUD = 440, 10_000  # frequency of a recording in Hz, and its amplitude

_DAY = datetime(2024, 1, 31, tzinfo=UTC)
_STEPS = 3  # number of steps, if sequences may have any length
_SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def usual_numbers(preprocessing: Any) -> dict[str, float]:
    """Return a typical value of each numeric column from a fitted preprocessing: the imputed value, or the mean."""
    names = getattr(preprocessing, "numeric_", None) or getattr(preprocessing, "columns_", [])
    if (fitted := getattr(preprocessing, "numbers_", None)) is not None:
        imputers = [pipeline.named_steps.get("simpleimputer") for pipeline in fitted.pipelines_]
        values = [value for imputer in imputers if imputer is not None for value in imputer.statistics_]
        values = values or list(getattr(fitted, "medians_", ()))
    else:
        values = list(getattr(preprocessing, "mean_", []))
    usual = {name: float(f"{value:.4g}") for name, value in zip(names, values, strict=False)}
    return {name: value for name, value in usual.items() if math.isfinite(value)}


def usual_value(column: Column, usual: Mapping[str, float]) -> Any:
    """Return a typical value of a column, in JSON's types."""
    match column.kind:
        case "boolean":
            return True
        case "date":
            return date_text(column.date.patterns[0], _DAY)
        case "categorical":
            return next(iter(column.categories or ()), None)
        case "text":
            return "text"
    value = usual.get(column.name, 0.0)
    return int(value) if value == int(value) else value


def number_text(value: float, form: NumberFormat) -> str:
    """Return a number as text in a number format."""
    plain = str(int(value)) if value == int(value) else str(value)
    digits = plain.replace(".", form.decimal)
    if form.unit.endswith("."):  # `Fr.`, which is only read before a number
        return f"{form.unit} {digits}"
    return f"{digits} {form.unit}" if form.unit[:1].isalpha() else f"{digits}{form.unit}"


def date_text(pattern: str, when: datetime) -> Any:
    """Return a date as text in a pattern of `DateFormat`."""
    if pattern in (ISO, MIDNIGHT):
        return when.date().isoformat()
    if pattern == QUARTER:
        return f"{when.year}Q1"
    if is_epoch(pattern):
        return int(when.timestamp()) * _SECONDS[pattern.split()[1]]
    return when.strftime(pattern)


def steps_of_row(
    preprocessing: Any, columns: Iterable[Column] | None, id: str | None, time: str | None
) -> list[dict[str, Any]]:
    """Return the steps of a series or sequence, with typical values.

    Args:
        preprocessing: the fitted preprocessing.
        columns: the columns of the model.
        id: column of the names of series or sequences; None to leave it out.
        time: column of times; None to leave it out.
    """
    steps, ahead, on_weekdays = getattr(preprocessing, "length_", 0), 0, False
    if isinstance(preprocessing, Series):
        on_weekdays = preprocessing.has_business_days
        steps = preprocessing.lookback_
        ahead = preprocessing.horizon_ if preprocessing.known_ else 0
    usual, rows = usual_numbers(preprocessing), []
    named = {column.name: column for column in columns or ()}
    for step in range((steps or _STEPS) + ahead):
        row: dict[str, Any] = {name: usual.get(name, 0.0) for name in preprocessing.columns_}
        if ahead and step >= steps:
            row |= dict.fromkeys(preprocessing.columns_[: -preprocessing.known_])
        if id:
            row[id] = 1 if id in named and named[id].kind == "numeric" else "A"
        if time:
            column = named.get(time)
            dated = column is None or column.kind == "date"
            pattern = column.date.patterns[0] if column is not None and dated else ISO
            days = step + 2 * ((step + _DAY.weekday()) // 5) if on_weekdays else step
            row[time] = date_text(pattern, _DAY + timedelta(days=days)) if dated else step
        rows.append(row)
    return rows
