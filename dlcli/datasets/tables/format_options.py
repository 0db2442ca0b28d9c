"""Format options of table files in a `dataset` section."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from dlcli.datasets.reading.column import Kind
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.reading_options import ReadingOptions

Separator = Literal["auto", ",", ";", "\t", "tab", "|", " ", "^", "~", ":", "&", "!"]
Decimal = Literal["auto", ".", ","]
Thousands = Literal["auto", "none", ",", ".", " ", "'"]
AutoOrBool = Literal["auto"] | bool
DatePattern = str | Mapping[str, str] | None
Word = str | int | float
Missing = Sequence[Word] | Mapping[str, Sequence[Word]] | None


@dataclass(frozen=True)
class FormatOptions:
    """Options of a file; auto detects the value.

    Attributes:
        separator: column separator of a text file.
        header: whether the first line contains the column names.
        quotes: whether cells may be enclosed in quotes, which are then not part of the value.
        encoding: encoding such as utf-8 or latin-1.
        sheet: name of the sheet of an Excel file; None for the first.
    """

    separator: Separator = "auto"
    header: AutoOrBool = "auto"
    quotes: AutoOrBool = "auto"
    encoding: str = "utf-8"
    sheet: str | None = None

    @property
    def separator_sign(self) -> str | None:
        """The separator; None to detect it."""
        return {"auto": None, "tab": "\t"}.get(self.separator, self.separator)

    @property
    def has_header(self) -> bool | None:
        """Whether there is a header; None to detect it."""
        return None if self.header == "auto" else self.header

    @property
    def has_quotes(self) -> bool | None:
        """Whether cells may be enclosed in quotes; None to detect it."""
        return None if self.quotes == "auto" else self.quotes


@dataclass(frozen=True)
class CellOptions(FormatOptions):
    """Options of a file and of its cells; auto leaves the decision to whole columns.

    Attributes:
        decimal: decimal sign of numbers.
        thousands: sign of thousands in numbers.
        day_first: whether days come before months in dates.
        date_format: strptime's pattern of dates, for all columns or by column.
        missing_values: words that denote a missing value besides the usual ones, or by column; [] for none at all.
        trim: whether white space around words is removed.
    """

    decimal: Decimal = "auto"
    thousands: Thousands = "auto"
    day_first: AutoOrBool = "auto"
    date_format: DatePattern = None
    missing_values: Missing = None
    trim: bool = True

    def reading(
        self,
        types: Mapping[str, Kind] | None = None,
        times: Collection[str] = (),
        parts: Collection[str] = (),
    ) -> ReadingOptions:
        """Return the options of cells for deciding on the columns."""
        return ReadingOptions(
            types or {},
            None if self.decimal == "auto" else self.decimal,
            {"auto": None, "none": ""}.get(self.thousands, self.thousands),
            None if self.day_first == "auto" else self.day_first,
            self.date_format,
            self.missing_values,
            self.trim,
            times,
            parts,
        )

    def by_column(self) -> dict[str, list[str]]:
        """Return the columns that are named in options by column, by the key of the option."""
        options = {"dataset.date_format": self.date_format, "dataset.missing_values": self.missing_values}
        return {key: list(given) for key, given in options.items() if isinstance(given, Mapping)}

    def applied_to(self, columns: Columns) -> Columns:
        """Return the columns of a model for new rows whose numbers and dates are written as these options say."""
        return self.reading().applied_to(columns)


def without_decided(section: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section `dataset` without the options of cells that are those of the training.

    The columns of the model were decided by them, each by those that fit it: a format of dates, for one.
    """
    of_files = {field.name for field in fields(FormatOptions)}
    decided = {field.name for field in fields(CellOptions) if field.name not in of_files}
    return {
        name: value
        for name, value in section.items()
        if name not in decided or name not in recorded or value != recorded[name]
    }
