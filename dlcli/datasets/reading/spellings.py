"""Spellings of a category: 1 and 1.0, TRUE and True, are the same one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

# Words that have a plainer spelling, see `plain_spelling`.
_RESPELT = r"^[-+]?\d+\.0*$|^(?i:true|false)$"


def plain_spelling(word: str) -> str:
    """Return a word that is equal for 1 and 1.0, and for TRUE and True."""
    whole, point, zeros = word.partition(".")
    if point and whole.lstrip("+-").isdecimal() and not zeros.strip("0"):
        return whole
    return word.capitalize() if word.lower() in ("true", "false") else word


def spelt_as(words: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Return the spelling that words have among the known ones, for those that have it in another one alone."""
    other = [word for word in words if word not in known]
    if not other:
        return {}
    spelt = {plain_spelling(name): name for name in known}
    return {word: spelt[plain_spelling(word)] for word in other if plain_spelling(word) in spelt}


def spellings(distinct: pa.Array) -> dict[str, str]:
    """Return the spelling of each distinct word that is another one of them in a new row: 1.0 is 1, and TRUE is True.

    A file that holds both would otherwise have categories that a new file, read with the saved model, does not have.
    """
    other = distinct.filter(pc.match_substring_regex(distinct, _RESPELT))
    if not len(other):
        return {}
    plain = {plain_spelling(word): word for word in reversed(other.to_pylist())}
    found = distinct.filter(pc.is_in(distinct, value_set=pa.array(list(plain), pa.string()))).to_pylist()
    plain |= {word: word for word in found}
    return {
        word: plain[plain_spelling(word)] for word in other.to_pylist() if plain[plain_spelling(word)] != word
    }


def respelt(words: pa.ChunkedArray, changes: Mapping[str, str]) -> pa.ChunkedArray:
    """Return the words with some of them replaced."""
    if not changes:
        return words
    before, after = pa.array(list(changes), pa.string()), pa.array(list(changes.values()), pa.string())
    return pc.coalesce(after.take(pc.index_in(words, value_set=before).combine_chunks()), words)
