"""Columns of texts in tables: their directions, ignored values, and reproducible metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

import dlcli
from dlcli.gate.skops_format import dump_fitted
from dlcli.preprocessing.columns.texts import TextDirections
from dlcli.preprocessing.table import Table

rng = np.random.default_rng(0)
GOOD, BAD, OTHER = (
    ["great", "lovely", "superb"],
    ["awful", "poor", "broken"],
    ["the", "box", "of", "it", "was", "order"],
)
LIKES = rng.integers(0, 2, 240)
TEXTS = pd.Series([" ".join([*rng.choice(OTHER, 4), *rng.choice(GOOD if k else BAD, 2)]) for k in LIKES])


def test_directions_are_those_of_scikit_learn() -> None:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit(TEXTS[:200])
    svd = TruncatedSVD(5, random_state=0).fit(vectorizer.transform(TEXTS[:200]))
    expected = svd.transform(vectorizer.transform(TEXTS))
    found = np.stack(TextDirections(5).fit(TEXTS[:200]).transform(TEXTS), axis=1)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-8)


def test_missing_texts_are_missing_numbers_and_new_words_are_ignored() -> None:
    fitted = TextDirections(3).fit(TEXTS.mask(LIKES == 0))
    gap, new, known = np.stack(fitted.transform(pd.Series([None, "sesquipedalian", "great box"])), axis=1)
    assert np.isnan(gap).all()
    assert (new == 0).all()
    assert (known != 0).any()
    empty = TextDirections(3).fit(pd.Series(["? !", "- -"]))
    assert empty.transform(TEXTS) == []


def test_texts_may_have_the_type_of_pandas_for_categories() -> None:
    fitted = TextDirections(3).fit(TEXTS)
    gaps = TEXTS.mask(LIKES == 0)
    again = TextDirections(3).fit(TEXTS.astype("category"))
    for found in (fitted, again):
        np.testing.assert_array_equal(found.transform(gaps.astype("category")), fitted.transform(gaps))


def test_many_rows_are_transformed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, gaps = TextDirections(3).fit(TEXTS), TEXTS.mask(LIKES == 0)
    whole = fitted.transform(gaps)
    monkeypatch.setattr("dlcli.preprocessing.columns.texts._ROWS", 7)
    np.testing.assert_allclose(fitted.transform(gaps), whole, atol=1e-12)


def test_a_long_word_takes_room_once() -> None:
    long = TEXTS.where(TEXTS.index > 1, "x" * 100_000)
    assert len(dump_fitted(TextDirections(3).fit(long))) < 1_000_000


@pytest.mark.parametrize("keep", [True, False])
def test_a_table_takes_texts_but_no_identifiers(keep: bool) -> None:
    table = pd.DataFrame({"code": [f"u{n}" for n in range(240)], "said": TEXTS, "n": rng.normal(size=240)})
    table["said"] = table["said"] + [f" {n}" for n in range(240)]  # all are different
    fitted = Table(missing="keep" if keep else "median", texts="words", text_directions=4).fit(table)
    assert fitted.left_out_ == {"code": "identifier"}
    assert fitted.needed_columns() == {"said": "text", "n": "numeric"}
    table.loc[3, "said"] = None
    x = fitted.transform(table)["x"]
    assert x.shape == (240, 5)
    assert bool(np.isnan(x[3]).any()) is keep
    assert np.array_equal(fitted.transform(table.iloc[5:6])["x"], x[5:6])
    assert "4 directions" in fitted.notices()[0].text
    assert dump_fitted(fitted)  # without skops
    without = Table().fit(table)  # the arguments of an earlier version
    assert without.left_out_ == {"code": "text", "said": "text"}


def test_a_run_with_texts_repeats_its_figures_from_the_file(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"said": TEXTS + [f" {n}" for n in range(240)], "likes": np.where(LIKES, "yes", "no")}
    )
    table.loc[::17, "said"] = ""
    table[:200].to_csv(tmp_path / "rows.csv", index=False)
    table[200:].to_csv(tmp_path / "new.csv", index=False)
    words: list[str] = [
        "dataset=table", f"dataset.path='{tmp_path / 'rows.csv'}'", f"dataset.test_path='{tmp_path / 'new.csv'}'",
        "dataset.target=likes", "model=mlp", "trainer.max_epochs=4", "optimizer.lr=0.01",
        f"runs_dir='{tmp_path / 'runs'}'",
    ]  # fmt: skip
    result: Any = dlcli.train(words)
    assert result.metrics["test/auroc"] > 0.9
    assert [notice["key"] for notice in result.notices] == ["text_columns"]
    again = dlcli.evaluate(result.run_dir, file=tmp_path / "new.csv")
    assert again.metrics["test/loss"] == pytest.approx(result.metrics["test/loss"], rel=1e-6)
