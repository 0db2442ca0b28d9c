"""Encoding of texts as tokens, and counts of truncated and unknown tokens."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Encoding, Tokenizer

from dlcli.datasets.notices import Notice
from dlcli.datasets.text_rows import Texts
from dlcli.preprocessing.ragged import Ragged

# Number of characters encoded at a time: an encoding takes more than a hundred times the memory of its text.
_CHARACTERS = 1 << 20

# Share of the tokens that are kept by the chosen length, and the length up to which no text is truncated.
KEPT, _SHORT = 0.95, 256

# Share of lost or unknown tokens above which a warning is issued for new rows, and its minimum ratio to that of
# training rows.
_MUCH, _TIMES = 0.05, 2


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens of texts.

    Attributes:
        values: the tokens of all texts, concatenated, int64.
        lengths: number of tokens of each text `(N,)`, int64.
        full: number of tokens of each text before it was cut `(N,)`, int64.
    """

    values: np.ndarray
    lengths: np.ndarray
    full: np.ndarray

    def cut(self, length: int | None) -> Tokens:
        """Return the first tokens of each text."""
        if length is None or not (self.lengths > length).any():
            return self
        first = np.cumsum(self.lengths) - self.lengths
        within = np.arange(len(self.values)) - np.repeat(first, self.lengths)
        return Tokens(self.values[within < length], np.minimum(self.lengths, length), self.full)

    def fields(self) -> dict[str, Any]:
        """Return `x`, a `Ragged` of tokens, and `lengths` `(N,)`."""
        lengths = torch.from_numpy(self.lengths)
        return {"x": Ragged(torch.from_numpy(self.values), lengths), "lengths": lengths}

    def bags(self) -> dict[str, Any]:
        """Return `x`, a `Ragged` of the distinct tokens of each text, their `counts`, and `lengths` `(N,)`."""
        most = int(self.values.max(initial=0)) + 1
        rows = np.repeat(np.arange(len(self.lengths)), self.lengths)
        keys, counts = np.unique(rows * most + self.values, return_counts=True)
        lengths = torch.from_numpy(np.bincount(keys // most, minlength=len(self.lengths)))
        tokens = torch.from_numpy(keys % most)
        weights = torch.from_numpy(counts.astype(np.float32))
        return {"x": Ragged(tokens, lengths), "counts": Ragged(weights, lengths), "lengths": lengths}

    def measured(self, unknown: int) -> dict[str, int]:
        """Return the numbers of texts and tokens, of truncated ones, and of unknown tokens."""
        lost = self.full - self.lengths
        known = np.zeros(len(self.lengths) + 1, np.int64)
        np.cumsum(
            np.bincount(self._rows()[self.values != unknown], minlength=len(self.lengths)), out=known[1:]
        )
        return {
            "texts": len(self.lengths),
            "tokens": int(self.full.sum()),
            "cut_texts": int((lost > 0).sum()),
            "cut_tokens": int(lost.sum()),
            "unknown_tokens": int((self.values == unknown).sum()),
            "unknown_texts": int((np.diff(known) == 0).sum()),
        }

    def _rows(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


def encoded(texts: Texts, tokenizer: Tokenizer, unknown: int, length: int | None = None) -> Tokens:
    """Return the tokens of texts, cut at `length`; a text without tokens becomes one `unknown`.

    `length` is None if the tokenizer itself truncates, such as to keep its special tokens.
    """
    special = tokenizer.num_special_tokens_to_add(is_pair=False)
    rows: list[np.ndarray] = []
    full: list[int] = []
    for batch in texts.portions(_CHARACTERS):
        for found in tokenizer.encode_batch_fast(batch):
            ids = found.ids or [unknown]
            full.append(len(ids) + _rest(found, special))
            rows.append(np.array(ids[:length], dtype=np.int64))
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    values = np.concatenate(rows) if rows else np.empty(0, np.int64)
    return Tokens(values, lengths, np.array(full, dtype=np.int64))


def _rest(found: Encoding, special: int) -> int:
    """Return the number of tokens that the tokenizer cut off."""
    return sum(len(part.ids) - special for part in found.overflowing)


def length_that_keeps(full: np.ndarray, most: int, share: float = KEPT) -> int:
    """Return the smallest number of tokens at which texts of these lengths keep a share of their tokens.

    It is at least the length of short texts, and at most `most`.
    """
    low, high = 1, max(1, int(full.max(initial=1)))
    while low < high:
        middle = (low + high) // 2
        if np.minimum(full, middle).sum() >= share * full.sum():
            high = middle
        else:
            low = middle + 1
    return min(max(low, _SHORT), most)


def usual_length(full: np.ndarray, share: float, times: float = 1) -> int:
    """Return the length, times a factor, that a share of the texts does not exceed; a share of 1 is no bound.

    A single text may have most of the tokens, and a batch with it would take as long as thousands of others. Short
    texts are never truncated.
    """
    if share >= 1:
        return sys.maxsize
    usual = int(np.quantile(full, share, method="lower")) if len(full) else 0
    return max(_SHORT, round(times * usual))


def told_of_training(counts: Mapping[str, int], length: int | None, longest: int) -> list[Notice]:
    """Return the notices about the training texts with these counts.

    Args:
        counts: as `Tokens.measured` returns them.
        length: number of tokens at which texts are cut; None if they are not.
        longest: number of tokens of the longest text.
    """
    if not counts["cut_texts"]:
        text = f"texts are read whole, the longest of {longest:,} tokens"
        return [Notice("longest_text", longest, text, "preprocessing.max_length", warns=False)]
    share = counts["cut_tokens"] / counts["tokens"]
    return [
        Notice(
            "cut_texts",
            counts["cut_texts"],
            f"{counts['cut_texts']:,} of {counts['texts']:,} training texts are longer than {length:,} tokens, and are "
            f"cut there",
            "preprocessing.max_length",
            warns=False,
        ),
        Notice(
            "cut_tokens",
            share,
            f"{share:.1%} of the tokens of the training texts are not read (texts are cut at {length:,} tokens, the "
            f"longest has {longest:,})",
            "preprocessing.max_length",
            "Use a larger number, or null to let dlcli choose; preprocessing.usual_texts=1 then counts the longest "
            "texts, too. model=linear and mlp read whole texts.",
            warns=share > 1 - KEPT + 1e-9,
        ),
    ]


def usual_shares(trained: Mapping[str, int]) -> tuple[float, float]:
    """Return the shares of unknown tokens, and of texts without a known one, that are not told of new texts."""
    return max(_MUCH, _TIMES * _share_unknown(trained)), _TIMES * _share(trained, "unknown_texts")


def told_of_new(counts: Mapping[str, int], trained: Mapping[str, int], length: int | None) -> list[Notice]:
    """Return the notices about new texts: truncation, and unknown tokens."""
    notices = []
    texts, tokens = counts.get("texts", 0), counts.get("tokens", 0)
    if cut := counts.get("cut_texts", 0):
        share = counts["cut_tokens"] / tokens
        text = (
            f"{cut:,} of {texts:,} texts are cut at {length:,} tokens: {share:.1%} of all tokens are not read"
        )
        notices.append(Notice("cut_texts", cut, text, "preprocessing.max_length", warns=share > _MUCH))
    read, (most_tokens, most_texts) = tokens - counts.get("cut_tokens", 0), usual_shares(trained)
    if read:
        share, usual = counts.get("unknown_tokens", 0) / read, _share_unknown(trained)
        if share > most_tokens:
            text = f"{share:.1%} of the tokens are unknown to the model, {usual:.1%} of those of its training texts"
            notices.append(Notice("unknown_tokens", share, text))
    if (alien := counts.get("unknown_texts", 0)) > texts * most_texts:
        text = f"{alien:,} of {texts:,} texts have no token known to the model"
        notices.append(Notice("unknown_texts", alien, text))
    return notices


def _share_unknown(counts: Mapping[str, int]) -> float:
    read = counts.get("tokens", 0) - counts.get("cut_tokens", 0)
    return counts.get("unknown_tokens", 0) / read if read else 0.0


def _share(counts: Mapping[str, int], key: str) -> float:
    return counts.get(key, 0) / counts["texts"] if counts.get("texts") else 0.0
