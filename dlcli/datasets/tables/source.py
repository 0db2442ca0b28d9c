"""`Source`: the rows of a table file, which know their place in the file, and `RawTable`: its cells before reading."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dlcli.config.pasted import pasted
from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.datasets.reading.column import Kind, without_dictionaries
from dlcli.datasets.reading.columns import KINDS, Columns
from dlcli.datasets.reading.deciding import decide
from dlcli.datasets.reading.doubts import unused_format
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.datasets.tables.arrow_types import unsupported_column
from dlcli.datasets.tables.typed_frames import is_text, kind_of
from dlcli.errors import DataError, Problem

# Signs that may separate columns, which are not recognized by themselves.
_SIGNS = "^~:&! "

_NO_COLUMNS = Columns(())


@dataclass(frozen=True, eq=False)
class Source:
    """A table read from a file.

    Attributes:
        frame: the rows; column names are unique strings.
        file: the file.
        first: line of the first row; None if rows are not lines, and are counted from 1.
        test: source of the last rows, if they come from a test file.
        unsupported: columns of unsupported types, such as lists, and their types; they are not in the frame.
        skipped: number of rows of the file before these, if rows are counted.
        between: for each comment or empty line between the rows, the number of rows before it.
        columns: how the columns were read.
        warnings: doubts about the reading.
        kept: the rows of the file that these are; None for all.
        sheets: the other sheets of an Excel file, each with the cells of its first row.
    """

    frame: pd.DataFrame
    file: Path
    first: int | None = None
    test: Source | None = None
    unsupported: Mapping[str, str] = field(default_factory=dict)
    skipped: int = 0
    between: tuple[int, ...] = ()
    columns: Columns = _NO_COLUMNS
    warnings: tuple[Problem, ...] = ()
    kept: np.ndarray | None = None
    sheets: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def place(self, row: int, column: str = "") -> str:
        """Return the place of a cell, such as `wine.csv:12, column quality`; `row` is counted from 0."""
        if self.test is not None and row >= (own := len(self.frame) - len(self.test.frame)):
            return self.test.place(row - own, column)
        row = row if self.kept is None else int(self.kept[row])
        counted = f"{self.file}, row {row + 1 + self.skipped}"
        before = sum(rows <= row for rows in self.between)
        place = f"{self.file}:{row + self.first + before}" if self.first is not None else counted
        return f"{place}, column {column}" if column else place

    def require(self, columns: Sequence[str], key: str) -> None:
        """Raise an error unless the table has these columns; `key` is the setting that names them.

        Raises:
            DataError: a column does not exist (the hint suggests a similar name), or its type is not supported.
        """
        names = list(self.frame.columns)
        for column in columns:
            if column in self.unsupported:
                raise unsupported_column(column, self.unsupported[column], self.file, key)
            if column not in names:
                raise DataError(
                    f"there is no column {column} in {self.file.name}",
                    key,
                    hint(did_you_mean(column, names), choices(names), self._advice(column, names)),
                )

    def _advice(self, missing: str, names: Sequence[str]) -> str:
        """Return the setting that may give the file the column that is missing."""
        return hint(sheet_advice(self.sheets, [missing]), self._advice_on_header(missing, names))

    def _advice_on_header(self, missing: str, names: Sequence[str]) -> str:
        if self.first is None:
            return ""
        excel = self.file.suffix.lower() in (".xlsx", ".xlsm")
        if excel and any(name.startswith("Unnamed: ") for name in names):  # as pandas calls them
            return (
                "The first row of the sheet must hold the names of the columns: delete the rows above them."
            )
        if names == [f"c{number}" for number in range(len(names))]:
            return (
                "The first line is read as a row, so the columns are numbered; if it has their names, set "
                "dataset.header=true."
            )
        if missing[:1] == "c" and missing[1:].isdecimal():
            return "If the file has no header, set dataset.header=false."
        signs = [sign for sign in _SIGNS if len(names) == 1 and sign in names[0].strip()]
        return (
            f"If its columns are separated otherwise, set {pasted('dataset.separator', signs[0])}."
            if signs
            else ""
        )

    def require_all(self, columns_by_key: Mapping[str, Sequence[str]]) -> None:
        """Raise one error for all missing columns; `columns_by_key` are the column names by setting.

        Raises:
            DataError: as for `require`.
        """
        problems: list[Problem] = []
        for key, columns in columns_by_key.items():
            for column in columns:
                try:
                    self.require([column], key)
                except DataError as error:
                    problems += error.problems
        if problems:
            raise DataError(problems)

    def joined(self, test: Source) -> Source:
        """Return these rows followed by those of a test file, which has been read by the same columns."""
        own, later = self.frame, test.frame
        for name in own.columns:
            if name not in later:  # a column that is left out
                later = later.assign(**{name: None})
            # Mixed with numbers, booleans would become objects, with 1 and True as two categories.
            if own[name].dtype == bool and later[name].dtype != bool:
                own = own.assign(**{name: own[name].astype(np.float64)})
            elif later[name].dtype == bool and own[name].dtype != bool:
                later = later.assign(**{name: later[name].astype(np.float64)})
        frame = pd.concat([own, later[list(own.columns)]], ignore_index=True)
        for name in own.columns:
            if frame[name].dtype == object:
                frame[name] = frame[name].astype(own[name].dtype)
        frame.attrs = self.frame.attrs
        return replace(self, frame=frame, test=test)

    def without(self, dropped: np.ndarray) -> Source:
        """Return the source without some rows, a mask `(N,)`; the places of the others are still known."""
        kept = np.flatnonzero(~dropped)
        return replace(self, frame=self.frame.iloc[kept].reset_index(drop=True), kept=kept)

    def split_column(self, name: str | None, key: str) -> np.ndarray | None:
        """Return a column `(N,)` that splits depend on; `key` is the dataset's setting that names it.

        Raises:
            DataError: a row has no value, or a time is neither a date nor a number.
        """
        if name is None:
            return None
        values = self.frame[name]
        missing = values.isna().to_numpy()
        if missing.any():
            raise DataError(
                f"the value for dataset.{key} is missing",
                self.place(int(missing.argmax()), name),
                "Fill it in.",
            )
        if key == "time" and kind_of(values) == "categorical":
            raise DataError(
                f"{values.iloc[0]!r} is neither a date nor a number that rows can be ordered by",
                self.place(0, name),
                "Write dates like 2024-12-31, or give their format: dataset.date_format.",
            )
        return values.to_numpy(dtype=object) if kind_of(values) == "categorical" else values.to_numpy()


@dataclass(eq=False)
class RawTable:
    """The cells of a table as they stand in its file; those of a text file are strings, except plain numbers in
    columns that are parsed while it is read.

    Attributes:
        table: the cells.
        origin: the file, with the names of the columns and without rows.
        separator: separator of a text file.
        index: columns that hold no data but the numbers or names of the rows.
        warnings: doubts about the file.
        comments: number of comments between the rows, which are skipped.
        empty: number of empty lines between the rows, which are skipped.
        parsed: columns of a text file that are parsed (`dlcli.datasets.tables.number_columns`).
        lists: columns of lists, which are not in the table.

    Reading the cells uses them up, so that a large table is not in memory twice.
    """

    table: pa.Table
    origin: Source
    separator: str = ","
    index: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()
    comments: int = 0
    empty: int = 0
    parsed: frozenset[str] = frozenset()
    lists: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        table: pa.Table,
        file: Path,
        first: int | None = None,
        *,
        unsupported: Mapping[str, str] | None = None,
        skipped: int = 0,
        between: Sequence[int] = (),
        separator: str = ",",
        index: Sequence[str] = (),
        warnings: Sequence[Problem] = (),
        unnamed: bool = False,
        sheets: Mapping[str, Sequence[str]] | None = None,
        lists: Mapping[str, pa.ChunkedArray] | None = None,
    ) -> RawTable:
        """Return the cells of a file, after checking that there are any and that the names of columns are unique.

        `unnamed` says that the first column has no name: pandas writes the numbers of rows so.

        Raises:
            DataError: the table has no rows, or column names are duplicate.
        """
        names = table.column_names
        if not names or not len(table):
            raise DataError("has no rows", str(file), "Give at least one row below the column names.")
        check_unique_names(names, file)
        numbers = row_numbers(table) if unnamed else []
        origin = Source(
            pd.DataFrame(columns=names), file, first, None, unsupported or {}, skipped, tuple(between),
            sheets=sheets or {},
        )  # fmt: skip
        return cls(table, origin, separator, (*index, *numbers), tuple(warnings), lists=lists or {})

    def __len__(self) -> int:
        return len(self.table)

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return self.table.column_names

    def decided(self, options: ReadingOptions, leaving_out: Collection[str] = ()) -> Source:
        """Return the rows, read by what is decided on all of them.

        Args:
            options: the user's reading options, which the file was read with if columns are parsed.
            leaving_out: columns that are not needed.

        Raises:
            DataError: two readings fit a column, or a value does not fit its column.
        """
        names = [name for name in self.names if name not in leaving_out]
        cells = [self._take(names)]
        columns, warnings = decide(
            cells, replace(options, parsed=self.parsed), self.origin.place, self.separator
        )
        source = self._read(cells, columns)
        warnings += unused_format(columns, options.date_format)
        return replace(source, warnings=(*self.warnings, *warnings))

    def read(self, columns: Columns) -> Source:
        """Return the rows of a model's columns.

        Raises:
            DataError: a value does not fit its column.
        """
        return self._read([self._take([name for name in self.names if name in columns])], columns)

    def _read(self, cells: list[pa.Table], columns: Columns) -> Source:
        rows = len(cells[0])
        frame = columns.read(cells, self.origin.place)
        return replace(
            self.origin, frame=frame if len(frame.columns) else frame.reindex(range(rows)), columns=columns
        )

    def _take(self, names: Sequence[str]) -> pa.Table:
        """Return the cells of some columns, which are no longer held here, so that each is freed when it is read."""
        taken = self.table.select(names)
        self.table = self.table.schema.empty_table()
        return taken


def sheet_advice(sheets: Mapping[str, Sequence[str]], missing: Sequence[str]) -> str:
    """Return which other sheet of an Excel file has the missing columns, or all other sheets; empty without any."""
    if not sheets:
        return ""
    having = [name for name, cells in sheets.items() if missing and set(missing) <= set(cells)]
    if having:
        has = f"Sheet {having[0]} has {'it' if len(missing) == 1 else 'them'}"
        return f"{has}: {pasted('dataset.sheet', having[0])}."
    other = pasted("dataset.sheet", next(iter(sheets)))
    return f"Other sheets of the file: {', '.join(sheets)}; one is read with {other}."


def row_numbers(table: pa.Table) -> list[str]:
    """Return the name of the first column if it has whole numbers that differ, as pandas writes the index of a frame.

    They need not be in order, nor complete: rows may have been selected and shuffled before.
    """
    values = table.column(0)
    try:
        values = without_dictionaries(values)
        numbers = values if pa.types.is_integer(values.type) else pc.cast(values, pa.int64())
    except pa.ArrowInvalid:
        return []
    found = pc.fill_null(numbers, -1).to_numpy()
    counts = len(found) > 1 and found.min() >= 0 and len(np.unique(found)) == len(found)
    return [table.column_names[0]] if counts else []


def column_kinds(frame: pd.DataFrame) -> dict[str, Kind]:
    """Return the kinds of a table's columns: as they were read, or else by their types and values."""
    read = frame.attrs.get(KINDS, {})
    return {
        str(name): read.get(str(name)) or ("text" if is_text(frame[name]) else kind_of(frame[name]))
        for name in frame.columns
    }


def check_unique_names(names: Sequence[str], file: Path) -> None:
    """Raise an error if column names are not unique.

    Raises:
        DataError: several columns have the same name.
    """
    places: dict[str, list[str]] = {}
    for number, name in enumerate(names, start=1):
        places.setdefault(name, []).append(str(number))
    for name, numbers in places.items():
        if len(numbers) > 1:
            raise DataError(
                f"the column name {name} occurs {len(numbers)} times: columns {', '.join(numbers)}",
                str(file),
                "Give each column a unique name.",
            )
