"""Words in cells: surrounding blanks, words that denote a missing value, and words of booleans."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Words that denote a missing value in every column; "?" is used by the UCI repository,
# "\\N" by dumps of databases.
MISSING = (
    "", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A", "#NA",
    "-NaN", "-nan", "\\N",
)  # fmt: skip

# Further words, in lower case, that denote a missing value among numbers, dates or booleans.
MARKERS = frozenset(
    (
        *(word.lower() for word in MISSING), "-", "--", "---", ".", "..", "...", "*", "na", "nan", "n.a.", "n.a",
        "n.d.", "nd", "n.v.", "k.a.", "k. a.", "nil", "none", "null", "missing", "(missing)", "unknown", "unk",
        "not available", "not applicable", "not known", "tbd", "#value!", "#div/0!", "#ref!", "#name?", "#num!",
        "#null!", "(null)", "(blank)", "\\n", "n/d", "no data", "nat", "0000-00-00", "0000-00-00 00:00:00", "1.#qnan",
        "-1.#ind", "\u2013", "\u2014", "\u2026", "00/00/0000", "00.00.0000", "00-00-0000", "0000/00/00",
        *(f".{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),  # of SAS and Stata
        # Excel in German, French, Spanish and Italian.
        "#nv", "#wert!", "#bezug!", "#zahl!", "#n/d", "#valeur!", "#nom?", "#nombre!", "#\u00a1valor!",
        "#\u00bfnombre?", "#\u00a1div/0!", "#\u00a1ref!", "#\u00a1num!", "#valore!", "#rif!", "#nome?",
    )
)  # fmt: skip

# Pairs of words, in lower case, of booleans. Only the first pair makes a column boolean without `dataset.types`.
BOOLEANS = (
    ("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("0", "1"), ("0.0", "1.0"), ("off", "on"), ("nein", "ja"),
    ("non", "oui"), ("no", "si"), ("no", "s\u00ed"), ("nee", "ja"), ("falsch", "wahr"), ("faux", "vrai"),
    ("falso", "vero"), ("falso", "verdadero"), ("absent", "present"), ("negative", "positive"), ("fail", "pass"),
    ("n\u00e3o", "sim"), ("nao", "sim"), ("no", "s\u00ec"), ("nej", "ja"), ("nei", "ja"), ("nie", "tak"), ("ne", "ano"),
    ("nie", "\u00e1no"), ("nem", "igen"), ("nu", "da"), ("ne", "da"), ("ei", "kyll\u00e4"), ("hay\u0131r", "evet"),
    ("\u043d\u0435\u0442", "\u0434\u0430"), ("\u5426", "\u662f"), ("\u3044\u3044\u3048", "\u306f\u3044"),
    ("falskt", "sant"), ("falsk", "sand"), ("fa\u0142sz", "prawda"), ("onwaar", "waar"), ("disabled", "enabled"),
    ("inactive", "active"),
)  # fmt: skip


# Words for false and true that are accepted in new rows of every boolean; pandas writes 1.0 in a column with missing
# values.
ALWAYS_BOOLEAN = (("false", "0", "0.0"), ("true", "1", "1.0"))

# Number of values that are examined first where a property must hold for all of them.
_SPREAD, _CHUNKS = 1000, 40

# A string column is text if the number of its distinct values exceeds both this number and this share of its rows.
_TEXTS, _TEXT_SHARE = 50, 0.5


def is_text_by(distinct: int, known: int) -> bool:
    """Return whether a column of strings is text, by the numbers of its distinct and of its known values."""
    return distinct > _TEXTS and distinct > _TEXT_SHARE * known


def spread(values: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return a thousand values from all parts of the column, as a fast first test of properties of all values."""
    if len(values) < 2 * _SPREAD:
        return values
    if isinstance(values, pa.ChunkedArray):
        chunks = [chunk for chunk in values.chunks if len(chunk)]
        chosen = chunks[:: -(-len(chunks) // _CHUNKS)]
        return pa.chunked_array([_every(chunk, _SPREAD // len(chosen)) for chunk in chosen])
    return _every(values, _SPREAD)


def _every(values: pa.Array, most: int) -> pa.Array:
    return values.take(pa.array(np.arange(0, len(values), -(-len(values) // most))))


def trimmed(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return strings without white space around them."""
    is_ascii = pc.all(pc.string_is_ascii(values)).as_py()  # trimming ASCII takes a third of the time
    return pc.ascii_trim_whitespace(values) if is_ascii else pc.utf8_trim_whitespace(values)


def without(values: pa.ChunkedArray, missing: Collection[str]) -> pa.ChunkedArray:
    """Return strings with null instead of the words that denote a missing value."""
    if not missing:
        return values
    words, most = pa.array(sorted(missing), values.type), max(len(word.encode()) for word in missing)
    short = values.filter(pc.less_equal(pc.binary_length(values), most))  # compare only short values
    if not pc.any(pc.is_in(short, value_set=words)).as_py():
        return values
    return pc.if_else(pc.is_in(values, value_set=words), pa.scalar(None, values.type), values)


def boolean_words(distinct: pa.Array, *, only_common: bool) -> tuple[str, str] | None:
    """Return the words for false and true, in lower case, if all values are such words in any case.

    Args:
        distinct: the distinct values, of which both or one may occur.
        only_common: accept only `false` and `true`.
    """
    if not 0 < len(distinct) <= 6:  # in at most three spellings each
        return None
    found = {word.lower() for word in distinct.to_pylist()}
    return next((pair for pair in BOOLEANS[: 1 if only_common else None] if found <= set(pair)), None)


def booleans(values: pa.Array, words: tuple[str, str]) -> pa.Array:
    """Return strings as booleans; null for values other than the two words, false, true, 0 and 1."""
    lower = pc.utf8_lower(values)
    false, true = (
        pc.is_in(lower, pa.array([word, *others])) for word, others in zip(words, ALWAYS_BOOLEAN, strict=True)
    )
    return pc.if_else(pc.or_(false, true), true, pa.scalar(None, pa.bool_()))
