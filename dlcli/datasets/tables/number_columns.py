"""Columns of plain numbers in a large text file, which Arrow parses as it reads the file.

Reading them as strings first takes more time and memory. A column is parsed only if the result is certain to be the
one that `dlcli.datasets.reading.deciding` comes to by its strings:

- Its first strings, `FIRST` bytes of the file, are plain numbers, some of which have a certain decimal point, and they
  are not in doubt otherwise. All of these are properties of some of its strings, which further ones do not change.
- Arrow parses each of its strings, or the string denotes a missing value. If it finds another one, the column is read
  as strings from the beginning of the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from dlcli.datasets.reading.cells import MISSING, trimmed, without
from dlcli.datasets.reading.lookalikes import codes_as_numbers
from dlcli.datasets.reading.number_formats import is_plain_point
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.datasets.reading.strings import plain_numbers

# Files of fewer bytes are read as strings, and bytes by which the columns of numbers of a larger file are found.
LARGE, FIRST = 1 << 24, 1 << 22

# A column of at most this number of distinct numbers is read as strings: they may be versions, such as 1.1 and 1.10.
_VERSIONS = 50

# Arrow's message about a string that is not a number.
_NO_NUMBER = re.compile(r"In CSV column #(\d+):.* conversion error to double")


class NoNumber(Exception):
    """A column that is parsed holds something else.

    Attributes:
        column: its number.
    """

    def __init__(self, column: int) -> None:
        super().__init__(f"column {column}")
        self.column = column


def beginning(batches: Iterable[pa.RecordBatch], size: int) -> pa.Table | None:
    """Return the first batches, at least `size` bytes; None if there are fewer."""
    found, held = [], 0
    for batch in batches:
        found.append(batch)
        held += batch.nbytes
        if held >= size:
            return pa.Table.from_batches(found)
    return None


def find_number_columns(first: pa.Table, names: Collection[str], options: ReadingOptions) -> frozenset[int]:
    """Return the numbers of the columns that Arrow may parse.

    Args:
        first: the first rows of a file, as strings.
        names: the names of its columns.
        options: the options by which the columns are decided.
    """
    if options.decimal is not None or options.thousands is not None:
        return frozenset()
    return frozenset(
        number
        for number, name in enumerate(names)
        if options.kind_of(name) is None
        and options.missing_of(name) is None
        and _are_plain(first.column(number), name)
    )


def _are_plain(cells: pa.ChunkedArray, name: str) -> bool:
    strings = without(trimmed(cells), MISSING)
    numbers = plain_numbers(strings) if strings.null_count < len(strings) else None
    return (
        numbers is not None
        and pa.types.is_floating(numbers.type)
        and not _any_nan(numbers)
        and pc.count_distinct(numbers).as_py() > _VERSIONS
        and is_plain_point(strings)
        and not any(codes_as_numbers(strings, name))
    )


def column_without_number(error: Exception) -> int | None:
    """Return the parsed column that holds something else, if that is what an error of Arrow's reader says."""
    if isinstance(error, NoNumber):
        return error.column
    found = _NO_NUMBER.search(str(error))
    return int(found[1]) if found else None


def require_no_nan(table: pa.Table, numbers: Collection[int]) -> None:
    """Raise an error if numbers are NaN: then Arrow has read a word such as NAN, which denotes no missing value.

    Raises:
        NoNumber: a column has such numbers.
    """
    for number in numbers:
        if _any_nan(table.column(number)):
            raise NoNumber(number)


def _any_nan(numbers: pa.Array | pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.is_nan(numbers)).as_py())
