"""`Column`: the type and format of a table's column, and the reading of its cells."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dlcli.datasets.reading.cells import MARKERS, MISSING, booleans, trimmed, without
from dlcli.datasets.reading.date_formats import ISO_DATES, DateFormat, epoch_times, is_epoch, numbers_as_dates
from dlcli.datasets.reading.encoded import Encoded
from dlcli.datasets.reading.number_formats import PLAIN, NumberFormat, plain_numbers_of
from dlcli.datasets.reading.spellings import respelt, spelt_as
from dlcli.errors import DataError

Kind = Literal["numeric", "categorical", "boolean", "date", "text"]

# Function from a row's position and a column's name to a place, for messages.
Place = Callable[[int, str], str]

# Maximum number of categories that a description names.
_SHOWN = 6

# Larger integers are not exact as floats: 9,007,199,254,740,993 would become ...992.
EXACT = 1 << 53


@dataclass(frozen=True)
class Column:
    """How a column is read.

    Attributes:
        name: name of the column.
        kind: kind of its values.
        number: how numbers are written.
        date: how dates are written.
        words: the words for false and true of a boolean, in lower case.
        categories: number of training rows of each category; None if unknown.
        missing: words that denote a missing value; None for the usual ones.
        trim: whether white space around words is removed.
        role: use of the column: feature, target, time, group, id, split, text, or left out.
        why: reason why it is left out.
        note: description of conversions, for the panel.
    """

    name: str
    kind: Kind
    number: NumberFormat = PLAIN
    date: DateFormat = ISO_DATES
    words: tuple[str, str] = ("false", "true")
    categories: Mapping[str, int] | None = None
    missing: tuple[str, ...] | None = None
    trim: bool = True
    role: str = "feature"
    why: str = ""
    note: str = field(default="", compare=False)

    def describe(self) -> str:
        """Return the role and the reading in words, such as `feature, date, %d/%m/%Y`."""
        if self.role == "left out":
            return f"left out: {self.why}" if self.why else "left out"
        how = {"numeric": self.number.describe(), "date": self.date.describe()}.get(self.kind, "")
        if self.kind == "boolean":
            how = " and ".join(reversed(self.words))
        parts = [self.role, self.kind, how]
        if self.categories is not None:
            shown = [f"{name} {rows:,}" for name, rows in list(self.categories.items())[:_SHOWN]]
            more = ["..."] if len(self.categories) > _SHOWN else []
            parts.append(f"{len(self.categories):,} categories ({', '.join([*shown, *more])})")
        if self.missing is not None:
            own = [word for word in self.missing if not (self.takes_markers and word in MISSING)]
            usual = " and the usual words" if self.takes_markers else ""
            parts.append(f"missing: {', '.join(map(repr, own)) or 'only the empty cell'}{usual}")
        return ", ".join(filter(None, parts))

    @property
    def takes_markers(self) -> bool:
        """Whether words such as n.a. and - also denote missing values; not in columns of words."""
        # Columns of earlier versions lack the word of databases' dumps.
        return self.missing is None or set(MISSING) - {"\\N"} <= set(self.missing)

    def read(self, values: pa.ChunkedArray, place: Place) -> pd.Series:
        """Return the column's values.

        The type is int64 or float64 for numbers; bool for booleans, or float64 if some are missing; datetime64 in UTC
        for dates; and str for words.

        Raises:
            DataError: a value is not of the column's kind; the message names its place.
        """
        encoded = Encoded.of(values)
        if encoded is not None:
            with contextlib.suppress(DataError):  # its place would not be that of a row
                return self._shown(encoded.rows(self._read(encoded.distinct, place)))
        return self._shown(self._read(without_dictionaries(values), place))

    def _shown(self, found: pa.ChunkedArray) -> pd.Series:
        return _to_pandas(found, self.kind).rename(self.name)

    def _read(self, values: pa.ChunkedArray, place: Place) -> pa.ChunkedArray:
        if pa.types.is_string(values.type):
            values = self.known(values)
            read = {"numeric": self._numbers, "boolean": self._booleans, "date": self._dates}.get(self.kind)
            found = read(values, place) if read is not None else self._as_known(values)
        else:
            found = self._typed(values, place)
        if self.kind == "numeric" and (numbers := numbers_among(self.missing or ())):
            absent = pc.is_in(pc.cast(found, pa.float64()), value_set=pa.array(numbers))
            found = pc.if_else(absent, pa.scalar(None, found.type), found)
        return found

    def known(self, strings: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return strings without white space around them, and null for words that denote a missing value."""
        if self.trim or self.kind not in ("categorical", "text"):
            strings = trimmed(strings)
        return without(strings, MISSING if self.missing is None else ("", *self.missing))

    def _numbers(self, strings: pa.ChunkedArray, place: Place) -> pa.ChunkedArray:
        if self.number == PLAIN and strings.null_count < len(strings):
            plain = plain_numbers_of(strings)
            if plain is not None:
                return plain
        how = self.number.describe()
        return self._by_distinct(
            strings,
            self.number.parse,
            place,
            f"is not a number written like {how}" if how else "is not a number",
            "Correct it; if it denotes a missing value, add it to dataset.missing_values=[...]; if numbers "
            "have another format, set dataset.decimal or dataset.thousands.",
        )

    def _dates(self, strings: pa.ChunkedArray, place: Place) -> pa.ChunkedArray:
        how = self.date.describe()
        return self._by_distinct(
            strings,
            self.date.parse,
            place,
            f"is not a date in the format {how}" if how else "is not a date such as 2024-12-31",
            "Write dates like 2024-12-31, or like those of the training data; set dataset.date_format for "
            "another format.",
        )

    def _booleans(self, strings: pa.ChunkedArray, place: Place) -> pa.ChunkedArray:
        words = " nor ".join(reversed(self.words))
        return self._by_distinct(
            strings,
            lambda distinct: booleans(distinct, self.words) if self.words else distinct,
            place,
            f"is neither {words}",
            f"Write {' and '.join(reversed(self.words))}.",
        )

    def _by_distinct(
        self,
        strings: pa.ChunkedArray,
        parse: Callable[[pa.Array], pa.Array],
        place: Place,
        message: str,
        hint: str,
    ) -> pa.ChunkedArray:
        """Parse each distinct string once; strings that cannot be parsed must denote missing values, or raise
        an error."""
        encoded = strings.combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):  # of no chunk
            encoded = pa.array([], pa.string()).dictionary_encode()
        distinct = encoded.dictionary
        parsed = parse(distinct)
        if parsed.null_count:
            words = pc.is_in(pc.utf8_lower(distinct), value_set=pa.array(sorted(MARKERS)))
            allowed = words if self.takes_markers else pa.array([False] * len(distinct))
            wrong = pc.and_(parsed.is_null(), pc.invert(allowed))
            if pc.any(wrong).as_py():
                rows = pc.fill_null(wrong.take(encoded.indices), False)
                raise _error(self.name, strings, rows, message, place, hint)
        return pa.chunked_array([parsed.take(encoded.indices)])

    def _typed(self, values: pa.ChunkedArray, place: Place) -> pa.ChunkedArray:
        """Convert values that have a type in the file."""
        kind, types = values.type, pa.types
        if types.is_null(kind):
            return values
        if self.kind in ("categorical", "text"):
            return self._as_known(as_words(values))
        if self.kind == "date":
            if types.is_temporal(kind):
                return values
            guess = None if is_epoch(self.date.patterns[0]) else numbers_as_dates(values)
            found = guess if guess is not None and guess.patterns[0] in self.date.patterns else self.date
            if is_epoch(found.patterns[0]):
                return epoch_times(values, found.patterns[0])
            return self._dates(as_words(values), place)
        if types.is_temporal(kind):
            row = pc.is_valid(values).combine_chunks()
            raise _error(
                self.name, values, row, "is a date, not a number", place, "Leave out or convert the column."
            )
        if self.kind == "boolean" and not types.is_boolean(kind):
            wrong = pc.fill_null(pc.invert(pc.is_in(values, value_set=pa.array([0, 1]).cast(kind))), False)
            wrong = pc.and_(wrong, pc.is_valid(values))
            if pc.any(wrong).as_py():
                text = "is neither true nor false"
                raise _error(self.name, values, wrong, text, place, "Write true and false, or 1 and 0.")
            return pc.cast(values, pa.bool_())
        return pc.cast(values, pa.int8()) if types.is_boolean(kind) and self.kind == "numeric" else values

    def _as_known(self, words: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return words in the spelling of the training rows: 1 and 1.0 are the same category, as are TRUE and True."""
        if not self.categories:
            return words
        distinct = pc.drop_null(pc.unique(words)).to_pylist()
        return respelt(words, spelt_as(distinct, self.categories))


def without_dictionaries(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values without dictionary encoding, as string, int64 or uint64, float64, bool, or times in UTC
    in microseconds."""
    types = pa.types
    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    if types.is_time(kind):
        with contextlib.suppress(pa.ArrowInvalid):  # a fraction of a second
            values = values.cast(pa.time32("s"))
    if types.is_large_string(kind) or types.is_string_view(kind) or types.is_time(kind):
        return values.cast(pa.string())
    if types.is_decimal(kind):
        return values.cast(pa.string() if kind.scale == 0 and kind.precision > 15 else pa.float64())
    if types.is_date(kind):
        return values.cast(pa.timestamp("us"))
    if types.is_timestamp(kind):
        return values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.timestamp("us"))
    if types.is_floating(kind) and kind != pa.float64():
        return values.cast(pa.float64()) if kind == pa.float16() else values
    return values


