"""Read new series (to forecast their next values) and new sequences (with one prediction each) from tables."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from dlcli.datasets.measurements import check_no_missing
from dlcli.datasets.notices import Notice, first_names
from dlcli.datasets.reading.column import Column, Kind
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.datasets.series import time_column
from dlcli.datasets.series_steps import check_filled, told_of_filled, zone_of
from dlcli.datasets.tables.arrow_types import dated
from dlcli.datasets.tables.column_selection import ColumnSelection
from dlcli.datasets.tables.format_options import CellOptions
from dlcli.datasets.tables.source import RawTable, Source
from dlcli.datasets.tables.typed_frames import as_categories, kind_of
from dlcli.datasets.timeline import TimeGrid, following, lay_out, read_times
from dlcli.errors import ConfigError, DataError
from dlcli.formatting import counted
from dlcli.prediction.new_rows import NewRows, labels_of, pieces_of
from dlcli.preprocessing.sequences import Sequences
from dlcli.preprocessing.series import Series

_FILL = "Fill it in, or remove the step."


@dataclass(frozen=True)
class StepSettings(CellOptions):
    """Settings for reading tables of steps.

    Attributes:
        id: Column that identifies the series or sequence of a step; None if the file holds a single one.
        time: Column that orders the steps.
        missing: For series, whether a missing value is an error or is replaced by the preceding one.
    """

    id: str | None = None
    time: str | None = None
    missing: Literal["error", "forward"] = "error"


def read_sequences(
    files: Sequence[Path],
    preprocessing: Sequences,
    columns: Columns | None,
    settings: StepSettings,
    report: Callable[[Notice], None],
    stream: io.BufferedReader | None = None,
) -> Iterator[NewRows]:
    """Yield the sequences of each file with their IDs, or with row numbers if there is no column of IDs.

    `stream` is the content of the only file, if it is in memory.

    Raises:
        DataError: A column or a value is missing, or a value is not a number.
    """
    for file in files:
        source = _read(file, preprocessing.columns_, columns, settings, report, stream)
        for name in preprocessing.columns_:
            check_no_missing(source, name, _FILL)
        labels: dict[str, Any] = {"row": [0]}
        if settings.id is not None:
            check_no_missing(source, settings.id, _FILL)
            labels = {settings.id: pd.factorize(source.frame[settings.id])[1]}
        rows = _renamed(source.frame, settings.id, preprocessing.id_)
        yield NewRows(
            file, _renamed(rows, settings.time, preprocessing.time_), labels_of(files, file, **labels)
        )


def read_series(
    files: Sequence[Path],
    preprocessing: Series,
    columns: Columns | None,
    settings: StepSettings,
    report: Callable[[Notice], None],
    stream: io.BufferedReader | None = None,
) -> Iterator[NewRows]:
    """Yield the series of each file, labelled with their names, if they have any, and the times of the forecast.

    Series that are too short for a forecast are reported and left out, if there are others; those whose beginning is
    padded are reported, and so are values of the steps to forecast, which are not used. `stream` is the content of the
    only file, if it is in memory.

    Raises:
        DataError: A column or a value is missing, a value is not a number, or the times are not equally spaced.
        ConfigError: `dataset.id` is set, but the model was trained on a single series.
    """
    id = settings.id
    if id is not None and not preprocessing.id_:
        hint = "Put each series in a separate file."
        raise ConfigError("the model was trained on a single series, without an ID", "dataset.id", hint)
    for file in files:
        source = _read(file, preprocessing.columns_, columns, settings, report, stream)
        time = settings.time or _dates(source, id)
        times = read_times(source.frame[time], partial(source.place, column=time)) if time else None
        if id is not None:
            check_no_missing(source, id, _FILL)
        codes, names = pd.factorize(as_categories(source.frame[id]) if id else np.zeros(len(source.frame)))
        frames, ahead, steps, holes, unused = [], [], 0, 0, 0
        known = preprocessing.horizon_ if preprocessing.known_ else 0
        ends = np.bincount(codes).cumsum()
        for name, own in zip(names, np.split(np.argsort(codes, kind="stable"), ends[:-1]), strict=True):
            frame = source.frame.iloc[own]
            # The last steps may have values for columns that are known ahead only.
            past = frame[preprocessing.columns_].head(max(0, len(frame) - known))
            holes += int(past.isna().any(axis=1).sum())
            if times is not None:
                grid = _grid(source, times, own, str(time), preprocessing, gaps=settings.missing == "forward")
                ahead.append(_forecast_times(times.iloc[own], grid, preprocessing))
                steps += int(grid.positions[-1]) + 1
                check_filled(steps, len(source.frame), f"{file}, column {time}")
                frame = frame.set_axis(grid.positions).reindex(np.arange(grid.positions[-1] + 1))
            if known:
                values = frame[preprocessing.columns_[: -preprocessing.known_]].tail(known)
                unused += int(values.notna().any(axis=1).sum())
            frame = frame.ffill() if settings.missing == "forward" else frame
            frames.append(frame.assign(**{id: name}) if id else frame)
        if settings.missing == "forward":
            laid = sum(map(len, frames))
            for notice in told_of_filled(laid - len(source.frame), holes, laid, str(file)):
                report(notice)
        if unused:
            report(_unused(file, unused, preprocessing))
        needed = preprocessing.least + known
        long = [number for number, frame in enumerate(frames) if len(frame) >= needed]
        if long and len(long) < len(frames):
            report(_too_short(file, [str(names[n]) for n in range(len(frames)) if n not in long], needed))
            frames, names = [frames[number] for number in long], names[long]
            ahead = [ahead[number] for number in long] if ahead else []
        padded = [n for n, frame in enumerate(frames) if len(frame) < preprocessing.lookback_ + known]
        if long and padded:
            report(_padded(file, [str(names[n]) for n in padded] if id else [], preprocessing.lookback_))
        rows = _renamed(pd.concat(frames, ignore_index=True), id, preprocessing.id_ or None)
        labels: dict[str, Any] = {id: np.repeat(names, preprocessing.horizon_)} if id else {}
        if time is not None and times is not None:
            labels[time] = _in_zone(_as_given(np.concatenate(ahead), times), columns)
        elif not id:
            labels["row"] = np.zeros(preprocessing.horizon_, np.int64)
        yield NewRows(file, rows, dated(labels_of(files, file, **labels)))


def _read(
    file: Path,
    values: Sequence[str],
    columns: Columns | None,
    settings: StepSettings,
    report: Callable[[Notice], None],
    stream: io.BufferedReader | None,
) -> Source:
    """Read all rows of a file by the model's columns; columns of times and ids may have other names than in
    training."""
    selection = ColumnSelection([*values, *filter(None, [settings.id])], others=True)
    (piece,) = pieces_of(file, selection, settings, report, rows=None, stream=stream)
    raw = piece.raw
    raw.origin.require([settings.time] if settings.time else [], "dataset.time")
    known = {column.name: column for column in columns or () if column.name in values}
    for role, name in (("time", settings.time), ("id", settings.id)):
        found = next((column for column in columns or () if column.role == role), None)
        if found is not None and (name or role == "time"):
            known[name or found.name] = replace(found, name=name or found.name)
    kinds: dict[str, Kind] = dict.fromkeys(values, "numeric")
    kinds |= {settings.id: "categorical"} if settings.id else {}
    known |= {name: Column(name, kind) for name, kind in kinds.items() if name not in known}
    reading = settings.applied_to(Columns(tuple(known.values())))
    if columns is not None and (settings.time is None or settings.time in known):
        return raw.read(reading)
    # Without a recorded format of times, it is determined by this file.
    options = settings.reading()
    return _joined(raw, reading, replace(options, types=kinds))


def _joined(raw: RawTable, reading: Columns, options: ReadingOptions) -> Source:
    """Return the known columns, and others with types determined by this file."""
    others = replace(raw, table=raw.table)
    known = raw.read(reading)
    decided = others.decided(options, [column.name for column in reading])
    frame = pd.concat([known.frame, decided.frame], axis=1)
    return replace(known, frame=frame)


def _unused(file: Path, steps: int, preprocessing: Series) -> Notice:
    """Return the notice on values of steps that are forecast, of columns that are not known ahead."""
    columns = preprocessing.columns_
    values, ahead = columns[: -preprocessing.known_], columns[-preprocessing.known_ :]
    have = "has" if steps == 1 else "have"
    text = (
        f"{counted(steps, 'step')} to forecast {have} values of {first_names(values)}, which are not used: the last "
        f"{preprocessing.horizon_} rows of a series are those to forecast"
    )
    hint = (
        f"To forecast the steps after them, add {preprocessing.horizon_} rows with {first_names(ahead)} only."
    )
    return Notice("unused_steps", steps, text, str(file), hint)


def _too_short(file: Path, names: Sequence[str], needed: int) -> Notice:
    are = "is" if len(names) == 1 else "are"
    return Notice(
        "short_series",
        len(names),
        f"{len(names):,} series {are} too short for a forecast, which needs {needed:,} steps: {first_names(names)}",
        str(file),
        "Give them earlier steps.",
    )


def _padded(file: Path, names: Sequence[str], lookback: int) -> Notice:
    """Return the notice on series with a history shorter than the lookback; `names` is empty if there is only one."""
    are = "is" if len(names) <= 1 else "are"
    what = f"{len(names):,} series" if names else "the series"
    text = f"{what} {are} shorter than the lookback of {lookback:,} steps, and padded"
    return Notice(
        "padded_series",
        max(1, len(names)),
        text + (f": {first_names(names)}" if names else ""),
        str(file),
        warns=False,
    )


def _as_given(ahead: np.ndarray, times: pd.Series) -> np.ndarray:
    """Return the times of a forecast as integers if those of the file are whole numbers."""
    is_whole = kind_of(times) == "numeric" and (times % 1 == 0).all() and np.isfinite(ahead).all()
    return ahead.astype(np.int64) if is_whole else ahead


def _in_zone(times: np.ndarray, columns: Columns | None) -> Any:
    """Return times in the zone of the training file."""
    zone = next((column.date.zone for column in columns or () if column.role == "time"), "")
    if not zone or zone == "mixed" or not np.issubdtype(times.dtype, np.datetime64):
        return times
    return pa.array(times, pa.timestamp("us", zone))


def _renamed(frame: pd.DataFrame, given: str | None, fitted: str | None) -> pd.DataFrame:
    """Rename the column `given` to the model's name `fitted`; if there is none, drop a column of that name."""
    if given == fitted or fitted is None:
        return frame
    others = frame.drop(columns=[fitted], errors="ignore")
    return others if given is None else others.rename(columns={given: fitted})


def _dates(source: Source, id: str | None) -> str | None:
    try:
        return time_column(source, id)
    except DataError:  # a column of times is optional if the steps are in order
        return None


def _grid(
    source: Source, times: pd.Series, own: np.ndarray, time: str, preprocessing: Series, *, gaps: bool
) -> TimeGrid:
    return lay_out(
        times.iloc[own],
        lambda row: source.place(int(own[row]), time),
        gaps=gaps,
        zone=zone_of(source, time),
        business=preprocessing.has_business_days,
    )


def _forecast_times(times: pd.Series, grid: TimeGrid, preprocessing: Series) -> np.ndarray:
    """Return the times of the forecast: the next steps, or the last ones if their covariates are known."""
    steps = preprocessing.horizon_
    if preprocessing.known_ and len(times) >= steps:
        return times.to_numpy()[-steps:]
    if len(times) > 1 or (preprocessing.has_business_days and kind_of(times) == "date"):
        return following(times, grid, steps)
    # The interval between steps cannot be determined from a single one.
    return np.full(steps, np.nan if kind_of(times) == "numeric" else np.datetime64("NaT", "us"))
