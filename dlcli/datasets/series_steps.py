"""Reading the steps of one or several series from a file, and from a later file that continues it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from dlcli.config.pasted import pasted
from dlcli.datasets.measurements import check_no_missing, numeric_column
from dlcli.datasets.notices import Notice
from dlcli.datasets.tables.format_options import AutoOrBool
from dlcli.datasets.tables.source import Source
from dlcli.datasets.tables.typed_frames import as_categories
from dlcli.datasets.timeline import (
    TimeGrid,
    count_weekends,
    fill,
    lay_out,
    read_times,
    season_of,
    weekdays_of_months,
)
from dlcli.datasets.windows import Stretches
from dlcli.errors import DataError
from dlcli.formatting import counted

# Maximum numbers of steps by which gaps are filled, in total and per row: one wrong year would fill the memory with
# hours.
_MOST_FILLED, _FILLED_PER_ROW = 100_000, 100

# Share of filled steps above which there is a warning.
_MANY_FILLED = 0.05

_HINT = "Fill missing values with the previous ones: dataset.missing=forward."


@dataclass(frozen=True, eq=False)
class Steps:
    """Steps of all series by stretch: a series is one stretch, or two if there is a gap between the files.

    Attributes:
        values: values `(T, F)`, in the user's unit.
        times: times `(T,)`.
        stretches: begin of each stretch.
        later: mask `(T,)` of the steps of the later file.
        season: seasonal period in steps.
        filled: numbers of missing rows, and of rows with missing values, that have the preceding values.
        weekends: number of weekends between the steps, if these are business days; else None.
        months: which weekday of months the steps are dated at, and the number of dates that are not exactly that day;
            None if they are others.
    """

    values: np.ndarray
    times: np.ndarray
    stretches: Stretches
    later: np.ndarray
    season: int
    filled: tuple[int, int] = (0, 0)
    weekends: int | None = None
    months: tuple[str, int] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Return the first step and the end (exclusive) of each stretch."""
        begins = self.stretches.begins.tolist()
        return zip(begins, [*begins[1:], len(self)], strict=True)


def read_steps(
    sources: Sequence[Source],
    time: str,
    columns: Sequence[str],
    id: str | None,
    *,
    forward: bool,
    business_days: AutoOrBool = False,
) -> Steps:
    """Read the steps of one or two files.

    Args:
        sources: one or two tables with all columns, the earlier one first.
        time: the time column.
        columns: the value columns.
        id: the column whose equal values form a series; None if there is one series.
        forward: fill missing values with the previous ones of the stretch; otherwise they are an error.
        business_days: whether a step is a day from Monday to Friday; `auto` decides by the dates of the first file.

    Raises:
        DataError: a time or value is missing or invalid, the series have different steps, or the second file begins
            before the end of the first.
    """
    rows = _Rows.of(sources, time, id)
    if business_days is True and pd.api.types.is_numeric_dtype(rows.times):
        hint = "Leave it out, or name a column of dates by dataset.time."
        message = f"business days require dates, but column {time} has numbers"
        raise DataError(message, "dataset.business_days", hint)
    weekends = rows.weekends() if business_days else 0
    business = weekends > 0 if business_days == "auto" else business_days
    # Before the values, because duplicate times indicate several series.
    laid = _lay_out(rows, gaps=forward, business=business)
    cells = rows.values(columns, None if forward else _HINT)
    names: list[str] = []
    values: list[np.ndarray] = []
    when: list[np.ndarray] = []
    later: list[np.ndarray] = []
    total = 0
    for name, own, grid, edge in laid:
        breaks = edge and grid.positions[edge] - grid.positions[edge - 1] > 1
        for part in np.split(np.arange(len(own)), [edge] if breaks else []):
            lines, positions = own[part], grid.positions[part] - grid.positions[part[0]]
            total += int(positions[-1]) + 1
            check_filled(total, len(rows.times), f"{sources[0].file}, column {time}")
            names.append(name)
            when.append(fill(rows.times.iloc[lines], grid._replace(positions=positions)))
            values.append(_on_grid(cells[lines], positions, forward=forward))
            if np.isnan(values[-1][0]).any():
                column = columns[int(np.isnan(values[-1][0]).argmax())]
                where = rows.place(lines[0], column)
                raise DataError("the first value is missing", where, "Begin with a complete row.")
            later.append(np.zeros(len(when[-1]), dtype=bool))
            later[-1][positions[lines >= rows.first]] = True
    lengths = np.array([len(some) for some in values])
    stretches = Stretches(lengths.cumsum() - lengths, tuple(names) if id else (), id or "")
    season = next((season_of(grid) for _, own, grid, _ in laid if len(own) > 1), 1)
    filled = total - len(rows.times), int(np.isnan(cells).any(axis=1).sum())
    return Steps(
        np.concatenate(values),
        np.concatenate(when),
        stretches,
        np.concatenate(later),
        season,
        filled,
        weekends if business else None,
        weekdays_of_months(rows.times.iloc[laid[0][1]], rows.zone),
    )


