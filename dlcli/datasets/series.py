"""Series in a file: one row a step, one column a variable, read as windows that forecast what follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from annotated_types import Ge

from dlcli.datasets.borders import divide
from dlcli.datasets.data import Data
from dlcli.datasets.series_steps import Steps, read_steps
from dlcli.datasets.tables.columns import kind_of
from dlcli.datasets.tables.files import read_table
from dlcli.datasets.tables.source import Source
from dlcli.datasets.windows import History, Windows
from dlcli.errors import DataError
from dlcli.files.paths import typed

Count = Annotated[int, Ge(1)]


def load(
    path: str,
    time: str | None = None,
    target: str | Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    known: Sequence[str] = (),
    id: str | None = None,
    test_path: str | None = None,
    lookback: Count = 48,
    horizon: Count = 24,
    stride: Count = 1,
    season: Count | None = None,
    borders: Sequence[int | str] | None = None,
    missing: Literal["error", "forward"] = "error",
) -> Data:
    """Windows of series: `lookback` steps that are known, and the `horizon` steps after them, to be forecast.

    A window lies in one series. Several series share scales and model; each is split in time by itself.

    Args:
        path: the file, of any format that tables have.
        time: the column of dates or numbers, in order and a fixed step apart; the first that holds dates by default.
        target: the column or columns to forecast; all by default.
        inputs: columns that a forecast looks back on beside the targets; all others by default.
        known: of other columns, those whose values are known as far ahead as the horizon, such as holidays.
        id: the column whose equal values make a series; by default the file holds a single one.
        test_path: a later file of the same columns: what it holds is forecast in the test. Its forecasts look back on
            the first file where it goes on with that at once.
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
    if test_path is not None and borders is not None:
        hint = "Leave one of both out: dataset.test_path names the test's steps, and dataset.borders, too."
        raise DataError("the test is given twice", "dataset.borders", hint)
    source = read_table(typed(path))
    file = source.file
    source.need([time] if time else [], "dataset.time")
    source.need([id] if id else [], "dataset.id")
    time = time or time_column(source, id)
    taken = {time, id}
    targets = _columns(
        source, "dataset.target", [target] if isinstance(target, str) else target, {*taken, *known}
    )
    ahead = _columns(source, "dataset.known", known, taken)
    others = _columns(source, "dataset.inputs", inputs, {*taken, *targets, *ahead})
    columns = [*targets, *others, *ahead]
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise DataError("a column is of two kinds", f"{file}, column {twice}", "Name it once.")
    sources = [source]
    if test_path is not None:
        later = read_table(typed(test_path))
        later.need([time, *([id] if id else []), *columns], f"dataset.test_path ({later.file.name})")
        sources.append(later)

    steps = read_steps(sources, time, columns, id, forward=missing == "forward")
    origins = _origins(steps, lookback, horizon, stride, sources)
    parts = None
    if borders is not None:
        parts = divide(steps, origins, horizon, borders, file)
        origins, parts = origins[parts != ""], parts[parts != ""]
    tests = parts == "test" if parts is not None else steps.later[origins]
    history = History(
        steps.values,
        tuple(columns),
        origins,
        lookback,
        horizon,
        len(targets),
        len(ahead),
        season or steps.season,
        steps.stretches,
    )
    answers = steps.values
    if len(targets) < len(columns):
        answers = np.ascontiguousarray(answers[:, : len(targets)])
    return Data(
        name=file.name.partition(".")[0],
        kind="sequence",
        x=history,
        y=Windows(answers, origins, horizon, steps.times, steps.stretches),
        source=str(file),
        targets=tuple(targets),
        groups=steps.stretches.series(origins) if id else None,
        times=origins,
        parts=parts,
        test_rows=np.flatnonzero(tests) if len(sources) > 1 or parts is not None else None,
        reach=horizon - 1,
        note=_note(steps, origins),
    )


def time_column(source: Source, id: str | None) -> str:
    """The first column that begins with a date.

    Raises:
        DataError: there is none.
    """
    for name, cells in source.frame.drop(columns=[id] if id else []).items():
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


def _columns(source: Source, key: str, names: Sequence[str] | None, taken: set[str | None]) -> list[str]:
    """The columns that a setting names; by default all that are not taken."""
    if names is None:
        return [name for name in source.frame.columns if name not in taken]
    source.need(list(names), key)
    return list(names)


def _origins(steps: Steps, lookback: int, horizon: int, stride: int, sources: Sequence[Source]) -> np.ndarray:
    """First steps to be forecast, of windows that lie in one stretch, and whose forecasts lie in one file."""
    found = [np.arange(begin + lookback, end - horizon + 1, stride) for begin, end in steps.spans()]
    origins = np.concatenate(found)
    hint = "Lower dataset.lookback or dataset.horizon."
    if not len(origins):
        longest = max(end - begin for begin, end in steps.spans())
        raise DataError(
            f"{longest:,} steps are too few to look back on {lookback} and forecast {horizon}",
            str(sources[0].file),
            hint,
        )
    origins = origins[steps.later[origins] == steps.later[origins + horizon - 1]]
    for number, source in enumerate(sources):
        if not (steps.later[origins] == number).any():
            raise DataError(f"no forecast of {horizon} steps lies in this file", str(source.file), hint)
    return origins


def _note(steps: Steps, origins: np.ndarray) -> str:
    """How many series there are, and whether some are too short for a window."""
    names = steps.stretches.names
    if not names:
        return ""
    short = sorted(set(names) - set(steps.stretches.series(origins)))
    said = f"windows of {len(set(names)):,} series"
    if short:
        more = f" and {len(short) - 3:,} more" if len(short) > 3 else ""
        said += f"; too short for one: {', '.join(short[:3])}{more}"
    return said
