"""Bundles for taggers: the script divides texts into words, the ONNX graph takes their numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from dlcli.datasets.data import take
from dlcli.errors import InputError
from dlcli.exporting.bundled_rows import BundledRows, BundleSource, with_labels
from dlcli.exporting.heads import INSTEAD
from dlcli.preprocessing.tokens import usual_shares
from dlcli.preprocessing.words import WordCodes


class WordRows(BundledRows):
    """Texts whose words are tagged, each by its number in the vocabulary."""

    reader = "read_words.txt"
    example = "example.txt"
    card = (
        "`predict.py` divides texts into words; `model.onnx` takes their numbers. The predictions were compared with "
        "those of the trained model on texts before this folder was written."
    )

    def __init__(self, source: BundleSource) -> None:
        fitted: Any = source.model.preprocessing
        if type(fitted) is not WordCodes:
            tokens = f"a bundle with the tokens of {type(fitted).__name__} cannot be made: they need more than numpy"
            raise InputError(tokens, "--bundle", INSTEAD)
        super().__init__(source)
        self._fitted = fitted

    def spec(self) -> dict[str, Any]:
        """Return how the script numbers words."""
        fitted = self._fitted
        return {"label": "row", "words": fitted.words_, "lowercase": fitted.lowercase, "digits": fitted.digits,
                "inputs": self.inputs, "most_unknown": usual_shares(fitted.measured_)[0]}  # fmt: skip

    def write_raw(self, folder: Path) -> Path:
        """Write texts of the run's data, a line each."""
        texts = [" ".join(text.split()) for text in take(self.source.data.x, self.source.some()).texts]
        return self._write(folder / "rows.txt", texts)

    def write_example(self, folder: Path) -> Path:
        """Write made-up texts: known words, none, and many kinds of characters."""
        known = [word for word in self._fitted.words_ if word.isalnum()][:20]
        made = "It costs 12.50 (or less?) -- a na\u00efve cafe\u0301, \u0939\u093f\u0928\u094d\u0926\u0940!"
        return self._write(
            folder / self.example, [" ".join(known[first::2]) for first in (0, 1)] + ["", made]
        )

    def predicted(self, place: Path) -> pd.DataFrame:
        """Return the model's predictions of the texts of a file."""
        texts = place.read_text(encoding="utf-8").split("\n")[:-1]
        return with_labels("row", range(len(texts)), [self.source.model.predict(texts, are_read=True)])

    def _write(self, file: Path, texts: list[str]) -> Path:
        file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return file