def zone_of(source: Source, time: str) -> str:
    """Return the time zone of a column; empty if there is none."""
    return next((column.date.zone for column in source.columns if column.name == time), "")


def check_filled(steps: int, rows: int, place: str) -> None:
    """Raise an error if the gaps between rows are so long that one wrong time is the likely reason."""
    if steps > max(_MOST_FILLED, _FILLED_PER_ROW * rows):
        message = f"the gaps between {rows:,} rows are more than {steps:,} steps long"
        hint = "Correct the times: dataset.missing=forward fills each step of a gap."
        raise DataError(message, place, hint)


def told_of_filled(missing: int, incomplete: int, steps: int, where: str) -> list[Notice]:
    """Return the notice on steps that have the preceding values; none if there are none.

    Args:
        missing: number of missing rows.
        incomplete: number of rows with missing values.
        steps: number of all steps.
        where: their file.
    """
    kinds = ((missing, counted(missing, "missing row")), (incomplete, f"{incomplete:,} with missing values"))
    if not (found := missing + incomplete):
        return []
    text = f"{found:,} of {steps:,} steps have values of the preceding one ({', '.join(k for n, k in kinds if n)})"
    hint = "Forecasts of such steps are measured by them: leave out what is not observed, or choose longer steps."
    return [Notice("filled_steps", found, text, where, hint, warns=found > _MANY_FILLED * steps)]


def told_of_dates(steps: Steps, where: str) -> list[Notice]:
    """Return the notice on steps that are business days, or months dated at their first or last weekdays."""
    if steps.months is not None:
        day, moved = steps.months
        text = f"dates are the {day} weekdays of their months, as are those of forecasts"
        text += f" ({moved:,} up to two weekdays away, as by holidays)" if moved else ""
        return [Notice("month_weekdays", moved, text, where, warns=False)]
    if (weekends := steps.weekends) is None:
        return []
    text = f"steps are business days, Monday to Friday ({counted(weekends, 'weekend')} without a date)"
    hint = f"For steps of calendar days, set {pasted('dataset.business_days', False)}."
    return [Notice("business_days", weekends, text, where, hint, warns=False)]


def _on_grid(cells: np.ndarray, positions: np.ndarray, *, forward: bool) -> np.ndarray:
    """Return rows `(R, F)` at their positions `(T, F)`, with NaN, or with `forward` the previous row, in between."""
    values = np.full((positions[-1] + 1, cells.shape[1]), np.nan)
    values[positions] = cells
    return pd.DataFrame(values).ffill().to_numpy() if forward else values


