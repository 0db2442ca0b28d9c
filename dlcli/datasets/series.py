"""A series in a file: one row a step, one column a variable, read as windows that forecast what follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from annotated_types import Ge, Len

from dlcli.config.suggest import did_you_mean
from dlcli.datasets.data import Data
from dlcli.datasets.timeline import fill, lay_out, read_times, season_of
from dlcli.datasets.windows import History, Windows
from dlcli.errors import DataError

Steps = Annotated[int, Ge(1)]


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
    borders: Annotated[Sequence[int | str], Len(2, 3)] | None = None,
    missing: Literal["error", "forward"] = "error",
) -> Data:
    """Windows of the series: `lookback` steps that are known, and the `horizon` steps after them, to be forecast.

    Args:
        path: a CSV or Parquet file.
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
    file = Path(path)
    table = _read(file)
    time = time or _time_column(table, file)
    targets = _columns(table, file, [target] if isinstance(target, str) else target, {time, *known})
    ahead = _columns(table, file, known, {time})
    others = _columns(table, file, inputs, {time, *targets, *ahead})
    columns = [*targets, *others, *ahead]
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise DataError("a column is of two kinds", f"{file}, column {twice}", "Name it once.")

    times = read_times(table[time], lambda row: _place(file, row, time))
    grid = lay_out(times, lambda row: _place(file, row, time), gaps=missing == "forward")
    values = np.full((int(grid.positions[-1]) + 1, len(columns)), np.nan)
    for number, name in enumerate(columns):
        values[grid.positions, number] = _numbers(table[name], file, gaps=missing == "forward")
    if missing == "forward":
        values = pd.DataFrame(values).ffill().to_numpy()
    if np.isnan(values).any():
        row, column = np.argwhere(np.isnan(values))[0]
        raise DataError(
            "the first value is missing", _place(file, row, columns[column]), "Begin with a whole row."
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
        edges = [_border(border, fill(times, grid), file) for border in borders]
        history, parts = _divide(history, edges, file)
    answers = values if len(targets) == len(columns) else np.ascontiguousarray(values[:, : len(targets)])
    return Data(
        name=file.stem,
        kind="sequence",
        x=history,
        y=Windows(answers, history.origins, horizon, fill(times, grid)),
        source=str(file),
        targets=tuple(targets),
        times=history.origins,
        parts=parts,
        test_rows=np.flatnonzero(parts == "test") if parts is not None else None,
        reach=horizon - 1,
    )


def _read(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise DataError(
            "there is no such file", str(file), "Name it in dataset.path, relative to the current folder."
        )
    try:
        return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    except (ValueError, OSError) as error:
        raise DataError(f"not a readable table: {error}", str(file)) from error


def _place(file: Path, row: int, column: str) -> str:
    """Where a row stands: in a CSV behind its header."""
    where = f"{file}, row {row + 1}" if file.suffix == ".parquet" else f"{file}:{row + 2}"
    return f"{where}, column {column}"


def _time_column(table: pd.DataFrame, file: Path) -> str:
    """The first column that begins with a date."""
    for name in table.columns:
        column = table[name]
        if (
            not pd.api.types.is_numeric_dtype(column)
            and pd.notna(pd.to_datetime(column.head(1), format="mixed", errors="coerce", utc=True)).all()
        ):
            return str(name)
    raise DataError(
        f"no column holds dates: there are {', '.join(map(str, table.columns))}",
        str(file),
        "Name the column that orders the rows: dataset.time=COLUMN.",
    )


def _columns(table: pd.DataFrame, file: Path, names: Sequence[str] | None, taken: set[str]) -> list[str]:
    """The columns of these names; by default all that are not taken."""
    if names is None:
        return [str(name) for name in table.columns if str(name) not in taken]
    for name in names:
        if name not in table.columns:
            raise DataError(
                f"there is no column {name}", str(file), did_you_mean(name, map(str, table.columns))
            )
    return list(names)


def _numbers(column: pd.Series, file: Path, *, gaps: bool) -> np.ndarray:
    """A column's values; NaN where one is missing."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    missing = column.isna().to_numpy()
    for wrong, what, hint in (
        (
            np.isnan(values) & ~missing,
            "is no number",
            "Leave the column out (dataset.inputs=[...]), or mend it.",
        ),
        (np.isinf(values), "is infinite", "Mend it."),
        (
            missing & (not gaps),
            "is missing",
            "Repeat the values before those that are missing: dataset.missing=forward.",
        ),
    ):
        rows = np.flatnonzero(wrong)
        if len(rows):
            first = column.iloc[rows[0]]
            value = "a value" if missing[rows[0]] else repr(first) if isinstance(first, str) else str(first)
            more = f", and {len(rows) - 1:,} more like it" if len(rows) > 1 else ""
            raise DataError(f"{value} {what}{more}", _place(file, int(rows[0]), str(column.name)), hint)
    return values


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
    except ValueError as error:
        raise DataError(
            f"{border!r} is no time", "dataset.borders", f"Times of {file} are such as {times[0]}."
        ) from error


def _divide(history: History, edges: Sequence[int], file: Path) -> tuple[History, np.ndarray]:
    """The windows whose forecast lies within one part, and the parts' names."""
    ends = [*edges, len(history.values)][:3]
    if list(ends) != sorted({0, *ends})[1:] or ends[-1] > len(history.values):
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
