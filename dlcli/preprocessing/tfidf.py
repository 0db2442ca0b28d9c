"""Preprocessing of texts as bags of n-grams with TF-IDF weights, fitted on the training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self
from weakref import WeakSet

import numpy as np
import torch
from annotated_types import Ge, Le
from sklearn.base import BaseEstimator

from dlcli.datasets.notices import Notice
from dlcli.datasets.text_rows import Texts
from dlcli.errors import CorruptRun
from dlcli.preprocessing.character_ngrams import (
    LONGEST_CHARACTERS,
    SHORTEST_CHARACTERS,
    CharacterCounts,
    are_characters,
    character_places,
    characters_of_keys,
    has_only,
)
from dlcli.preprocessing.ngrams import (
    LONGEST_NGRAM,
    NewWords,
    TextCounts,
    Words,
    are_sorted,
    frequent_words,
    inverse_frequencies,
    known_words,
    ngram_key,
    ngram_places,
    numbered_words,
    weighted_ngrams,
    words_of,
)
from dlcli.preprocessing.ragged import Ragged
from dlcli.preprocessing.text_portions import TextPortion, TextPortions
from dlcli.preprocessing.text_statistics import STATISTICS, are_fitted, fitted_statistics, standardized
from dlcli.preprocessing.token_places import TokenPlaces
from dlcli.preprocessing.tokens import told_of_new

PADDING, UNKNOWN = "<pad>", "<unk>"
_FIRST = 2  # index of the first n-gram, after padding and unknown
# L2 norm of the weights of a text: that of 100 standardized numbers, so that the same penalties are suitable.
_NORM = 10.0

# With `auto`, n-grams of 3 to this many characters in texts of at most this mean number of characters, and n-grams of
# words of a single training text in texts of at most this one; statistics in texts of at most the shortest one.
_CHARACTERS_OF_WORDS, _SHORT_TEXT, _VERY_SHORT_TEXT, _SHORTEST_TEXT = 4, 1000, 300, 100

# Objects with verified arrays; not an attribute, which would be saved.
_CHECKED: WeakSet[Any] = WeakSet()


class Tfidf(BaseEstimator):
    """Conversion of texts to bags of n-grams: indices `x` `(N, T)`, weights `counts` `(N, T)`, and `lengths` `(N,)`.

    The weight of an n-gram is that of scikit-learn's `TfidfVectorizer`: its occurrences in the text, or `1 + ln` of
    them, times `1 + ln((1 + N) / (1 + n))`, where n of the N training texts contain it; but the weights of a text have
    the L2 norm 10 instead of 1. With n-grams of characters, those of words and those of characters have the same norm
    in a text that has both. Index 0 is padding; a text without known n-grams has index 1 with weight 10. The last
    indices are statistics of the text, whose weights have mean 0 and standard deviation 1 over the training texts.

    Texts are not truncated. Runs of letters, runs of punctuation and single digits are words. N-grams of characters are
    those within words as blanks divide them, with a blank before and after each (scikit-learn's `char_wb`).

    Args:
        ngrams: n-grams of 1 to this many consecutive words.
        min_df: minimum number of training texts with an n-gram. `auto` follows from the texts, see `automatic_for`.
        max_features: maximum number of n-grams of words, and of those of characters; those that occur in the most
            training texts are kept.
        sublinear_tf: weigh an n-gram by `1 + ln` of its occurrences in a text instead of their number.
        lowercase: convert texts to lower case.
        characters: n-grams of 3 to this many characters as well; 0 for none. `auto` as for `min_df`.
        character_min_df: minimum number of training texts with an n-gram of characters; None for `min_df`.
        statistics: lengths, digits, capitals, punctuation and symbols of a text as well, see `STATISTICS`. `auto` as
            for `min_df`.
    """

    accepts: ClassVar = frozenset({"tokens"})
    measured_: Mapping[str, int] = MappingProxyType({})
    # Of runs of earlier versions, which have words only, or n-grams only.
    characters: int | Literal["auto"] = 0
    character_min_df: int | None = None
    longest_: int = 0
    code_points_: np.ndarray = np.empty(0, np.uint32)
    character_keys_: np.ndarray = np.empty(0, np.int64)
    character_weights_: np.ndarray = np.empty(0, np.float32)
    statistics: bool | Literal["auto"] = False
    statistic_means_: np.ndarray = np.empty(0)
    statistic_factors_: np.ndarray = np.empty(0)

    def __init__(
        self,
        ngrams: Annotated[int, Ge(1), Le(LONGEST_NGRAM)] = 2,
        min_df: Annotated[int, Ge(1)] | Literal["auto"] = 2,
        max_features: Annotated[int, Ge(1)] = 200_000,
        sublinear_tf: bool = True,
        lowercase: bool = True,
        characters: Annotated[int, Ge(0), Le(LONGEST_CHARACTERS)] | Literal["auto"] = 0,
        character_min_df: Annotated[int, Ge(1)] | None = None,
        statistics: bool | Literal["auto"] = False,
    ) -> None:
        self.ngrams = ngrams
        self.min_df = min_df
        self.max_features = max_features
        self.sublinear_tf = sublinear_tf
        self.lowercase = lowercase
        self.characters = characters
        self.character_min_df = character_min_df
        self.statistics = statistics

    @staticmethod
    def automatic_for(x: Any) -> dict[str, tuple[Any, str]]:
        """Return the values of `auto` for raw training rows, with the reasons.

        N-grams of characters recognize forms and misspellings of words, which is most useful in short texts. In long
        ones the words suffice, and the number of n-grams would multiply the time. Rare words are useful in texts of few
        words; in longer ones they fit noise. Statistics distinguish kinds of messages, and add little to more words.
        """
        texts = Texts.of(x)
        mean = round(texts.characters() / max(1, len(texts)))
        value = _CHARACTERS_OF_WORDS if mean <= _SHORT_TEXT else 0
        told = f"for texts of {mean:,} characters on average"
        return {
            "characters": (value, told),
            "min_df": (1 if mean <= _VERY_SHORT_TEXT else 2, told),
            "statistics": (mean <= _SHORTEST_TEXT, told),
        }

    def fit(self, x: Any) -> Self:
        """Choose the n-grams and their weights on the training rows."""
        self._fit(Texts.of(x))
        return self

    def fit_and_transform(self, x: Any) -> dict[str, Any]:
        """Fit on the training rows, and return their fields as `transform` does, in less time than both."""
        texts = Texts.of(x)
        return _fields(self._bags(*each) for each in zip(*self._fit(texts), strict=True))

    def _fit(self, texts: Texts) -> tuple[list[Words], TextPortions]:
        """Fit, and return the words of the n-grams in each portion of the texts, and the portions."""
        self.column_ = texts.name
        self.rows_seen_ = len(texts)
        found = self.automatic_for(texts)
        least: int = found["min_df"][0] if self.min_df == "auto" else self.min_df
        self.longest_ = found["characters"][0] if self.characters == "auto" else self.characters
        numbers, portions = NewWords(), TextPortions(texts, self.lowercase)
        read = [numbered_words(portion.texts, numbers, self.lowercase) for portion in portions]
        names = np.array(["", *numbers], dtype=object)
        renumbered = frequent_words(read, len(names), least)
        read = [words.renumbered(renumbered) for words in read]
        names = names[np.flatnonzero(renumbered)]
        counts = TextCounts()
        for words in read:
            counts.add(*words.ngrams(self.ngrams))
        keys, number = self._chosen(counts, least)
        self.found_, self.least_ = counts.found(least), int(number.min(initial=len(texts)))
        known = self._keep(names, keys, inverse_frequencies(number, len(texts)))
        read = [words.renumbered(known) for words in read]
        measured: Counter[str] = Counter()
        for words in read:
            measured.update(words.measured())
        self.measured_ = dict(measured)
        if self.longest_:
            self._fit_characters(portions, len(texts), self.character_min_df or least)
        wanted = found["statistics"][0] if self.statistics == "auto" else self.statistics
        found_in = (portion.statistics for portion in portions)
        scale = fitted_statistics(found_in) if wanted else (np.empty(0), np.empty(0))
        self.statistic_means_, self.statistic_factors_ = scale
        return read, portions

    def _chosen(self, counts: TextCounts, least: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys of the kept n-grams of at least that many texts, sorted, and the number of texts of each."""
        keys, number = counts.counted()
        enough = number >= max(least, counts.least)
        keys, number = keys[enough], number[enough]
        if len(keys) > self.max_features:
            kept = np.sort(np.argsort(-number, kind="stable")[: self.max_features])
            keys, number = keys[kept], number[kept]
        return keys, number

    def _fit_characters(self, portions: TextPortions, texts: int, least: int) -> None:
        """Choose the n-grams of characters of a number of texts."""
        signs, counts = CharacterCounts(), TextCounts()
        for portion in portions:
            signs.add(portion.characters)
        self.code_points_ = signs.known(least)
        for portion in portions:
            counts.add(*portion.characters.ngrams(self.code_points_, self.longest_))
        self.character_keys_, number = self._chosen(counts, least)
        self.character_weights_ = inverse_frequencies(number, texts).astype(np.float32)
        self.found_ += counts.found(least)
        if len(self.character_keys_) == self.max_features:
            self.least_ = max(self.least_, int(number.min()))

    def _keep(self, names: np.ndarray, keys: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Set the kept n-grams, and return the new indices of words; 0 for words that are in none of them."""
        words = words_of(keys)
        used = np.unique(words)
        used = used[used > 0]
        again = np.zeros(len(names) + 1, np.int64)
        again[used] = np.arange(1, len(used) + 1)
        keys = ngram_key(again[words])
        order = np.argsort(keys)
        self.words_ = "\n".join(names[used - 1])
        self.keys_ = keys[order]
        self.weights_ = weights[order].astype(np.float32)
        return again

    def transform(self, x: Any) -> dict[str, Any]:
        """Return `x` and `counts`, `Ragged`, and `lengths` `(N,)`, int64; `Texts.of` converts the input."""
        return self.transform_and_count(x)[0]

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts of unknown words."""
        texts = Texts.of(x, self.column_)
        self._check()
        numbers = known_words(self.words_)
        bags = []
        measured: Counter[str] = Counter()
        for portion in TextPortions(texts, self.lowercase):
            words = numbered_words(portion.texts, numbers, self.lowercase)
            measured.update(words.measured())
            bags.append(self._bags(words, portion))
        return _fields(bags), dict(measured)

    def token_places(self, text: str) -> TokenPlaces:
        """Return each occurrence of the known n-grams of a text, with the positions of their words, and statistics."""
        self._check()
        plain, of_words = ngram_places(text, self.lowercase, known_words(self.words_), self.ngrams)
        of_characters = character_places(plain, self.lowercase, self.code_points_, self.longest_)
        numbers: list[int] = []
        found: list[tuple[tuple[int, int], ...]] = []
        first = _FIRST
        for own, places in ((self.keys_, of_words), (self.character_keys_, of_characters)):
            for key, spans in places:
                index = int(np.searchsorted(own, key))
                if index < len(own) and own[index] == key:
                    numbers.append(first + index)
                    found.append(spans)
            first += len(own)
        names = dict(enumerate(STATISTICS[: len(self.statistic_means_)], first))
        return TokenPlaces(plain, (*numbers, *names), (*found, *[()] * len(names)), names)

    def _check(self) -> None:
        """Raise an error, at the first use, if fitted arrays of a foreign folder are inconsistent."""
        if self in _CHECKED:
            return
        keys = self.character_keys_
        fits = are_sorted(self.keys_, self.weights_) and are_sorted(keys, self.character_weights_)
        fits = fits and are_characters(self.code_points_) and has_only(keys, self.code_points_)
        fits = fits and are_fitted(self.statistic_means_, self.statistic_factors_)
        if not fits or words_of(self.keys_).max(initial=0) > self.words_.count("\n") + 1:
            raise CorruptRun(
                "the n-grams of the preprocessing are inconsistent", hint="Copy the folder again."
            )
        _CHECKED.add(self)

    def _bags(self, words: Words, portion: TextPortion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the tokens and weights of texts, and the number of tokens of each."""
        number = len(words.lengths)
        found = words.ngrams(self.ngrams)
        rows, tokens, weights = weighted_ngrams(*found, self.keys_, self.weights_, number, self.sublinear_tf)
        tokens += _FIRST
        if self.longest_:
            found = portion.characters.ngrams(self.code_points_, self.longest_)
            own = self.character_keys_, self.character_weights_
            others = weighted_ngrams(*found, *own, number, self.sublinear_tf)
            rows, weights = np.concatenate([rows, others[0]]), np.concatenate([weights, others[2]])
            tokens = np.concatenate([tokens, others[1] + len(self.keys_) + _FIRST])
        lengths = np.bincount(rows, minlength=number)
        empty = np.flatnonzero(lengths == 0)
        rows, tokens = np.concatenate([rows, empty]), np.concatenate([tokens, np.ones(len(empty), np.int64)])
        weights = np.concatenate([weights, np.ones(len(empty))])
        lengths[empty] = 1
        weights *= (_NORM / np.sqrt(np.bincount(rows, weights=weights**2, minlength=number)))[rows]
        if more := len(self.statistic_means_):
            values = standardized(portion.statistics, self.statistic_means_, self.statistic_factors_)
            rows = np.concatenate([rows, np.repeat(np.arange(number), more)])
            tokens = np.concatenate([tokens, np.tile(np.arange(more) + self._n_grams() + _FIRST, number)])
            weights = np.concatenate([weights, values.ravel()])
            lengths += more
        order = np.argsort(rows, kind="stable")
        return tokens[order], weights.astype(np.float32)[order], lengths

    def notices(self) -> list[Notice]:
        """Return notices of the numbers of used n-grams and of those beyond the limit."""
        kept, sizes = len(self.keys_), "words" if self.ngrams == 1 else f"1 to {self.ngrams} words"
        text = f"texts are read whole, as bags of {kept:,} n-grams of {sizes}"
        if self.longest_:
            kept += (more := len(self.character_keys_))
            text += f" and {more:,} of {_sizes_of_characters(self.longest_)} characters"
        if more := len(self.statistic_means_):
            text += f", and {more} statistics"
        found = [Notice("ngrams", kept, text, "preprocessing.ngrams", warns=False)]
        if left := self.found_ - kept:
            text = f"{left:,} rarer ones, of at most {self.least_:,} texts each, are left out (max_features)"
            found.append(Notice("left_out_ngrams", left, text, "preprocessing.max_features", warns=False))
        return found

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return notices of unknown words in new texts."""
        return told_of_new(counts, self.measured_, None)

    def facts(self) -> dict[str, Any]:
        """Return `vocab_size`, the number of n-grams, including padding and the unknown one, and of statistics."""
        return {"vocab_size": _FIRST + self._n_grams() + len(self.statistic_means_)}

    def _n_grams(self) -> int:
        return len(self.keys_) + len(self.character_keys_)

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    def vocabulary(self) -> list[str]:
        """Return the n-grams in order of their indices: words separated by blanks, characters, and statistics.

        `_` in an n-gram of characters is the beginning or the end of a word.
        """
        names = np.array(["", *self.words_.split("\n")], dtype=object)
        return [
            PADDING,
            UNKNOWN,
            # A list for each n-gram would start collections of garbage.
            *(" ".join(row).rstrip(" ") for row in zip(*names[words_of(self.keys_).T].tolist(), strict=True)),
            *characters_of_keys(self.character_keys_, self.code_points_),
            *STATISTICS[: len(self.statistic_means_)],
        ]


def _fields(bags: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Return the fields of texts whose tokens, weights and numbers of tokens are given in portions."""
    none = np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64)
    tokens, weights, lengths = (np.concatenate(parts) for parts in zip(none, *bags, strict=True))
    size = torch.from_numpy(lengths)
    x, counts = (Ragged(torch.from_numpy(values), size) for values in (tokens, weights))
    return {"x": x, "counts": counts, "lengths": size}


def _sizes_of_characters(longest: int) -> str:
    return f"{SHORTEST_CHARACTERS} to {longest}" if longest > SHORTEST_CHARACTERS else str(longest)
