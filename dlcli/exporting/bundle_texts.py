"""Bundles for texts: the script tokenizes them, with numpy and the standard library alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlcli.datasets.data import take
from dlcli.errors import InputError
from dlcli.exporting.bundle_table import CsvFormat
from dlcli.exporting.bundled_rows import BundleSource, CsvRows
from dlcli.exporting.heads import INSTEAD
from dlcli.preprocessing.text import Text
from dlcli.preprocessing.text_statistics import SYMBOLS
from dlcli.preprocessing.tfidf import Tfidf
from dlcli.preprocessing.tokens import usual_shares

_NGRAMS = "ngrams.npz"

# Name of the column for texts without a column name, such as those of a list.
_COLUMN = "text"


class TextRows(CsvRows):
    """Texts that are represented as TF-IDF weights of n-grams, as words or as characters."""

    reader = "read_texts.txt"
    card = (
        "`predict.py` splits texts into tokens; `model.onnx` accepts the indices of tokens. The predictions were "
        "compared with those of the trained model on raw texts before this folder was written."
    )

    def __init__(self, source: BundleSource, form: CsvFormat, notes: list[str]) -> None:
        preprocessing: Any = source.model.preprocessing
        if type(preprocessing) is Text and preprocessing.tokens == "bpe":
            raise _unreadable("byte-pair encoding")
        if type(preprocessing) not in (Text, Tfidf):
            raise _unreadable(f"the tokens of {type(preprocessing).__name__}")
        self._column = preprocessing.column_ or _COLUMN
        raw, made = (
            pd.DataFrame({self._column: [text for text in texts if _can_be_written(text, form)]})
            for texts in (list(take(source.data.x, source.some())), _made_up(preprocessing))
        )
        super().__init__(source, form, raw, made, notes)

    def spec(self) -> dict[str, Any]:
        """Return how the script tokenizes texts."""
        return spec_of(self.source.model.preprocessing, self._column, self.inputs, self.form)

    def write_extras(self, folder: Path) -> None:
        """Write the keys and the weights of n-grams, and the scale of statistics."""
        write_ngrams(self.source.model.preprocessing, folder)


def spec_of(preprocessing: Any, column: str, inputs: list[str], form: CsvFormat) -> dict[str, Any]:
    """Return the content of `bundle.json` about the texts of a column.

    Args:
        preprocessing: `Text` or `Tfidf`, fitted.
        column: its name.
        inputs: names of the graph's inputs.
        form: how a CSV is written.
    """
    most_unknown, most_alien = usual_shares(preprocessing.measured_)
    found: dict[str, Any] = {"label": "row", "column": column, "inputs": inputs, "separator": form.separator,
                             "encoding": form.python_encoding, "quoting": form.quoting,
                             "lowercase": preprocessing.lowercase, "most_unknown": most_unknown,
                             "most_alien": most_alien}  # fmt: skip
    if isinstance(preprocessing, Tfidf):
        settings = {"ngrams": preprocessing.ngrams, "sublinear_tf": preprocessing.sublinear_tf}
        return found | {
            "tokens": "ngrams",
            "words": preprocessing.words_.split("\n"),
            "first_word": 1,
            "characters": preprocessing.code_points_.tolist(),
            "longest_characters": preprocessing.longest_,
            "symbols": SYMBOLS,
            **settings,
        }
    settings = {"length": preprocessing.length_, "is_bag": preprocessing.reads_text == "bag"}
    words = preprocessing.vocabulary()[2:]
    return found | {"tokens": preprocessing.tokens, "words": words, "first_word": 2, **settings}


def write_ngrams(preprocessing: Any, folder: Path) -> None:
    """Write the keys and the weights of n-grams, and the scale of statistics; does nothing for other tokens."""
    if isinstance(preprocessing, Tfidf):
        np.savez_compressed(
            folder / _NGRAMS,
            keys=preprocessing.keys_,
            weights=preprocessing.weights_,
            character_keys=preprocessing.character_keys_,
            character_weights=preprocessing.character_weights_,
            statistic_means=preprocessing.statistic_means_,
            statistic_factors=preprocessing.statistic_factors_,
        )


def _can_be_written(text: str, form: CsvFormat) -> bool:
    """Return whether the CSV format can hold a text; without quotes it cannot be empty or contain a separator."""
    try:
        text.encode(form.encoding)
    except UnicodeEncodeError:
        return False
    return form.quotes or (
        bool(text.strip()) and not any(sign in text for sign in (form.separator, "\n", "\r"))
    )


def _made_up(preprocessing: Any) -> list[str]:
    """Return a text of known words, an empty one, one without known words, and one with many kinds of characters."""
    known = [word for word in preprocessing.vocabulary()[2:] if word.isalnum()][:40]
    joined = "" if getattr(preprocessing, "tokens", "") == "characters" else " "
    texts = [joined.join(known[first::5]) for first in range(3)]
    return [*texts, "", "qqqzzz", "It costs 12.50 (or less?) -- a na\u00efve caf\u00e9, \ufb01ne: 3\u00b2!"]


def _unreadable(what: str) -> InputError:
    return InputError(
        f"{what} cannot be made by a script of numpy and the standard library", "--bundle", INSTEAD
    )
