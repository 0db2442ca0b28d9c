"""Determine the date format of a column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from dlcli.datasets.reading.column import Column, Place
from dlcli.datasets.reading.date_formats import (
    ISO_DATES,
    SECONDS,
    DateFormat,
    find_dates,
    numbers_as_dates,
    same_dates,
    some_lack_zone,
    without_wide_years,
)
from dlcli.datasets.reading.date_patterns import FIRST, LAST
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.datasets.reading.settling import Verdict, key_of, remedy
from dlcli.errors import DataError, Problem

# Number of values among which the first date is searched, if not all values are dates.
_LOOKED_AT = 10

# Number of values on which the formats of these dates are compared.
_COMPARED = 1000

# Minimum number of distinct integers such as 20240131 for which a column is read as dates without `dataset.types`.
_DATES = 5

# Seconds since 1970 below which numbers are rather days, of which there are 73,050 from 1900 to 2100.
_FEW_SECONDS = 80_000


class DateColumn:
    """Detection of the date format of one column.

    Args:
        base: the column as far as it is decided.
        options: the user's reading options.
        place: returns the place of a cell, for messages.
    """

    def __init__(self, base: Column, options: ReadingOptions, place: Place) -> None:
        self._base = base
        self._options = options
        self._asked = options.kind_of(base.name)
        self._place = place

    def find(self, rest: pa.Array, first_row: Callable[[pa.Array], int], note: str) -> Verdict | None:
        """Return the verdict on strings that are all dates; None for others.

        Args:
            rest: the distinct strings without words such as n.a.
            first_row: returns the first row that has one of these values.
            note: the note on these words.
        """
        given = self._options.format_of(self._base.name)
        found = find_dates(rest, self._options.day_first, given)
        if not found and given is not None and self._asked is None:
            found = find_dates(rest, self._options.day_first)
        if not found:
            return None
        fitting, (found, years) = found, without_wide_years(found, rest)
        column = replace(self._base, kind="date", date=found[0])
        what = "times of day as dates of 1900-01-01," if found[0].has_no_day else "dates"
        how = found[0].describe()
        if len(found) == 1:
            doubts = (*self._zones(rest), *self._years(fitting, found[0], years, rest))
            note = "; ".join(filter(None, [f"{what} {how}" if how else "", note]))
            return Verdict(replace(column, note=note), warnings=doubts)
        first, second, *_ = (format.parse(rest) for format in found)
        differing = rest.filter(pc.not_equal(first, second))
        shown = (differing if len(differing) else rest)[:2]
        return Verdict(
            column,
            dates=found,
            same=same_dates(found, rest),
            examples=shown.to_pylist(),
            where=self._place(first_row(shown[:1]), self._base.name),
        )

    def as_given(self, strings: pa.ChunkedArray) -> Verdict | None:
        """Return the verdict on digits such as 31012024 if they are dates in the format that the user has set."""
        given = self._options.format_of(self._base.name)
        distinct = pc.drop_null(pc.unique(strings))
        found = [] if given is None else find_dates(distinct, self._options.day_first, given)
        if not found:
            return None
        note = f"dates {found[0].describe()}"
        return Verdict(replace(self._base, kind="date", date=found[0], note=note))

    def _zones(self, dates: pa.Array) -> tuple[Problem, ...]:
        if not some_lack_zone(dates):
            return ()
        problem = Problem(
            "some times have a zone, others have none and are read as UTC",
            f"column {self._base.name}",
            "Write all times with a zone, such as 2024-12-31T23:00+01:00, or all without one.",
        )
        return (problem,)

    def _years(
        self, fitting: Sequence[DateFormat], chosen: DateFormat, years: int, dates: pa.Array
    ) -> Iterator[Problem]:
        """Yield a warning if dates could begin with the year, but would then span too many years."""
        for other in fitting:
            if other != chosen:
                value = chosen.parse(dates[:1])[0].as_py()
                yield Problem(
                    f"{dates[0]} is read as {chosen.describe()}, {value:%Y-%m-%d}; beginning with the year, "
                    f"the dates would span {years} years",
                    f"column {self._base.name}",
                    f"If it is not, {remedy([key_of(self._base.name, other)])}.",
                )

    def of_numbers(self, numbers: pa.ChunkedArray) -> Verdict:
        """Return the verdict on numbers that the user declares to be dates."""
        given = self._options.format_of(self._base.name)
        own = given is not None and self._options.has_own_format(self._base.name)
        found = DateFormat((given,)) if given is not None and own else numbers_as_dates(numbers)
        if found == SECONDS and (largest := pc.max(numbers)).as_py() < _FEW_SECONDS:
            raise DataError(
                f"{largest.as_py():g} is no number of seconds since 1970: it may count the days since 1970 or, as in "
                "Excel, since 1899-12-30",
                self._place(pc.index(numbers, largest).as_py(), self._base.name),
                "Convert the column in Python: pandas.to_datetime(days, unit='D', origin='1899-12-30'), or "
                "origin='unix'.",
            )
        note = f"dates {found.describe()}" if found else ""
        return Verdict(replace(self._base, kind="date", date=found or ISO_DATES, note=note))

    def likely(self, rest: pa.Array) -> DateFormat | None:
        """Return the most frequent date format of a column in which not all values are dates; None without dates.

        Candidates are the formats of the first dates; among formats that match equally many values, the first one is
        taken.
        """
        given = self._options.format_of(self._base.name)
        if given is not None:
            return DateFormat((given,))
        first = rest.slice(0, _LOOKED_AT)
        first = first.filter(pc.match_substring_regex(first, r"\d\D+\d|\d{4}"))
        formats = [
            format
            for row in range(len(first))
            for format in find_dates(first.slice(row, 1), self._options.day_first)
        ]
        compared = rest.slice(0, _COMPARED)
        return min(formats, key=lambda format: format.parse(compared).null_count, default=None)

    def compact(self, numbers: pa.ChunkedArray) -> Verdict | None:
        """Return the verdict on integers such as 20240131 if all of them are dates, else None."""
        low, high = (bound.as_py() for bound in pc.min_max(numbers).values())
        # Days, minutes or seconds.
        is_near = low is not None and any(
            FIRST * unit <= low <= high < (LAST + 1) * unit for unit in (1, 10**4, 10**6)
        )
        if not is_near or pc.count_distinct(numbers).as_py() < _DATES:
            return None
        found = numbers_as_dates(numbers)
        if found is None:
            return None
        return Verdict(replace(self._base, kind="date", date=found, note=f"dates {found.describe()}"))
