"""The script of a bundle tokenizes texts as the preprocessing does."""

from __future__ import annotations

import importlib.util
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlcli.exporting.bundle_table import CsvFormat
from dlcli.exporting.bundle_texts import spec_of, write_ngrams
from dlcli.preprocessing.text import Text
from dlcli.preprocessing.tfidf import Tfidf
from tests.exporting.hard_texts import TEXTS

pytest.importorskip("onnxruntime", reason="needs the extra onnx")


def script_for(preprocessing: Any) -> Any:
    """Return the module of the script of a bundle."""
    found = spec_of(preprocessing, "said", ["x"], CsvFormat())
    Path("bundle.json").write_text(json.dumps(found), encoding="utf-8")
    write_ngrams(preprocessing, Path())
    text = (resources.files("dlcli.exporting") / "bundle_files/read_texts.txt").read_text(encoding="utf-8")
    Path("predict.py").write_text(text, encoding="utf-8")
    made = importlib.util.spec_from_file_location("predict_texts", "predict.py")
    assert made is not None and made.loader is not None
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    return module


OTHERS = [
    "",
    "unseen wörds 99",
    "\u03a3\u03a3 \u0130",
    "x" * 3000,
    "a\u0301\u200d\u00ad b\u00a0c\u3000d\u2028e",
    "\x00\x85\x1c",
    "Win \u00a3100 NOW!!! \u24b6\u24d0 \u01c5\u0345 (Call 0906'12)",
]


@pytest.mark.parametrize(
    "preprocessing",
    [
        Tfidf(min_df=1, ngrams=3),
        Tfidf(min_df=2, ngrams=2, sublinear_tf=False, lowercase=False),
        Tfidf(min_df=1, characters=5),
        Tfidf(min_df=1, characters=3, statistics=True),
        Tfidf(min_df=1, lowercase=False, statistics=True),
        Tfidf(min_df=3, sublinear_tf=False, lowercase=False, characters=3),
        Text(min_frequency=1),
        Text(min_frequency=1, lowercase=False, max_length=3),
        Text(min_frequency=2, reads_text="bag"),
        Text(tokens="characters", min_frequency=1),
    ],
    ids=repr,
)
def test_tokens_are_those_of_the_preprocessing(preprocessing: Any) -> None:
    preprocessing.fit(TEXTS * 2)
    script = script_for(preprocessing)
    texts = [*TEXTS, *OTHERS]
    fields = preprocessing.transform(texts)
    ends = np.cumsum(fields["lengths"].numpy())
    values, weights = fields["x"].values.numpy(), getattr(fields.get("counts"), "values", None)
    for text, end, length in zip(texts, ends, fields["lengths"].numpy(), strict=True):
        numbers, counts = script.tokens_of(text)
        own = slice(end - length, end)
        assert list(numbers) == values[own].tolist(), repr(text)
        assert (counts is None) == (weights is None)
        if weights is not None:
            np.testing.assert_allclose(counts, weights.numpy()[own], rtol=1e-5, atol=1e-6)
