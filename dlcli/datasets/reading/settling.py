"""Settling columns with two readings by the other columns of the file, or refusing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.dates import DateFormat
from dlcli.datasets.reading.numbers import FoundFormats, NumberFormat
from dlcli.errors import DataError, Problem


@dataclass(frozen=True)
class Verdict:
    """What one column says of itself.

    Attributes:
        column: the column as far as it is decided.
        parsed: its values, if they have been parsed on the way.
        decimal: its decimal sign, if that is certain.
        found: formats of numbers between which the file decides.
        dates: formats of dates between which the file decides.
        examples: some of the values that can be read in two ways.
        where: the place of the first value.
        warnings: shown to the user.
    """

    column: Column
    parsed: pa.ChunkedArray | None = None
    decimal: str = ""
    found: FoundFormats | None = None
    dates: Sequence[DateFormat] = ()
    examples: Sequence[str] = ()
    where: str = ""
    warnings: tuple[Problem, ...] = ()


def settled_columns(verdicts: Sequence[Verdict], separator: str) -> list[Column]:
    """Decide columns with two readings by the other columns of the file, or refuse them."""
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
            if len(meant) != 1:
                problems.append(_two_dates(verdict))
            else:
                column = replace(column, date=meant[0], note=f"dates {meant[0].describe()}")
        columns.append(column)
    if problems:
        raise DataError(problems)
    return columns


def _choose_number(found: FoundFormats, points: set[str], separator: str) -> NumberFormat | None:
    """Return the one of two formats that is meant; None if neither is plainly."""
    by_decimal = {format.decimal: format for format in found.formats}
    if len(by_decimal) == 1:
        return found.formats[0]
    if len(points) == 1 and (decided := by_decimal.get(next(iter(points)))):
        return decided
    english = separator != ";"
    if not points and english:
        grouped = by_decimal["."].thousands == ","
        # In an English table, 1,250 is a thousand, and 1.327 has a point; 998 beside 1.327 speaks for thousands.
        if grouped or not found.bare:
            return by_decimal["."]
    return None


def doubts_settled(verdicts: Sequence[Verdict], columns: Sequence[Column]) -> Iterable[Problem]:
    """Yield a warning for each column whose reading the file has decided, with the key that decides otherwise."""
    points = {verdict.decimal for verdict in verdicts}
    for verdict, column in zip(verdicts, columns, strict=True):
        if verdict.found is not None and (column.number.decimal not in points or column.number.thousands):
            example = pa.array(verdict.examples[:1])
            value = column.number.parse(example)[0].as_py()
            (other,) = (format for format in verdict.found.formats if format != column.number)
            yield Problem(
                f"{example[0]} is read as {value:.12g}, not as {other.parse(example)[0].as_py():.12g}",
                f"column {column.name}",
                f"If it is not, set dataset.decimal='{other.decimal}'.",
            )
        elif verdict.dates:
            value = column.date.parse(pa.array([verdict.examples[0]]))[0].as_py()
            first = column.date.patterns[0].find("%d") < column.date.patterns[0].find("%m")
            yield Problem(
                f"{verdict.examples[0]} is read as {value:%Y-%m-%d}, as in other columns",
                f"column {column.name}",
                f"If it is not, set dataset.day_first={str(not first).lower()}.",
            )


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
        + ", ".join(f"dataset.decimal='{sign}' for ({reading})" for sign, reading in readings.items())
        + ".",
    )


def _two_dates(verdict: Verdict) -> Problem:
    values = pa.array(verdict.examples)
    readings = [
        ", ".join(f"{date:%Y-%m-%d}" for date in format.parse(values).to_pylist()) for format in verdict.dates
    ]
    return Problem(
        f"{', '.join(verdict.examples)} may be ({readings[0]}) or ({readings[1]})",
        verdict.where,
        f"Set dataset.day_first=true for ({readings[0]}), dataset.day_first=false for ({readings[1]}).",
    )


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))
