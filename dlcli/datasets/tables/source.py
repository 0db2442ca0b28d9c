"""`Source`: a table as read from its file, which knows the place of each row in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.datasets.tables.arrow_types import unsupported_column
from dlcli.datasets.tables.columns import DATE_FORMATS, as_dates, as_kind, kind_of
from dlcli.errors import DataError, Problem


@dataclass(frozen=True, eq=False)
class Source:
    """A table read from a file.

    Attributes:
        frame: the rows, in the types of the file; column names are unique strings.
        file: the file.
        first: line of the first row; None if rows are not lines, and are counted from 1.
        test: source of the last rows, if they come from a test file.
        unsupported: columns of unsupported types, such as lists, and their types; they are not in the frame.
        skipped: number of rows of the file before these, if rows are counted.
    """

    frame: pd.DataFrame
    file: Path
    first: int | None = None
    test: Source | None = None
    unsupported: Mapping[str, str] = field(default_factory=dict)
    skipped: int = 0

    def place(self, row: int, column: str = "") -> str:
        """Return the place of a cell, such as `wine.csv:12, column quality`; `row` is counted from 0."""
        if self.test is not None and row >= (own := len(self.frame) - len(self.test.frame)):
            return self.test.place(row - own, column)
        counted = f"{self.file}, row {row + 1 + self.skipped}"
        place = f"{self.file}:{row + self.first}" if self.first is not None else counted
        return f"{place}, column {column}" if column else place

    def require(self, columns: Sequence[str], key: str) -> None:
        """Raise an error unless the table has these columns; `key` is the setting that names them.

        Raises:
            DataError: a column does not exist (the hint suggests a similar name), or its type is not supported.
        """
        names = list(self.frame.columns)
        for column in columns:
            if column in self.unsupported:
                raise unsupported_column(column, self.unsupported[column], self.file)
            if column not in names:
                nameless = names == [f"c{number}" for number in range(len(names))]
                raise DataError(
                    f"there is no column {column} in {self.file.name}",
                    key,
                    hint(
                        did_you_mean(column, names),
                        choices(names),
                        "The file has no header, so the columns are numbered." if nameless else "",
                    ),
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

    def joined(self, test: Source, targets: Sequence[str]) -> Source:
        """Return these rows followed by those of a test file, converted to the column kinds of this table.

        Raises:
            DataError: the test file lacks a column or a target value.
        """
        test.require(list(self.frame.columns), f"dataset.test_path ({test.file.name})")
        if (missing := test.frame[list(targets)].isna().any(axis=1).to_numpy()).any():
            row = int(missing.argmax())
            raise DataError(
                "the target is missing",
                test.place(row, ", ".join(targets)),
                "Fill it in, or remove the row.",
            )
        written = self.frame.attrs.get(DATE_FORMATS, {})
        columns = {
            name: as_kind(test.frame[name], kind_of(values), test.place, written.get(name))
            if kind_of(values) != kind_of(test.frame[name])
            else test.frame[name]
            for name, values in self.frame.items()
        }
        own = self.frame
        for name, values in columns.items():
            if kind_of(own[name]) == "boolean" and kind_of(values) == "numeric":
                # Mixed with numbers, booleans would become objects, with 1 and True as two categories.
                if name in targets:
                    columns[name] = _as_booleans(values, test)
                else:
                    own = own.assign(**{name: own[name].astype(np.float64)})
        frame = pd.concat([own, pd.DataFrame(columns)], ignore_index=True)
        frame.attrs = self.frame.attrs
        return Source(frame, self.file, self.first, test, self.unsupported)

    def split_column(self, name: str | None, key: str) -> np.ndarray | None:
        """Return a column `(N,)` that splits depend on; `key` is the dataset's setting that names it.

        Raises:
            DataError: a row has no value, or a time is not a date.
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
            values = as_dates(
                values, self.place
            )  # strings would be sorted as text: 02/01/2024 before 12/31/2022
        return values.to_numpy(dtype=object) if kind_of(values) == "categorical" else values.to_numpy()


def _as_booleans(values: pd.Series, source: Source) -> pd.Series:
    """Convert numbers that are 0 or 1 to booleans."""
    wrong = ~values.isin((0, 1)).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{values.iloc[row]} is neither true nor false",
            source.place(row, str(values.name)),
            "Write true and false, or 1 and 0.",
        )
    return values.astype(bool)


def checked(source: Source) -> Source:
    """Return the source after checking that it has rows and unique column names.

    Raises:
        DataError: it has no rows, or column names are duplicate.
    """
    names = source.frame.columns
    if not len(names) or not len(source.frame):
        raise DataError("has no rows", str(source.file), "Give at least one row below the column names.")
    check_unique_names(list(names), source.file)
    return source


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
