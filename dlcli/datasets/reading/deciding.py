"""Determine the types of a table's columns, each on all of its values.

A column of strings is numeric, boolean or a date if all its values are. Ambiguous columns are resolved by the other
columns of the file, or an error names the key that resolves them.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from dlcli.datasets.reading.boolean_columns import asked_boolean
from dlcli.datasets.reading.cells import MARKERS, MISSING, boolean_words, is_text_by, spread, trimmed, without
from dlcli.datasets.reading.column import Column, Place, as_words, repacked, without_dictionaries
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.reading.date_columns import DateColumn
from dlcli.datasets.reading.date_formats import ISO_DATES, DateFormat, iso_dates
from dlcli.datasets.reading.doubts import damaged, differing_in_case, in_two_formats, odd_values, two_ways
from dlcli.datasets.reading.encoded import CODED, Cells, Encoded, are_categories
from dlcli.datasets.reading.lookalikes import codes_as_numbers, undated
from dlcli.datasets.reading.number_formats import (
    FoundFormats,
    NumberFormat,
    find_formats,
    is_number_like,
    is_plain_point,
    may_be_marked,
    rewritten_number,
)
from dlcli.datasets.reading.reading_options import ReadingOptions
from dlcli.datasets.reading.settling import Verdict, doubts_settled, settled_columns
from dlcli.datasets.reading.spellings import respelt, spellings
from dlcli.datasets.reading.strings import (
    all_match,
    are_phones,
    beginning_with_zero,
    distinct_strings,
    is_code,
    is_large,
    may_be_more,
    plain_numbers,
    total_length,
)
from dlcli.errors import Problem

# Maximum number of distinct words of a column that are compared ignoring case.
_CASES = 10_000


def decide(
    cells: list[pa.Table], options: ReadingOptions, place: Place, separator: str = ","
) -> tuple[Columns, tuple[Problem, ...]]:
    """Return the columns with their types, and warnings about doubtful ones with the key that decides.

    Args:
        cells: a list of one table with the unconverted cells; those of a text file are strings. Columns that are parsed
            in the process are replaced by their values.
        options: the user's reading options.
        place: returns the place of a cell, for messages.
        separator: the separator of a text file.

    Raises:
        DataError: a column is ambiguous, or its values are not of the kind set by the user.
    """
    table = cells.pop()
    verdicts = []
    for number, name in enumerate(table.column_names):
        encoded = Encoded.of(table.column(number))
        values = table.column(number) if encoded is None else encoded.distinct
        verdict = _Deciding(name, options, place, encoded).decide(values)
        if verdict.parsed is not None:
            table = table.set_column(number, name, repacked(verdict.parsed, encoded))
        verdicts.append(replace(verdict, parsed=None))
    columns = settled_columns(verdicts, separator)
    warnings = [warning for verdict in verdicts for warning in verdict.warnings]
    cells.append(table)
    return Columns(tuple(columns)), (*warnings, *doubts_settled(verdicts, columns))


class _Deciding:
    """Detection of the type of one column, on its distinct strings if it is encoded."""

    def __init__(
        self, name: str, options: ReadingOptions, place: Place, encoded: Encoded | None = None
    ) -> None:
        self._name = name
        self._cells = Cells(encoded)
        self._options = options
        self._place = place
        self._asked = options.kind_of(name)
        self._base = Column(name, "categorical", missing=options.missing_of(name), trim=options.trim)
        self._dates = DateColumn(self._base, options, place)
        # The values, the values without blanks and missing words, and whether no value had surrounding blanks.
        self._spares: tuple[pa.ChunkedArray, pa.ChunkedArray, bool] | None = None
        self._names: pa.Array | None = None  # the distinct ones of the latter

    def decide(self, values: pa.ChunkedArray) -> Verdict:
        zone = values.type.tz if pa.types.is_timestamp(values.type) else None
        coded = are_categories(values.type) and self._asked is None
        values = without_dictionaries(values)
        if coded:  # such as pandas' categories 1, 2 and 3
            return Verdict(replace(self._base, note=CODED), as_words(values))
        if not pa.types.is_string(values.type):
            return self._native(values, zone or "")
        if self._asked in ("categorical", "text"):
            words = replace(self._base, kind=self._asked).known(values)
            if self._asked == "text":
                return Verdict(replace(self._base, kind="text"), words)
            return self._categories(words, distinct_strings(words))
        is_usual = self._asked is None and self._base.missing is None
        # Arrow parses neither surrounding blanks nor empty cells, but most columns of numbers have neither.
        if is_usual and (verdict := self._quickly(values)) is not None:
            return verdict
        cells = trimmed(values)
        empty = pc.equal(cells, "")
        if is_usual and pc.any(empty).as_py():
            verdict = self._quickly(pc.if_else(empty, pa.scalar(None, pa.string()), cells))
            if verdict is not None:
                return verdict
        strings = without(cells, MISSING if self._base.missing is None else ("", *self._base.missing))
        if self._base.trim:
            self._spares = (values, strings, total_length(values) == total_length(cells))
        if self._asked == "boolean":
            first_row = partial(self._cells.first_row, strings)
            return asked_boolean(self._base, distinct_strings(strings), first_row, self._place)
        if strings.null_count == len(strings):
            return Verdict(replace(self._base, kind=self._asked or "numeric", note=""), strings)
        if self._asked != "date" and (verdict := self._plain_numbers(strings, strings)) is not None:
            return verdict
        is_open = self._asked in (None, "date") and self._options.format_of(self._name) is None
        if is_open and (dates := iso_dates(strings)) is not None:
            return Verdict(replace(self._base, kind="date"), dates)
        is_free = self._asked is None and self._name not in self._options.times
        if is_free and not may_be_more(self._cells.first(strings)):
            return self._words(values)
        return self._by_distinct(values, strings)

    def _quickly(self, strings: pa.ChunkedArray) -> Verdict | None:
        """Return the verdict on plain numbers without searching for words; None for other columns."""
        parsed = plain_numbers(strings) if strings.null_count < len(strings) else None
        if parsed is None or (pa.types.is_floating(parsed.type) and pc.any(pc.is_nan(parsed)).as_py()):
            return None
        return self._plain_numbers(strings, strings, parsed)

    def _native(self, values: pa.ChunkedArray, zone: str) -> Verdict:
        """Return the verdict on values that have a type in the file; times have been converted from the zone to UTC."""
        types, kind = pa.types, values.type
        if self._asked in ("categorical", "text"):
            return Verdict(replace(self._base, kind=self._asked), as_words(values))
        if types.is_boolean(kind):
            return Verdict(replace(self._base, kind=self._asked or "boolean"))
        if types.is_timestamp(kind):
            date = DateFormat(zone=zone)
            note = f"dates {date.describe()}" if zone else ""
            return Verdict(replace(self._base, kind=self._asked or "date", date=date, note=note))
        if self._asked == "date":
            return self._dates.of_numbers(values)
        if self._asked is None and types.is_integer(kind):
            if is_large(values):
                return self._words(as_words(values), "its numbers are too long to be exact")
            if (verdict := self._dates.compact(values)) is not None:
                return verdict
        point = "." if self._name in self._options.parsed else ""
        return Verdict(replace(self._base, kind=self._asked or "numeric"), decimal=point)

    def _plain_numbers(
        self, strings: pa.ChunkedArray, words: pa.ChunkedArray, parsed: pa.ChunkedArray | None = None
    ) -> Verdict | None:
        """Return the verdict on plain numbers, which Arrow parses fast; None for other strings.

        Args:
            strings: the values without words that may denote a missing value.
            words: the values, if read as words, such as numbers that are too long.
            parsed: the numbers, if they have been parsed.
        """
        parsed = plain_numbers(strings) if parsed is None else parsed
        if parsed is None:
            return None
        whole = pa.types.is_integer(parsed.type)
        zeros = beginning_with_zero(strings) if whole else strings.slice(0, 0)
        if pc.any(pc.match_substring_regex(zeros, "^0[xX]")).as_py():  # Arrow reads 0x10 as well
            return None
        numeric = replace(self._base, kind="numeric")
        if self._asked == "numeric":
            # It remains to be decided whether 1.327 is 1327.
            return Verdict(numeric, parsed) if whole else self._pointed(strings, parsed, numeric)
        if whole:
            if pc.any(pc.match_substring_regex(zeros, r"^[-+]?0\d")).as_py():
                return self._dates.as_given(strings) or self._words(words, "01 and 1 differ")
            if are_phones(strings):
                return self._words(words, "all are as long as telephone numbers and begin with +")
            if is_large(parsed):
                return self._words(words, "its numbers are too long to be exact")
            if (verdict := self._dates.compact(parsed)) is not None:
                return verdict
            return Verdict(numeric, parsed)
        if all_match(strings, r"^[-+]?\d+$"):
            return self._words(words, "its numbers are too long to be exact")
        return self._pointed(strings, parsed, numeric)

    def _pointed(self, strings: pa.ChunkedArray, parsed: pa.ChunkedArray, numeric: Column) -> Verdict:
        """Return the verdict on plain numbers with points, such as 1.327, which may be 1327."""
        options = self._options
        if options.decimal != "," and (options.thousands != "." or is_plain_point(strings)):
            if is_plain_point(strings):
                return Verdict(
                    numeric, parsed, decimal=".", warnings=tuple(codes_as_numbers(strings, self._name))
                )
            if options.decimal == ".":
                return Verdict(numeric, parsed)
        distinct = distinct_strings(strings)
        found = find_formats(distinct, options.decimal, options.thousands)
        if not found.formats and options.decimal != ",":  # such as inf, which is reported with its line
            return Verdict(numeric, parsed)
        return self._formats(distinct, found, numeric, strings)

    def _formats(
        self,
        distinct: pa.Array,
        found: FoundFormats,
        numeric: Column,
        strings: pa.ChunkedArray,
        note: str = "",
    ) -> Verdict:
        if not found.formats:
            return self._mixed(distinct, strings, strings)
        notes = [rewritten_number(distinct), note]
        if len(found.formats) == 1:
            (one,) = found.formats
            how = one.describe()
            note = "; ".join(filter(None, [f"numbers like {how}" if how else "", *notes]))
            return Verdict(
                replace(numeric, number=one, note=note), decimal=one.decimal if found.certain else ""
            )
        row = self._cells.first_row(strings, distinct.slice(0, 1))
        signed = distinct.filter(pc.match_substring_regex(distinct, "[.,]"))
        examples = pa.concat_arrays(
            [signed[:2], distinct.filter(pc.invert(pc.match_substring_regex(distinct, "[.,]")))[:1]]
        )
        return Verdict(
            replace(numeric, note="; ".join(filter(None, notes))),
            found=found,
            examples=examples.to_pylist(),
            where=self._place(row, self._name),
        )

    def _by_distinct(self, values: pa.ChunkedArray, strings: pa.ChunkedArray) -> Verdict:
        """Return the verdict on other strings, by their distinct values without words such as n.a."""
        distinct = self._names = distinct_strings(strings)
        marks = pc.is_in(pc.utf8_lower(distinct), value_set=pa.array(sorted(MARKERS)))
        marks = pc.and_(marks, self._base.takes_markers)
        rest = distinct.filter(pc.invert(marks))
        note = self._cells.marked(strings, distinct.filter(marks))
        if len(rest):
            if note and self._asked != "date":
                known = pc.if_else(pc.is_in(strings, value_set=distinct.filter(marks)), None, strings)
                plain = self._plain_numbers(known, values)
                if plain is not None and plain.column.kind not in ("numeric", "date"):
                    return plain
                if plain is not None:
                    notes = "; ".join(filter(None, [plain.column.note, note]))
                    return replace(plain, column=replace(plain.column, note=notes))
            if self._asked is None and (words := boolean_words(rest, only_common=True)):
                return Verdict(replace(self._base, kind="boolean", words=words, note=note))
            if self._asked == "date" and self._options.format_of(self._name) is None:
                with contextlib.suppress(pa.ArrowInvalid):
                    return self._dates.of_numbers(pa.chunked_array([pc.cast(rest, pa.float64())]))
            few = spread(rest)
            if (
                self._asked != "date"
                and find_formats(few, self._options.decimal, self._options.thousands).formats
            ):
                found = find_formats(rest, self._options.decimal, self._options.thousands)
                if found.formats and self._asked is None and is_code(rest, found):
                    return self._words(values, "01 and 1 differ")
                if found.formats and self._asked is None and may_be_marked(rest):
                    return self._words(values, f"all are whole numbers with a trailing -, such as {rest[0]}")
                if found.formats:
                    return self._formats(rest, found, replace(self._base, kind="numeric"), strings, note)
            first_row = partial(self._cells.first_row, strings)
            if self._asked != "numeric" and (verdict := self._dates.find(rest, first_row, note)):
                return verdict
        if self._asked == "date" or self._name in self._options.times:
            return Verdict(replace(self._base, kind="date", date=self._dates.likely(rest) or ISO_DATES))
        if not len(rest):  # only words such as n.a.
            return Verdict(replace(self._base, kind="numeric", note=note))
        return self._mixed(rest, strings, values)

    def _words(
        self, values: pa.ChunkedArray, because: str = "", warn: pa.ChunkedArray | None = None
    ) -> Verdict:
        """Return the verdict on words: categories or texts."""
        spared = self._spares[1] if self._spares is not None and self._spares[0] is values else None
        words = self._base.known(values) if spared is None else spared
        names = self._names if spared is not None and self._names is not None else distinct_strings(words)
        distinct, rows = len(names), self._cells.count(words)
        if warn is not None:
            warnings = tuple(odd_values(self._cells.rows(warn), self._name, self._place, self._dates.likely))
        else:
            warnings = tuple(undated(names, self._name)) if because else ()
        if not is_text_by(distinct, rows):
            note = f"words, since {because}" if because else self._merged(values, distinct)
            return self._categories(words, names, note, warnings)
        blanks = pc.mean(pc.match_substring_regex(self._cells.rows(words), r"\s")).as_py() or 0.0
        why = "identifier" if (distinct == rows and not blanks) or because else "text"
        role = self._base.role if blanks > 0.5 and why == "text" else "left out"
        return Verdict(replace(self._base, kind="text", role=role, why=why), words, warnings=warnings)

    def _categories(
        self, words: pa.ChunkedArray, names: pa.Array, note: str = "", warnings: tuple[Problem, ...] = ()
    ) -> Verdict:
        """Return the verdict on categories, given the distinct ones; new rows are read in the same spelling."""
        changes = spellings(names)
        if not warnings and len(names) <= _CASES and self._name not in self._options.parts:
            warnings = (*differing_in_case(names, self._name), *damaged(names, self._name))
        if changes:
            (before, after), *_ = changes.items()
            note = "; ".join(filter(None, [note, f"{before} as the category {after}"]))
        return Verdict(replace(self._base, note=note), respelt(words, changes), warnings=warnings)

    def _merged(self, values: pa.ChunkedArray, distinct: int) -> str:
        """Return a note if words differ only in surrounding white space."""
        if not self._base.trim or (self._spares is not None and self._spares[2]):
            return ""
        before = len(distinct_strings(replace(self._base, trim=False).known(values)))
        return "blanks around words removed" if before > distinct else ""

    def _mixed(self, distinct: pa.Array, strings: pa.ChunkedArray, values: pa.ChunkedArray) -> Verdict:
        """Raise an error for numbers in several formats; otherwise return the verdict on words."""
        if self._asked == "numeric" and (words := boolean_words(distinct, only_common=False)):
            return Verdict(replace(self._base, kind="boolean", words=words, note=f"{words[1]} is 1"))
        asked = self._asked == "numeric"
        few = spread(distinct)
        like = is_number_like(distinct if asked or pc.all(is_number_like(few)).as_py() else few)
        texts = not asked and is_text_by(len(distinct), self._cells.count(strings))  # left out if words
        if pc.all(like).as_py() and (asked or two_ways(distinct, units=texts)):
            shown = two_ways(distinct, units=True) or distinct.to_pylist()[:2]
            rows = [self._cells.first_row(strings, pa.array([value])) for value in shown]
            raise in_two_formats(self._name, shown, self._place(max(rows), self._name))
        if not asked:
            return self._words(values, warn=strings)
        likely = NumberFormat(self._options.decimal or ".", self._options.thousands or "")
        found = find_formats(distinct.filter(like), self._options.decimal, self._options.thousands)
        number = found.formats[0] if found.formats else likely
        return Verdict(replace(self._base, kind="numeric", number=number))
