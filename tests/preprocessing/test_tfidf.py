"""Bags of n-grams with TF-IDF weights: those of scikit-learn, selected on the training rows, within limited memory."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import Any

import numpy as np
import pytest
import skops.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from dlcli.datasets.data import Data
from dlcli.datasets.text_rows import Texts
from dlcli.errors import CorruptRun
from dlcli.gate.skops_format import dump_fitted
from dlcli.preprocessing import ngrams
from dlcli.preprocessing.fitted import fit_preprocessing
from dlcli.preprocessing.ngrams import TextCounts, counted_pairs, known_ngrams
from dlcli.preprocessing.tfidf import Tfidf
from dlcli.splits.split import Split

WORDS = ["it", "is", "Fine", "not", "slow", "42", "7", "...", "!", "déjà", "ﬁn", "\N{SNOWMAN}", "a-b", "\n"]
TEXTS = ["it is fine", "it is not fine!", "not slow... 42", "Fine, it is slow", "is it 42? it is"]


def matrix(fitted: Tfidf, texts: list[str]) -> csr_matrix:
    """Return the weights of texts `(N, V)`, with L2 norm 1."""
    fields = fitted.transform(texts)
    lengths = fields["lengths"].numpy()
    rows = np.repeat(np.arange(len(texts)), lengths)
    shape = (len(texts), fitted.facts()["vocab_size"])
    return csr_matrix((fields["counts"].values.numpy() / 10, (rows, fields["x"].values.numpy())), shape)


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), min_size=1, max_size=15),
    st.integers(1, 3), st.integers(1, 3), st.booleans(),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_weights_are_those_of_scikit_learn(
    texts: list[str], longest: int, least: int, sublinear: bool
) -> None:
    texts = [*texts, *["it is fine"] * least]
    fitted = Tfidf(longest, least, sublinear_tf=sublinear).fit(texts)
    vectorizer = TfidfVectorizer(
        ngram_range=(1, longest),
        min_df=least,
        sublinear_tf=sublinear,
        token_pattern=r"(?u)\d|[^\W\d]+|[^\w\s]+",
        preprocessor=lambda text: unicodedata.normalize("NFKC", text).lower(),
    )
    expected = vectorizer.fit_transform(texts).toarray()
    names = fitted.vocabulary()
    assert names[:2] == ["<pad>", "<unk>"]
    assert sorted(names[2:]) == sorted(vectorizer.vocabulary_)
    found = matrix(fitted, texts).toarray()
    columns = [vectorizer.vocabulary_[name] for name in names[2:]]
    np.testing.assert_allclose(found[:, 2:], expected[:, columns], atol=1e-6)
    assert not found[:, 0].any()
    np.testing.assert_allclose(found[:, 1], expected.sum(axis=1) == 0)  # a text without known n-grams


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1, max_size=12),
    st.integers(3, 5), st.integers(1, 3), st.booleans(),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_weights_of_characters_are_those_of_scikit_learn(
    texts: list[str], longest: int, least: int, sublinear: bool
) -> None:
    """Those of n-grams within words, beside those of words, each with the same norm."""
    texts = [*texts, *["it is fine"] * least]
    fitted = Tfidf(1, least, sublinear_tf=sublinear, characters=longest).fit(texts)
    vectorizer = TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=(3, longest),
        min_df=least,
        sublinear_tf=sublinear,
        preprocessor=lambda text: unicodedata.normalize("NFKC", text).lower(),
    )
    expected = vectorizer.fit_transform(texts).toarray()
    names, words = fitted.vocabulary(), len(fitted.keys_)
    # scikit-learn also counts a word that is shorter than an n-gram, which is one of another size here.
    assert set(names[2 + words :]) == {
        name.replace(" ", "_") for name in vectorizer.vocabulary_ if len(name) > 2
    }
    found = matrix(fitted, texts).toarray()[:, 2 + words :]
    columns = [vectorizer.vocabulary_[name.replace("_", " ")] for name in names[2 + words :]]
    both = matrix(fitted, texts).toarray()[:, 2 : 2 + words].any(axis=1)
    np.testing.assert_allclose(
        found * np.where(both, np.sqrt(2), 1)[:, None], normalize(expected[:, columns]), atol=1e-6
    )


def test_n_grams_of_characters_are_those_of_short_texts() -> None:
    told = "for texts of 14 characters on average"
    assert Tfidf.automatic_for(TEXTS) == {
        "characters": (4, told),
        "min_df": (1, told),
        "statistics": (True, told),
    }
    longer = [text * 30 for text in TEXTS]
    assert Tfidf.automatic_for(longer)["min_df"] == (2, "for texts of 420 characters on average")
    fitted = Tfidf(characters="auto").fit(TEXTS)
    assert fitted.longest_ == 4
    assert fitted.notices()[0].text.endswith(
        f"{len(fitted.keys_)} n-grams of 1 to 2 words and {len(fitted.character_keys_)} of 3 to 4 characters"
    )
    assert Tfidf(characters="auto").fit([text * 100 for text in TEXTS]).longest_ == 0
    places = fitted.token_places("It is")
    shown = [places.text[slice(*place)] for each in places.places for place in each]
    assert shown == ["It", "is", "It", "is", *3 * ["It"], *3 * ["is"]]
    bag = fitted.transform(["It is"])["x"].values.tolist()
    assert sorted(places.numbers) == bag


def test_rare_words_of_short_texts_are_used_and_rare_characters_are_not() -> None:
    fitted = Tfidf(min_df="auto", characters="auto", character_min_df=2).fit(TEXTS)
    words, own = (
        len(Tfidf(min_df=1).fit(TEXTS).keys_),
        len(Tfidf(min_df=2, characters=4).fit(TEXTS).character_keys_),
    )
    assert (len(fitted.keys_), len(fitted.character_keys_)) == (words, own)
    assert len(Tfidf(min_df=1, characters=4).fit(TEXTS).character_keys_) > own
    longer = [text * 30 for text in TEXTS]
    fitted = Tfidf(min_df="auto").fit(longer)
    assert (
        fitted.vocabulary()
        == Tfidf(min_df=2).fit(longer).vocabulary()
        != Tfidf(min_df=1).fit(longer).vocabulary()
    )


def test_n_grams_of_the_most_texts_are_kept_and_the_others_counted() -> None:
    fitted = Tfidf(min_df=1, max_features=3).fit(TEXTS)
    assert sorted(fitted.vocabulary()[2:]) == ["is", "it", "it is"]
    every = len(Tfidf(min_df=1).fit(TEXTS).vocabulary()) - 2
    assert [(notice.key, notice.count, notice.text, notice.warns) for notice in fitted.notices()] == [
        ("ngrams", 3, "texts are read whole, as bags of 3 n-grams of 1 to 2 words", False),
        (
            "left_out_ngrams",
            every - 3,
            f"{every - 3} rarer ones, of at most 4 texts each, are left out (max_features)",
            False,
        ),
    ]


def test_a_bounded_count_forgets_the_rarest_only(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    texts = [f"good day {draw.integers(10**6)} {draw.choice(['x', 'y', 'z'])}" for _ in range(200)]
    whole = Tfidf().fit(texts)
    monkeypatch.setattr(ngrams, "_MERGED_AT", 10)
    monkeypatch.setattr(ngrams, "_MOST_COUNTED", 60)
    monkeypatch.setattr("dlcli.preprocessing.text_portions._CHARACTERS", 100)
    bounded = Tfidf().fit(texts)
    assert set(bounded.vocabulary()) < set(whole.vocabulary())
    assert {"good", "day", "good day"} <= set(bounded.vocabulary())
    kept, places = bounded.vocabulary(), {name: place for place, name in enumerate(whole.vocabulary())}
    number = kept.index("good day")
    assert bounded.weights_[number - 2] == whole.weights_[places["good day"] - 2]


def test_a_fitted_one_is_saved_without_pickle() -> None:
    fitted = Tfidf(characters=4).fit(TEXTS)
    content = dump_fitted(fitted)
    trusted = skops.io.get_untrusted_types(data=content)
    assert trusted == ["dlcli.preprocessing.tfidf.Tfidf"]
    loaded = skops.io.loads(content, trusted=trusted)
    assert (matrix(loaded, [*TEXTS, ""]) != matrix(fitted, [*TEXTS, ""])).nnz == 0


def test_texts_of_unknown_words_are_reported() -> None:
    fitted = Tfidf(min_df=1).fit(TEXTS)
    fields, counts = fitted.transform_and_count(["it is", "never seen", ""])
    assert fields["lengths"].tolist() == [3, 1, 1]
    assert counts == {"texts": 3, "tokens": 4, "unknown_tokens": 2, "unknown_texts": 2}
    assert [notice.text for notice in fitted.notices_of_new(counts)] == [
        "50.0% of the tokens are unknown to the model, 0.0% of those of its training texts",
        "2 of 3 texts have no token known to the model",
    ]
    assert fitted.notices_of_new(fitted.measured_) == []
    assert repr(Tfidf(ngrams=1)) == "Tfidf(ngrams=1)"


@pytest.mark.parametrize(
    "changed",
    [
        {"weights_": np.ones(3, np.float32)},
        {"words_": "it"},
        {"keys_": np.array([3, 2, 1])},
        {"keys_": np.array([1.0, 2.0, 3.0]), "weights_": np.ones(3, np.float32)},
        {"code_points_": np.array([32], np.uint32)},
        {"code_points_": np.array([1.0])},
        {"character_weights_": np.ones(3, np.float32)},
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changed: dict[str, object]) -> None:
    damaged = Tfidf(min_df=1, characters=3).fit(TEXTS)
    vars(damaged).update(changed)
    with pytest.raises(CorruptRun, match="n-grams of the preprocessing are inconsistent"):
        damaged.transform(TEXTS)


def test_a_foreign_number_of_words_is_bounded() -> None:
    fitted = Tfidf(3, min_df=1, characters=5).fit(TEXTS)
    expected = fitted.transform(TEXTS)["lengths"]
    fitted.ngrams = fitted.longest_ = 10**9
    assert fitted.transform(["it is " * 100]) and fitted.transform(TEXTS)["lengths"].equal(expected)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1 << 40)), max_size=40),
    st.lists(st.integers(0, 1 << 40), max_size=20, unique=True),
)
def test_ngrams_are_counted_and_found_as_by_a_loop(seen: list[tuple[int, int]], known: list[int]) -> None:
    rows, keys = (np.array(column, np.int64) for column in (zip(*seen, strict=True) if seen else ((), ())))
    counts = TextCounts()
    counts.add(rows, keys)
    texts = Counter(key for _, key in set(seen))
    assert dict(zip(*map(np.ndarray.tolist, counts.counted()), strict=True)) == texts
    assert counts.counted()[0].tolist() == sorted(texts)

    own = np.array(sorted({*known, *keys[::2].tolist()}), np.int64)
    there, places = known_ngrams(own, keys)
    assert there.tolist() == [key in own.tolist() for key in keys.tolist()]
    assert own[places].tolist() == keys[there].tolist()


@pytest.mark.parametrize("number", [7, 1 << 30])
def test_pairs_are_counted_in_any_range(number: int) -> None:
    rows, places = np.array([3, 0, 3, 9, 0]), np.array([6, number - 1, 6, number - 1, 2])
    found = counted_pairs(rows, places, number)
    assert [part.tolist() for part in found] == [[0, 0, 3, 9], [2, number - 1, 6, number - 1], [1, 1, 2, 1]]


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1, max_size=12),
    st.integers(1, 3), st.integers(1, 2), st.sampled_from([0, 3, 4]), st.booleans(), st.sampled_from([20, 1 << 22]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_rows_that_are_fitted_and_transformed_at_once_are_those_of_both_in_turn(
    texts: list[str], longest: int, least: int, characters: int, statistics: bool, portion: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("dlcli.preprocessing.text_portions._CHARACTERS", portion)
        first, both = (Tfidf(longest, least, characters=characters, statistics=statistics) for _ in range(2))
        expected = first.fit(texts).transform(texts)
        found = both.fit_and_transform(texts)
    assert torch.equal(found["lengths"], expected["lengths"])
    assert all(torch.equal(found[name].values, expected[name].values) for name in ("x", "counts"))
    assert both.vocabulary() == first.vocabulary()
    assert both.measured_ == first.measured_


def test_training_texts_are_divided_into_words_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(texts: list[str], *rest: Any) -> ngrams.Words:
        read.extend(texts)
        return ngrams.numbered_words(texts, *rest)

    monkeypatch.setattr("dlcli.preprocessing.tfidf.numbered_words", counted)
    rows = np.arange(len(TEXTS))
    data = Data("texts", "tokens", Texts.of(TEXTS), rows)
    fitted = fit_preprocessing(Tfidf(), data, Split(rows[:4], rows[4:], rows[:0]))
    assert read == TEXTS[:4]
    assert fitted.fields is not None
    assert len(fitted.fields["lengths"]) == 4