def _lay_out(rows: _Rows, *, gaps: bool, business: bool) -> list[tuple[str, np.ndarray, TimeGrid, int]]:
    """Return for each series its name, rows, grid and the index of the first row in the later file (0: none)."""
    found: list[tuple[str, np.ndarray, TimeGrid, int]] = []
    first: TimeGrid | None = None
    for name, own in rows.by_series():
        edge = int((own < rows.first).sum()) % len(own)
        rows.check_order(own, edge)

        def where(row: int, own: np.ndarray = own) -> str:
            return rows.place(own[row], rows.time)

        grid = lay_out(rows.times.iloc[own], where, gaps=gaps, edge=edge, zone=rows.zone, business=business)
        if len(own) > 1:  # a single row fits any grid
            first = first or grid
            if (grid.step, grid.unit) != (first.step, first.unit):
                raise DataError(
                    f"this series has a step of {_step(grid)}, but earlier series have {_step(first)}",
                    where(0),
                    "Resample all series to one step, such as with pandas' resample.",
                )
        found.append((name, own, grid, edge))
    return found


def _step(grid: TimeGrid) -> str:
    return f"{grid.step:g} {grid.unit}" if grid.unit != "numbers" else f"{grid.step:g}"


@dataclass(frozen=True, eq=False)
class _Rows:
    """The concatenated rows of one or two files; `first` is the first row of the later file."""

    sources: Sequence[Source]
    time: str
    times: pd.Series
    series: np.ndarray
    first: int

    @classmethod
    def of(cls, sources: Sequence[Source], time: str, id: str | None) -> _Rows:
        times, series = [], []
        for source in sources:
            if id is not None:
                check_no_missing(source, id, "Fill it in, or remove the row.")
            times.append(read_times(source.frame[time], partial(source.place, column=time)))
            series.append(as_categories(source.frame[id]) if id else np.full(len(source.frame), ""))
        if len({pd.api.types.is_numeric_dtype(some) for some in times}) > 1:
            raise DataError(
                "one file has dates and the other has numbers",
                f"{sources[1].file}, column {time}",
                "Write the times of both files in the same way.",
            )
        whole = pd.concat(times, ignore_index=True)
        return cls(sources, time, whole, np.concatenate(series), len(sources[0].frame))

    @property
    def zone(self) -> str:
        """The time zone of the first file; empty if there is none."""
        return zone_of(self.sources[0], self.time)

    def weekends(self) -> int:
        """Return the number of weekends between the dates of the first file, if these are business days; else 0."""
        own = (own[own < self.first] for _, own in self.by_series())
        return count_weekends([self.times.iloc[rows] for rows in own if len(rows)], self.zone)

    def values(self, columns: Sequence[str], fill: str | None) -> np.ndarray:
        """Return numeric columns `(R, F)`; missing values are an error with the hint `fill`, unless that is None."""
        return np.concatenate(
            [
                np.stack([numeric_column(source, name, fill) for name in columns], axis=1)
                for source in self.sources
            ]
        )

    def by_series(self) -> Iterator[tuple[str, np.ndarray]]:
        """Return the name and the rows of each series, in the order of their first rows."""
        codes, names = pd.factorize(self.series)
        order = np.argsort(codes, kind="stable")
        ends = np.bincount(codes).cumsum()
        return zip(map(str, names), np.split(order, ends[:-1]), strict=True)

    def place(self, row: int, column: str) -> str:
        """Return the place of a cell, for messages."""
        late = int(row >= self.first)
        return self.sources[late].place(int(row) - late * self.first, column)

    def check_order(self, own: np.ndarray, edge: int) -> None:
        """Raise an error unless a series' steps in the later file (from `edge` on) follow those in the first."""
        if edge and self.times[own[edge]] <= self.times[own[edge - 1]]:
            raise DataError(
                f"{self.times[own[edge]]} comes before the end of {self.sources[0].file.name}, "
                f"{self.times[own[edge - 1]]}",
                self.place(own[edge], self.time),
                "Give a test file that starts after the end of the other; forecasts use that as history anyway.",
            )