def repacked(values: pa.ChunkedArray, encoded: Encoded | None) -> pa.ChunkedArray:
    """Return the column with these values, which are those of its distinct strings if it is encoded; release memory."""
    if encoded is not None:
        values = encoded.column(values) if pa.types.is_string(values.type) else encoded.rows(values)
    pa.default_memory_pool().release_unused()  # the pool would keep freed memory
    return values


def as_words(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers, booleans or dates as words: whole numbers have no decimal point, so that 1.0 is 1."""
    if pa.types.is_floating(values.type):
        encoded = values.combine_chunks().dictionary_encode()
        names = [None if value != value else _name(value) for value in encoded.dictionary.to_pylist()]
        return pa.chunked_array([pa.array(names, pa.string()).take(encoded.indices)])
    if pa.types.is_boolean(values.type):
        return pc.if_else(values, "True", "False")
    if pa.types.is_timestamp(values.type):
        return pa.chunked_array([pa.array(values.to_pandas().astype("str"), pa.string(), from_pandas=True)])
    return values.cast(pa.string())


def numbers_among(words: Sequence[str]) -> list[float]:
    """Return the words that are numbers, such as -999."""
    found = []
    for word in words:
        try:
            found.append(float(word))
        except ValueError:
            continue
    return [number for number in found if number == number]


def _name(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _to_pandas(values: pa.ChunkedArray | pa.Array, kind: Kind) -> pd.Series:
    if pa.types.is_null(values.type):
        values = values.cast(pa.string() if kind in ("categorical", "text") else pa.float64())
    if kind == "boolean" and values.null_count:
        values = values.cast(pa.int8()).cast(pa.float64())
    if pa.types.is_timestamp(values.type):
        return values.to_pandas(date_as_object=False).astype("datetime64[us]")
    found = values.to_pandas(date_as_object=False)
    return found.astype("str") if kind in ("categorical", "text") else found


def _error(name: str, values: Any, rows: Any, message: str, place: Place, hint: str) -> DataError:
    row = pc.index(rows, True).as_py()
    more = pc.sum(rows).as_py() - 1
    also = f", and {more:,} more like it" if more else ""
    value = values[row].as_py()
    shown = repr(value) if isinstance(value, str) else str(value)
    return DataError(f"{shown} {message}{also}", place(row, name), hint)
