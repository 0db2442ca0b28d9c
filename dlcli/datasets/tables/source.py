"""`Source`: a table as its file has it, and where in the file each of its rows stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.datasets.tables.arrow_types import odd_column
from dlcli.datasets.tables.columns import DATES_WRITTEN, as_dates, as_kind, kind_of
from dlcli.errors import DataError, Problem


@dataclass(frozen=True, eq=False)
class Source:
    """A table and its file.

    Attributes:
        frame: the rows, in the types that the file gives them; column names are strings, each of its own.
        file: where they come from.
        first: the line of the first row; None where rows are no lines, and are counted from 1.
        test: the file of the last rows, where they come from another.
        odd: columns of the file that are none of a table's, such as lists, and what they hold; not in the frame.
        skipped: rows of the file in front of these, where rows are counted.
    """

    frame: pd.DataFrame
    file: Path
    first: int | None = None
    test: Source | None = None
    odd: Mapping[str, str] = field(default_factory=dict)
    skipped: int = 0

    def place(self, row: int, column: str = "") -> str:
        """Where a cell stands: `wine.csv:12, column quality`; `row` is counted from 0."""
        if self.test is not None and row >= (own := len(self.frame) - len(self.test.frame)):
            return self.test.place(row - own, column)
        counted = f"{self.file}, row {row + 1 + self.skipped}"
        at = f"{self.file}:{row + self.first}" if self.first is not None else counted
        return f"{at}, column {column}" if column else at

    def need(self, columns: Sequence[str], key: str) -> None:
        """Refuse names of columns that the file does not have; `key` is the setting that names them.

        Raises:
            DataError: with the near name, or what a column holds that is none of a table's.
        """
        names = list(self.frame.columns)
        for column in columns:
            if column in self.odd:
                raise odd_column(column, self.odd[column], self.file)
            if column not in names:
                nameless = names == [f"c{number}" for number in range(len(names))]
                raise DataError(
                    f"there is no column {column} in {self.file.name}",
                    key,
                    hint(
                        did_you_mean(column, names),
                        choices(names),
                        "The file has no header: the columns are counted." if nameless else "",
                    ),
                )

    def need_all(self, wanted: Mapping[str, Sequence[str]]) -> None:
        """Refuse all names of columns that the file does not have, at once; `wanted` has them by setting.

        Raises:
            DataError: as `need` does.
        """
        problems: list[Problem] = []
        for key, columns in wanted.items():
            for column in columns:
                try:
                    self.need([column], key)
                except DataError as error:
                    problems += error.problems
        if problems:
            raise DataError(problems)

    def joined(self, test: Source, targets: Sequence[str]) -> Source:
        """These rows, and behind them those of a test file, whose columns are brought to the kinds of these.

        Raises:
            DataError: the test file lacks a column, or a target.
        """
        test.need(list(self.frame.columns), f"dataset.test_path ({test.file.name})")
        if (missing := test.frame[list(targets)].isna().any(axis=1).to_numpy()).any():
            row = int(missing.argmax())
            raise DataError(
                "the target is missing",
                test.place(row, ", ".join(targets)),
                "Fill it in, or remove the row.",
            )
        written = self.frame.attrs.get(DATES_WRITTEN, {})
        columns = {
            name: as_kind(test.frame[name], kind_of(values), test.place, written.get(name))
            if kind_of(values) != kind_of(test.frame[name])
            else test.frame[name]
            for name, values in self.frame.items()
        }
        mine = self.frame
        for name, values in columns.items():
            if kind_of(mine[name]) == "boolean" and kind_of(values) == "numeric":
                # Beside numbers, booleans would be words: 1 and True two names.
                if name in targets:
                    columns[name] = _as_booleans(values, test)
                else:
                    mine = mine.assign(**{name: mine[name].astype(np.float64)})
        frame = pd.concat([mine, pd.DataFrame(columns)], ignore_index=True)
        frame.attrs = self.frame.attrs
        return Source(frame, self.file, self.first, test, self.odd)

    def split_column(self, name: str | None, key: str) -> np.ndarray | None:
        """A column that splits go by, `(N,)`; `key` is the dataset's setting that names it.

        Raises:
            DataError: a row has no value, or a word among times is no date.
        """
        if name is None:
            return None
        values = self.frame[name]
        missing = values.isna().to_numpy()
        if missing.any():
            raise DataError(
                f"dataset.{key} has no value here", self.place(int(missing.argmax()), name), "Fill it in."
            )
        if key == "time" and kind_of(values) == "categorical":
            values = as_dates(values, self.place)  # words sort by letters: 02/01/2024 before 12/31/2022
        return values.to_numpy(dtype=object) if kind_of(values) == "categorical" else values.to_numpy()


def _as_booleans(values: pd.Series, source: Source) -> pd.Series:
    """Numbers that are 0 or 1, as booleans."""
    wrong = ~values.isin((0, 1)).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{values.iloc[row]} is neither true nor false", source.place(row, str(values.name)))
    return values.astype(bool)


def checked(source: Source) -> Source:
    """The source, if it is a table: with rows, and with a name of its own for each column.

    Raises:
        DataError: it is not.
    """
    names = source.frame.columns
    if not len(names) or not len(source.frame):
        raise DataError("has no rows", str(source.file), "A table needs at least one row under its columns.")
    refuse_namesakes(list(names), source.file)
    return source


def refuse_namesakes(names: Sequence[str], file: Path) -> None:
    """Refuse columns that could not be told apart.

    Raises:
        DataError: two have one name.
    """
    places: dict[str, list[str]] = {}
    for number, name in enumerate(names, start=1):
        places.setdefault(name, []).append(str(number))
    for name, numbers in places.items():
        if len(numbers) > 1:
            raise DataError(
                f"the column name {name} stands there {len(numbers)} times: columns {', '.join(numbers)}",
                str(file),
                "Give each column a name of its own.",
            )
