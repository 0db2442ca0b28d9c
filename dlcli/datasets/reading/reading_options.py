"""`ReadingOptions`: the user's options for reading cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dlcli.datasets.reading.cells import MISSING
from dlcli.datasets.reading.column import Kind
from dlcli.datasets.reading.columns import Columns


@dataclass(frozen=True)
class ReadingOptions:
    """The user's options for reading cells; None leaves the decision to the columns.

    Attributes:
        types: kinds of columns.
        decimal: the decimal sign of numbers.
        thousands: the sign of thousands, "" for none.
        day_first: whether days come before months in dates.
        date_format: strptime's pattern of dates, for all columns or by column.
        missing: the words that denote a missing value, for all columns or by column.
        trim: whether white space around words is removed.
        times: columns that must be dates or numbers, because rows are ordered by them.
        parts: columns of parts of the split, which are case-insensitive.
        parsed: columns of numbers with decimal points, which have been parsed while a text file was read.
    """

    types: Mapping[str, Kind] = field(default_factory=dict)
    decimal: str | None = None
    thousands: str | None = None
    day_first: bool | None = None
    date_format: str | Mapping[str, str] | None = None
    missing: Sequence[str | float] | Mapping[str, Sequence[str | float]] | None = None
    trim: bool = True
    times: Collection[str] = ()
    parts: Collection[str] = ()
    parsed: Collection[str] = ()

    def missing_of(self, name: str) -> tuple[str, ...] | None:
        """Return the words that denote a missing value in a column; None for the usual ones."""
        given = self.missing.get(name) if isinstance(self.missing, Mapping) else self.missing
        if given is None:
            return None
        return (*map(str, given), *(MISSING if set(given) - {""} else ()))

    def applied_to(self, columns: Columns) -> Columns:
        """Return a model's columns for new rows with number and date formats according to these options."""
        changed = {}
        for column in columns:
            number, pattern = column.number, self.format_of(column.name)
            decimal = number.decimal if self.decimal is None else self.decimal
            thousands = number.thousands if self.thousands is None else self.thousands
            if decimal == thousands:
                thousands = {",": ".", ".": ","}[decimal]
            number = replace(number, decimal=decimal, thousands=thousands)
            date = (
                replace(column.date, patterns=(pattern,))
                if pattern
                else column.date.with_order(self.day_first)
            )
            missing = column.missing if self.missing is None else self.missing_of(column.name)
            changed[column.name] = replace(column, number=number, date=date, missing=missing)
        return columns.replaced(changed)

    def kind_of(self, name: str) -> Kind | None:
        """Return the kind of a column if it is set; a date format for this column makes it a date."""
        return self.types.get(name) or ("date" if self.has_own_format(name) else None)

    def has_own_format(self, name: str) -> bool:
        """Return whether a date format is set for this column rather than for all."""
        return isinstance(self.date_format, Mapping) and name in self.date_format

    def format_of(self, name: str) -> str | None:
        """Return the pattern of a column's dates, if it is set."""
        if isinstance(self.date_format, Mapping):
            return self.date_format.get(name)
        return self.date_format
