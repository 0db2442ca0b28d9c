"""The steps of one series or of several: out of a file, and out of a later one that goes on with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from dlcli.datasets.measurements import measured, present
from dlcli.datasets.tables.columns import as_categories
from dlcli.datasets.tables.source import Source
from dlcli.datasets.timeline import Grid, fill, lay_out, read_times, season_of
from dlcli.datasets.windows import Stretches
from dlcli.errors import DataError

_FILL = "Repeat the values before those that are missing: dataset.missing=forward."


@dataclass(frozen=True, eq=False)
class Steps:
    """Steps, stretch after stretch: a series is one, or two where a later file does not follow on the first at once.

    Attributes:
        values: `(T, F)`, in the user's unit.
        times: `(T,)`.
        stretches: where each begins.
        later: which steps the later file holds `(T,)`.
        season: steps after which the series repeat themselves.
    """

    values: np.ndarray
    times: np.ndarray
    stretches: Stretches
    later: np.ndarray
    season: int

    def __len__(self) -> int:
        return len(self.values)

    def spans(self) -> Iterator[tuple[int, int]]:
        """First step of each stretch, and the one behind its last."""
        begins = self.stretches.begins.tolist()
        return zip(begins, [*begins[1:], len(self)], strict=True)


def read_steps(
    sources: Sequence[Source], time: str, columns: Sequence[str], id: str | None, *, forward: bool
) -> Steps:
    """The steps of a file, and of a later one if there is one.

    Args:
        sources: one or two; both hold all columns.
        time: the column of times.
        columns: those of values.
        id: the column whose equal values make a series; None: there is one series.
        forward: repeat the value before one that is missing, within a stretch; otherwise that is an error.

    Raises:
        DataError: a time or value is missing or wrong; series have different steps; a file is not the later one.
    """
    rows = _Rows.of(sources, time, id)
    laid = _lay_out(rows, gaps=forward)  # before values: times that are there twice tell of several series
    cells = rows.values(columns, None if forward else _FILL)
    names: list[str] = []
    values: list[np.ndarray] = []
    when: list[np.ndarray] = []
    later: list[np.ndarray] = []
    for name, own, grid, edge in laid:
        breaks = edge and grid.positions[edge] - grid.positions[edge - 1] > 1
        for part in np.split(np.arange(len(own)), [edge] if breaks else []):
            lines, positions = own[part], grid.positions[part] - grid.positions[part[0]]
            names.append(name)
            when.append(fill(rows.times.iloc[lines], grid._replace(positions=positions)))
            values.append(_on_grid(cells[lines], positions, forward=forward))
            if np.isnan(values[-1][0]).any():
                column = columns[int(np.isnan(values[-1][0]).argmax())]
                where = rows.place(lines[0], column)
                raise DataError("the first value is missing", where, "Begin with a whole row.")
            later.append(np.zeros(len(when[-1]), dtype=bool))
            later[-1][positions[lines >= rows.first]] = True
    lengths = np.array([len(some) for some in values])
    stretches = Stretches(lengths.cumsum() - lengths, tuple(names) if id else (), id or "")
    season = next((season_of(grid) for _, own, grid, _ in laid if len(own) > 1), 1)
    return Steps(np.concatenate(values), np.concatenate(when), stretches, np.concatenate(later), season)


def _on_grid(cells: np.ndarray, positions: np.ndarray, *, forward: bool) -> np.ndarray:
    """Rows `(R, F)` at their positions `(T, F)`; between them NaN, or `forward` what was before."""
    values = np.full((positions[-1] + 1, cells.shape[1]), np.nan)
    values[positions] = cells
    return pd.DataFrame(values).ffill().to_numpy() if forward else values


def _lay_out(rows: _Rows, *, gaps: bool) -> list[tuple[str, np.ndarray, Grid, int]]:
    """Each series: its name, its rows, where they lie, and which of them begins the later file (0: none)."""
    found: list[tuple[str, np.ndarray, Grid, int]] = []
    first: Grid | None = None
    for name, own in rows.by_series():
        edge = int((own < rows.first).sum()) % len(own)
        rows.refuse_earlier(own, edge)

        def where(row: int, own: np.ndarray = own) -> str:
            return rows.place(own[row], rows.time)

        grid = lay_out(rows.times.iloc[own], where, gaps=gaps, edge=edge)
        if len(own) > 1:  # else it is on any grid
            first = first or grid
            if grid[1:] != first[1:]:
                raise DataError(
                    f"this series has a step of {_step(grid)}, those before it of {_step(first)}",
                    where(0),
                    "Bring all series to one step, such as with pandas' resample.",
                )
        found.append((name, own, grid, edge))
    return found


def _step(grid: Grid) -> str:
    return f"{grid.step:g} {grid.unit}" if grid.unit != "numbers" else f"{grid.step:g}"


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of one or two files, one after the other; `first` is the first of the later file."""

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
                present(source, id, "Fill it in, or remove the row.")
            times.append(read_times(source.frame[time], partial(source.place, column=time)))
            series.append(as_categories(source.frame[id]) if id else np.full(len(source.frame), ""))
        if len({pd.api.types.is_numeric_dtype(some) for some in times}) > 1:
            raise DataError(
                "one file has dates where the other has numbers",
                f"{sources[1].file}, column {time}",
                "Write the times of both files in the same way.",
            )
        whole = pd.concat(times, ignore_index=True)
        return cls(sources, time, whole, np.concatenate(series), len(sources[0].frame))

    def values(self, columns: Sequence[str], mend: str | None) -> np.ndarray:
        """Columns of numbers `(R, F)`; missing ones are refused, unless `mend` is None."""
        return np.concatenate(
            [np.stack([measured(source, name, mend) for name in columns], axis=1) for source in self.sources]
        )

    def by_series(self) -> Iterator[tuple[str, np.ndarray]]:
        """The name of each series and its rows, in the order in which they begin."""
        codes, names = pd.factorize(self.series)
        order = np.argsort(codes, kind="stable")
        ends = np.bincount(codes).cumsum()
        return zip(map(str, names), np.split(order, ends[:-1]), strict=True)

    def place(self, row: int, column: str) -> str:
        """Where a cell stands."""
        late = int(row >= self.first)
        return self.sources[late].place(int(row) - late * self.first, column)

    def refuse_earlier(self, own: np.ndarray, edge: int) -> None:
        """The later file's steps of a series (from `edge` on) come after those of the first."""
        if edge and self.times[own[edge]] <= self.times[own[edge - 1]]:
            raise DataError(
                f"{self.times[own[edge]]} comes before the end of {self.sources[0].file.name}, "
                f"{self.times[own[edge - 1]]}",
                self.place(own[edge], self.time),
                "A test file goes on where the other ends; forecasts look back on that one anyway.",
            )
