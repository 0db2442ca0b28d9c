"""Resolve ambiguous columns by the other columns of the file, or raise an error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from dlcli.config.pasted import pasted, pasted_for_column
from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.date_formats import DateFormat
from dlcli.datasets.reading.number_formats import FoundFormats, NumberFormat
from dlcli.errors import DataError, Problem

# Advice if dates have several patterns, because the setting holds only one.
_FOUR_DIGITS = "write years with four digits"


@dataclass(frozen=True)
class Verdict:
    """The possible readings of a column by its own values.

    Attributes:
        column: the column as far as it is decided.
        parsed: its values, if they have been parsed in the process.
        decimal: its decimal sign, if that is certain.
        found: number formats among which the other columns decide.
        dates: date formats among which the other columns decide.
        same: whether all dates are equal in these formats, such as 05/05/2024.
        examples: some ambiguous values.
        where: the place of the first value.
        warnings: shown to the user.
    """

    column: Column
    parsed: pa.ChunkedArray | None = None
    decimal: str = ""
    found: FoundFormats | None = None
    dates: Sequence[DateFormat] = ()
    same: bool = False
    examples: Sequence[str] = ()
    where: str = ""
    warnings: tuple[Problem, ...] = ()


def settled_columns(verdicts: Sequence[Verdict], separator: str) -> list[Column]:
    """Return the columns, with ambiguous ones resolved by the other columns of the file, or raise an error."""
    points = {verdict.decimal for verdict in verdicts if verdict.decimal}
    orders = {verdict.column.date.order for verdict in verdicts if not verdict.dates} - {""}
    columns, problems = [], []
    for verdict in verdicts:
        column = verdict.column
        if verdict.found is not None:
            number = _choose_number(verdict.found, points, separator)
            if number is None:
                problems.append(_two_numbers(verdict))
            else:
                column = replace(
                    column,
                    number=number,
                    note=_joined(number.describe() and f"numbers like {number.describe()}", column.note),
                )
        elif verdict.dates:
            meant = [format for format in verdict.dates if orders == {format.order}]
            if len(meant) != 1 and verdict.same:
                meant = [verdict.dates[0]]
            if len(meant) != 1:
                problems.append(_two_dates(verdict))
            else:
                column = replace(column, date=meant[0], note=f"dates {meant[0].describe()}")
        columns.append(column)
    if problems:
        raise DataError(problems)
    return columns


def _choose_number(found: FoundFormats, points: set[str], separator: str) -> NumberFormat | None:
    """Return the intended one of two formats; None if that cannot be determined."""
    by_decimal = {format.decimal: format for format in found.formats}
    if len(by_decimal) == 1:
        return found.formats[0]
    if len(points) == 1 and (decided := by_decimal.get(next(iter(points)))):
        return decided
    english = separator != ";"
    if not points and english:
        grouped = by_decimal["."].thousands == ","
        # In an English table, 1,250 has a thousands sign and 1.327 a decimal point; 998 next to 1.327 indicates
        # thousands.
        if grouped or not found.bare:
            return by_decimal["."]
    return None


def doubts_settled(verdicts: Sequence[Verdict], columns: Sequence[Column]) -> Iterable[Problem]:
    """Yield a warning for each column that was resolved by the file, with the key for the other reading."""
    points = {verdict.decimal for verdict in verdicts}
    for verdict, column in zip(verdicts, columns, strict=True):
        # 998 next to 1.327 indicates thousands, even if another column has a decimal point.
        if verdict.found is not None and (
            column.number.decimal not in points or column.number.thousands or verdict.found.bare
        ):
            example = pa.array(verdict.examples[:1])
            value = column.number.parse(example)[0].as_py()
            (other,) = (format for format in verdict.found.formats if format != column.number)
            # The setting of a decimal sign applies to all columns.
            key, sign = ("thousands", other.thousands) if other.thousands else ("decimal", other.decimal)
            yield Problem(
                f"{example[0]} is read as {value:.12g}, not as {other.parse(example)[0].as_py():.12g}",
                f"column {column.name}",
                f"If it is not, set {pasted(f'dataset.{key}', sign)}.",
            )
        elif verdict.dates:
            value = column.date.parse(pa.array([verdict.examples[0]]))[0].as_py()
            others = [key_of(column.name, format) for format in verdict.dates if format != column.date]
            how = (
                ", in which days and months are equal in all rows"
                if verdict.same
                else ", as in other columns"
            )
            yield Problem(
                f"{verdict.examples[0]} is read as {column.date.describe()}, {value:%Y-%m-%d}{how}",
                f"column {column.name}",
                f"If it is not, {remedy(others)}.",
            )


def key_of(name: str, format: DateFormat) -> str:
    """Return the setting that chooses a date format of a column; empty if one setting cannot hold all of its
    patterns."""
    if format.order:
        return pasted("dataset.day_first", format.order == "day")
    if len(format.patterns) > 1:
        return ""
    return pasted_for_column("dataset.date_format", name, format.patterns[0])


def remedy(keys: Sequence[str]) -> str:
    """Return advice for another reading of dates: these settings, or another format of the dates."""
    given = " or ".join(filter(None, keys))
    return ", or ".join(filter(None, [f"set {given}" if given else "", "" if all(keys) else _FOUR_DIGITS]))


def _two_numbers(verdict: Verdict) -> Problem:
    assert verdict.found is not None
    values = pa.array(verdict.examples)
    readings = {
        format.decimal: ", ".join(f"{number:.12g}" for number in format.parse(values).to_pylist())
        for format in verdict.found.formats
    }
    return Problem(
        f"{', '.join(verdict.examples)} may be {' or '.join(f'({reading})' for reading in readings.values())}",
        verdict.where,
        "Set the decimal sign: "
        + ", ".join(
            f"{pasted('dataset.decimal', sign)} for ({reading})" for sign, reading in readings.items()
        )
        + ".",
    )


def _two_dates(verdict: Verdict) -> Problem:
    values = pa.array(verdict.examples)
    readings = [
        ", ".join(f"{date:%Y-%m-%d}" for date in format.parse(values).to_pylist()) for format in verdict.dates
    ]
    keys = [key_of(verdict.column.name, format) for format in verdict.dates]
    settings = [f"{key} for ({reading})" for key, reading in zip(keys, readings, strict=True) if key]
    return Problem(
        f"{', '.join(verdict.examples)} may be {' or '.join(f'({reading})' for reading in readings)}",
        verdict.where,
        f"Set {', '.join(settings)}" + ("." if all(keys) else f"; or {_FOUR_DIGITS}."),
    )


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))
