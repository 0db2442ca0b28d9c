"""Time series from a table with one row per step and one column per variable, as windows to forecast from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from annotated_types import Ge

from dlcli.config.pasted import pasted
from dlcli.datasets.borders import parts_by_borders
from dlcli.datasets.data import Data
from dlcli.datasets.evaluation_only import evaluation_columns
from dlcli.datasets.lookback import choose_lookback
from dlcli.datasets.notices import Notice
from dlcli.datasets.reading.date_formats import find_dates
from dlcli.datasets.reading.stand_ins import stand_ins
from dlcli.datasets.series_steps import Steps, read_steps, told_of_dates, told_of_filled
from dlcli.datasets.tables.format_options import (
    AutoOrBool,
    CellOptions,
    DatePattern,
    Decimal,
    Missing,
    Thousands,
)
from dlcli.datasets.tables.read_table import read_raw
from dlcli.datasets.tables.source import Source
from dlcli.datasets.tables.typed_frames import kind_of
from dlcli.datasets.windows import History, Windows
from dlcli.errors import DataError
from dlcli.files.paths import typed

Count = Annotated[int, Ge(1)]

# What to do about series that are too short for a window.
_LOWER = "Lower dataset.lookback, dataset.min_lookback or dataset.horizon."


def load(
    path: str,
    time: str | None = None,
    target: str | Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    known: Sequence[str] = (),
    id: str | None = None,
    test_path: str | None = None,
    lookback: Count | Literal["auto"] = "auto",
    min_lookback: Count | None = None,
    horizon: Count = 24,
    stride: Count = 1,
    season: Count | None = None,
    borders: Sequence[int | str] | None = None,
    test_steps: Count | None = None,
    missing: Literal["error", "forward"] = "error",
    business_days: AutoOrBool = False,
    missing_values: Missing = None,
    decimal: Decimal = "auto",
    thousands: Thousands = "auto",
    day_first: AutoOrBool = "auto",
    date_format: DatePattern = None,
) -> Data:
    """Load windows of series: `lookback` known steps, followed by `horizon` steps to forecast.

    A window lies in one series. Several series share scaling and model, and each is split in time separately.

    Args:
        path: the file, in any table format.
        time: the column of dates or numbers, in increasing order with a fixed step; by default the first with dates.
        target: the column or columns to forecast; by default all.
        inputs: further input columns besides the targets; by default all others.
        known: columns whose values are known over the horizon, such as holidays.
        id: the column whose equal values form a series; by default the file has a single series.
        test_path: a later file with the same columns, whose steps are forecast in the test. Its forecasts use the first
            file as history if it continues that file without a gap.
        lookback: number of history steps that a forecast is based on; `auto` chooses by horizon, season and lengths.
        min_lookback: minimum number of history steps; the missing ones at the beginning of a series are padded. None
            for complete histories only; a number above `lookback` has the same effect.
        horizon: number of steps to forecast.
        stride: number of steps from one window to the next.
        season: seasonal period in steps, for the seasonal-naive forecast; by default a day for steps shorter than a
            day, a week for days and business days, a year for weeks and months.
        borders: where validation and test begin and where the test ends (by default with the series), as times or
            numbers of steps. No window forecasts steps on both sides of a border.
        test_steps: number of last steps of each series that are forecast in the test, such as those of a competition.
        missing: `forward` fills missing values and missing rows with the previous value; later values are not used.
        business_days: whether a step is a day from Monday to Friday, so that a week has five; `auto`: if no date is on
            a weekend and most are a day apart.
        missing_values: words that denote a missing value besides the usual ones, or by column; [] for none at all.
        decimal: decimal sign of numbers; auto decides on whole columns, as for the next three.
        thousands: sign of thousands in numbers.
        day_first: whether days come before months in dates.
        date_format: strptime's pattern of dates, or patterns by column.

    Raises:
        DataError: the file, a column, a row or a value is invalid.
    """
    keys = {"test_path": test_path, "borders": borders, "test_steps": test_steps}
    if len(twice := [f"dataset.{key}" for key, value in keys.items() if value is not None]) > 1:
        hint = f"Leave out {' or '.join(twice)}: each of them defines the test."
        raise DataError("the test is defined twice", twice[-1], hint)
    options = CellOptions(
        decimal=decimal,
        thousands=thousands,
        day_first=day_first,
        date_format=date_format,
        missing_values=missing_values,
    )
    given = [target] if isinstance(target, str) else list(target or ())
    named = [*given, *(inputs or ()), *known, *filter(None, [time, id])]
    raw = read_raw(typed(path), options, named)
    raw.origin.require([time] if time else [], "dataset.time")
    raw.origin.require([id] if id else [], "dataset.id")
    raw.origin.require_all(options.by_column())
    unused = (
        [name for name in raw.names if name not in named] if time and given and inputs is not None else []
    )
    index = [name for name in raw.index if name not in named]
    if (expected := evaluation_columns()) is not None:
        source = raw.read(options.applied_to(expected))
    else:
        source = raw.decided(
            options.reading({id: "categorical"} if id else {}, [time] if time else []), {*unused, *index}
        )
    file = source.file
    time = time or time_column(source, id)
    taken = {time, id}
    targets = _columns(
        source, "dataset.target", [target] if isinstance(target, str) else target, {*taken, *known}
    )
    ahead = _columns(source, "dataset.known", known, taken)
    others = _columns(source, "dataset.inputs", inputs, {*taken, *targets, *ahead})
    columns = [*targets, *others, *ahead]
    if not targets:
        names = ", ".join(str(name) for name in source.frame.columns)
        raise DataError(
            f"there is no column to forecast: the file has only {names}",
            str(file),
            "Give a file with a column of times and at least one column of numbers.",
        )
    if duplicate := next((name for name in columns if columns.count(name) > 1), None):
        raise DataError(
            "a column is named in two settings",
            f"{file}, column {duplicate}",
            "Name it only once in dataset.target, dataset.inputs and dataset.known.",
        )
    sources = [source]
    if test_path is not None:
        later = read_raw(typed(test_path), options, named)
        needed = [time, *([id] if id else []), *columns]
        later.origin.require(needed, f"dataset.test_path ({later.origin.file.name})")
        sources.append(later.read(source.columns))

    steps = read_steps(sources, time, columns, id, forward=missing == "forward", business_days=business_days)
    season, reason = season or steps.season, ""
    if lookback == "auto":
        lengths = np.array([end - begin for begin, end in steps.spans()])
        lookback, reason = choose_lookback(horizon, season, lengths)
    if test_steps is not None:
        steps = _with_test(steps, test_steps, horizon)
    least = lookback if min_lookback is None else min(lookback, min_lookback)
    origins = _origins(steps, least, horizon, stride, sources)
    parts = None
    if borders is not None:
        parts = parts_by_borders(steps, origins, horizon, borders, file)
        origins, parts = origins[parts != ""], parts[parts != ""]
    roles = {time: "time", **({id: "id"} if id else {})}
    tests = parts == "test" if parts is not None else steps.later[origins]
    history = History(
        steps.values,
        origins,
        horizon,
        tuple(columns),
        lookback,
        len(targets),
        len(ahead),
        season,
        min_lookback=least if least < lookback else None,
        stretches=steps.stretches,
        business_days=steps.weekends is not None,
    )
    target_values = steps.values
    if len(targets) < len(columns):
        target_values = np.ascontiguousarray(target_values[:, : len(targets)])
    return Data(
        name=file.name.partition(".")[0],
        kind="sequence",
        x=history,
        y=Windows(target_values, origins, horizon, steps.times, stretches=steps.stretches),
        source=str(file),
        targets=tuple(targets),
        groups=steps.stretches.series(origins) if id else None,
        times=origins,
        parts=parts,
        test_rows=np.flatnonzero(tests) if any(value is not None for value in keys.values()) else None,
        reach=horizon - 1,
        note="; ".join(filter(None, [_note(steps, origins), padded_windows(history), reason])),
        warnings=source.warnings,
        notices=(
            *told_of_dates(steps, str(file)),
            *told_of_filled(*steps.filled, len(steps), str(file)),
            *short_series(steps, origins, str(file)),
            *(stand_ins(source.frame, columns, missing_values) if expected is None else ()),
        ),
        columns=source.columns.only([*columns, *roles], roles),
    )


def time_column(source: Source, id: str | None) -> str:
    """Return the first column of dates, or of words of which the first is a date.

    Raises:
        DataError: there is no such column.
    """
    for name, cells in source.frame.drop(columns=[id] if id else []).items():
        first = pa.array(
            cells.head(1) if kind_of(cells) == "categorical" else [], pa.string(), from_pandas=True
        )
        if kind_of(cells) == "date" or (len(first.drop_null()) and find_dates(first)):
            return str(name)
    raise DataError(
        f"no column contains dates; the columns are {', '.join(source.frame.columns)}",
        str(source.file),
        f"Name the column that orders the rows, such as {pasted('dataset.time', str(source.frame.columns[0]))}; if it "
        "holds dates, give their format: dataset.date_format.",
    )


def _columns(source: Source, key: str, names: Sequence[str] | None, taken: set[str | None]) -> list[str]:
    """Return the columns that a setting names; by default all that are not taken."""
    if names is None:
        return [name for name in source.frame.columns if name not in taken]
    source.require(list(names), key)
    return list(names)


def _origins(steps: Steps, lookback: int, horizon: int, stride: int, sources: Sequence[Source]) -> np.ndarray:
    """Return the first forecast step of each window that lies in one stretch and whose forecast lies in one file.

    One of them is the first step of the test, so that a stride does not skip a test that is as long as the horizon.
    """
    found = []
    for begin, end in steps.spans():
        first, later = begin + lookback, steps.later[begin:end]
        skipped = (begin + int(later.argmax()) - first) % stride if later.any() else 0
        found.append(np.arange(first + skipped, end - horizon + 1, stride))
    origins = np.concatenate(found)
    if not len(origins):
        longest = max(end - begin for begin, end in steps.spans())
        raise DataError(
            f"{longest:,} steps are too few for a lookback of {lookback} and a horizon of {horizon}",
            str(sources[0].file),
            _LOWER,
        )
    origins = origins[steps.later[origins] == steps.later[origins + horizon - 1]]
    for number, source in enumerate(sources):
        if not (steps.later[origins] == number).any():
            raise DataError(f"no forecast of {horizon} steps lies in this file", str(source.file), _LOWER)
    return origins


def _with_test(steps: Steps, test_steps: int, horizon: int) -> Steps:
    """Return the steps with the last ones of each series marked as those of a later file.

    Raises:
        DataError: they are fewer than the horizon.
    """
    if test_steps < horizon:
        hint = f"Give at least as many as the horizon: {pasted('dataset.test_steps', horizon)}."
        raise DataError(
            f"a forecast of {horizon} steps does not fit into {test_steps}", "dataset.test_steps", hint
        )
    later = np.zeros(len(steps), dtype=bool)
    for begin, end in steps.spans():
        later[max(begin, end - test_steps) : end] = True
    return replace(steps, later=later)


def _note(steps: Steps, origins: np.ndarray) -> str:
    """Return the number of series, and which of those that have windows have none in the test."""
    names, tested = steps.stretches.names, origins[steps.later[origins]]
    if not names:
        return ""
    having = set(steps.stretches.series(origins))
    told = [f"windows of {len(set(names)):,} series"]
    if steps.later.any() and (untested := sorted(having - set(steps.stretches.series(tested)))):
        told.append(f"without a window in the test: {_first(untested)}")
    return "; ".join(told)


def padded_windows(x: History) -> str:
    """Return the number of windows with a history that is shorter than the lookback; empty if there are none."""
    lengths = x.lengths()
    short = lengths[lengths < x.lookback]
    if not len(short):
        return ""
    past = f"{short.min()} to {x.lookback - 1} past steps"
    return f"{len(short):,} of {len(x):,} windows with {past}, padded to {x.lookback}"


def short_series(steps: Steps, origins: np.ndarray, where: str) -> tuple[Notice, ...]:
    """Return the notice on series that are too short for a window, and therefore left out, if there are any."""
    names = set(steps.stretches.names)
    short = sorted(names - set(steps.stretches.series(origins))) if names else []
    if not short:
        return ()
    are = "is" if len(short) == 1 else "are"
    text = (
        f"{len(short):,} of {len(names):,} series {are} too short for a window, and left out: {_first(short)}"
    )
    return (Notice("short_series", len(short), text, where, _LOWER),)


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
