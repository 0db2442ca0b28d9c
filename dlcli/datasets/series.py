"""A series in a file: one row a step, one column a variable, read as windows that forecast what follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from annotated_types import Ge

from dlcli.datasets.data import Data
from dlcli.datasets.measurements import measured
from dlcli.datasets.tables.columns import kind_of
from dlcli.datasets.tables.files import read_table
from dlcli.datasets.tables.source import Source
from dlcli.datasets.timeline import fill, lay_out, read_times, season_of
from dlcli.datasets.windows import History, Windows
from dlcli.errors import DataError

Steps = Annotated[int, Ge(1)]

_FILL = "Repeat the values before those that are missing: dataset.missing=forward."


def load(
    path: str,
    time: str | None = None,
    target: str | Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    known: Sequence[str] = (),
    lookback: Steps = 48,
    horizon: Steps = 24,
    stride: Steps = 1,
    season: Steps | None = None,
    borders: Sequence[int | str] | None = None,
    missing: Literal["error", "forward"] = "error",
) -> Data:
    """Windows of the series: `lookback` steps that are known, and the `horizon` steps after them, to be forecast.

    Args:
        path: the file, of any format that tables have.
        time: the column of dates or numbers, in order and a fixed step apart; the first that holds dates by default.
        target: the column or columns to forecast; all by default.
        inputs: columns that a forecast looks back on beside the targets; all others by default.
        known: of other columns, those whose values are known as far ahead as the horizon, such as holidays.
        lookback: steps that a forecast goes by.
        horizon: steps that are forecast.
        stride: steps from one window to the next.
        season: steps after which the series repeats itself, for the seasonal-naive forecast; by default a day of
            shorter steps, a week of days, a year of weeks and months.
        borders: where validation and test begin, and where the test ends (default: with the series), as times or
            numbers of steps. No window forecasts steps on both sides of one.
        missing: `forward` repeats the value before one that is missing, in rows and where rows are missing; no later
            value is looked at.

    Raises:
        DataError: the file, a column, a row or a value is not as it has to be.
    """
    source = read_table(Path(path).expanduser())
    file = source.file
    source.need([time] if time else [], "dataset.time")
    time = time or _time_column(source)
    targets = _columns(
        source, "dataset.target", [target] if isinstance(target, str) else target, {time, *known}
    )
    ahead = _columns(source, "dataset.known", known, {time})
    others = _columns(source, "dataset.inputs", inputs, {time, *targets, *ahead})
    columns = [*targets, *others, *ahead]
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise DataError("a column is of two kinds", f"{file}, column {twice}", "Name it once.")

    where = partial(source.place, column=time)
    times = read_times(source.frame[time], where)
    grid = lay_out(times, where, gaps=missing == "forward")
    when = fill(times, grid)
    values = np.full((len(when), len(columns)), np.nan)
    for number, name in enumerate(columns):
        values[grid.positions, number] = measured(source, name, None if missing == "forward" else _FILL)
    if missing == "forward":
        values = pd.DataFrame(values).ffill().to_numpy()
    if np.isnan(values).any():
        row, column = np.argwhere(np.isnan(values))[0]
        raise DataError(
            "the first value is missing", source.place(int(row), columns[column]), "Begin with a whole row."
        )

    history = History(
        values,
        tuple(columns),
        _origins(len(values), lookback, horizon, stride, file),
        lookback,
        horizon,
        len(targets),
        len(ahead),
        season or season_of(grid),
    )
    parts = None
    if borders is not None:
        edges = [_border(border, when, file) for border in borders]
        history, parts = _divide(history, edges)
    answers = values if len(targets) == len(columns) else np.ascontiguousarray(values[:, : len(targets)])
    return Data(
        name=file.name.partition(".")[0],
        kind="sequence",
        x=history,
        y=Windows(answers, history.origins, horizon, when),
        source=str(file),
        targets=tuple(targets),
        times=history.origins,
        parts=parts,
        test_rows=np.flatnonzero(parts == "test") if parts is not None else None,
        reach=horizon - 1,
    )


def _time_column(source: Source) -> str:
    """The first column that begins with a date."""
    for name, cells in source.frame.items():
        first = cells.head(1)
        if kind_of(cells) == "date" or (
            kind_of(cells) == "categorical"
            and pd.to_datetime(first, format="mixed", errors="coerce", utc=True).notna().all()
        ):
            return str(name)
    raise DataError(
        f"no column holds dates: there are {', '.join(source.frame.columns)}",
        str(source.file),
        "Name the column that orders the rows: dataset.time=COLUMN.",
    )


def _columns(source: Source, key: str, names: Sequence[str] | None, taken: set[str]) -> list[str]:
    """The columns that a setting names; by default all that are not taken."""
    if names is None:
        return [name for name in source.frame.columns if name not in taken]
    source.need(list(names), key)
    return list(names)


def _origins(steps: int, lookback: int, horizon: int, stride: int, file: Path) -> np.ndarray:
    if steps < lookback + horizon:
        raise DataError(
            f"{steps:,} steps are too few to look back on {lookback} and forecast {horizon}",
            str(file),
            "Lower dataset.lookback or dataset.horizon.",
        )
    return np.arange(lookback, steps - horizon + 1, stride)


def _border(border: int | str, times: np.ndarray, file: Path) -> int:
    """A border as a number of steps."""
    if isinstance(border, int):
        return border
    try:
        return int(np.searchsorted(times, np.datetime64(pd.Timestamp(border))))
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{border!r} is no time", "dataset.borders", f"Times of {file} are such as {times[0]}."
        ) from error


def _divide(history: History, edges: Sequence[int]) -> tuple[History, np.ndarray]:
    """The windows whose forecast lies within one part, and the parts' names."""
    ends = [*edges, len(history.values)][:3]
    ordered = ends == sorted({0, *ends})[1:] and ends[-1] <= len(history.values)
    if not (ordered and len(edges) in (2, 3)):
        raise DataError(
            f"the borders lie at steps {', '.join(map(str, edges))} of {len(history.values):,}",
            "dataset.borders",
            "Give where validation and test begin, and where the test ends, one after the other.",
        )
    origins, names = history.origins, np.array(["train", "val", "test", ""])
    part = np.searchsorted(ends, origins, side="right")
    within = part == np.searchsorted(ends, origins + history.horizon - 1, side="right")
    kept = within & (part < 3)
    for number, name in enumerate(names[:3]):
        if not (kept & (part == number)).any():
            raise DataError(
                f"no window lies within {name}", "dataset.borders", f"The horizon is {history.horizon}."
            )
    return replace(history, origins=origins[kept]), names[part[kept]]
