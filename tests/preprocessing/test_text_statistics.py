"""Statistics of texts beside n-grams: lengths, digits, capitals, punctuation and symbols."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby
from math import log1p

import numpy as np
import pytest
import skops.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.errors import CorruptRun
from dlcli.gate.skops_format import dump_fitted
from dlcli.models.linear import Linear
from dlcli.models.mlp import MeanOfTokens
from dlcli.preprocessing.text_statistics import STATISTICS, SYMBOLS, fitted_statistics, text_statistics
from dlcli.preprocessing.tfidf import Tfidf
from dlcli.training.class_ratios import scaled_by_ratios
from tests.exporting.hard_texts import TEXTS as HARD

TEXTS = [
    "Win £100 NOW!!! Call 0906 12",
    "see you at 7?",
    "ok",
    "WHY not, I'm fine (really)",
    "it is 5.30 & late",
]


def one_by_one(text: str) -> dict[str, float]:
    """Return the statistics of a text by their names, as a user would describe them."""
    words, digits = text.split(), [sign.isdecimal() for sign in text]
    capitals = [sign.isupper() for sign in text]
    letters_in_circles = {sign for sign in text if sign.isupper() or sign.islower()}
    punctuation = sum(
        unicodedata.category(sign)[0] in "PS" for sign in text if sign not in letters_in_circles
    )
    some = max(1, len(words))

    def longest(marks: list[bool]) -> int:
        return max((len(list(run)) for is_one, run in groupby(marks) if is_one), default=0)

    return {
        "<characters>": log1p(len(text)),
        "<words>": log1p(len(words)),
        "<characters per word>": log1p(sum(map(len, words)) / some),
        "<share of digits>": sum(digits) / max(1, len(text)),
        "<share of capitals>": sum(capitals) / max(1, len(text)),
        "<share of punctuation>": punctuation / max(1, len(text)),
        "<digits>": log1p(sum(digits)),
        "<capitals>": log1p(sum(capitals)),
        "<punctuation>": log1p(punctuation),
        "<longest run of digits>": log1p(longest(digits)),
        "<longest run of capitals>": log1p(longest(capitals)),
        "<share of words in capitals>": sum(len(word) > 1 and word.isupper() for word in words) / some,
        **{f"<number of {sign}>": log1p(text.count(sign)) for sign in SYMBOLS},
    }


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.text() | st.text(st.sampled_from("aAß1٣ \n\u2028!£(½ⅣⒶⓐǅʰ\u0301\u0345😀")) | st.sampled_from(HARD),
        max_size=6,
    )
)
def test_statistics_are_those_of_a_loop_over_each_text(texts: list[str]) -> None:
    found = text_statistics(texts)
    assert found.shape == (len(texts), len(STATISTICS))
    for text, row in zip(texts, found, strict=True):
        expected = one_by_one(text)
        assert list(expected) == list(STATISTICS)
        np.testing.assert_allclose(row, list(expected.values()), rtol=1e-12, err_msg=repr(text))


def test_weights_are_standardized_by_the_training_texts() -> None:
    texts = TEXTS * 3
    fitted, plain = (Tfidf(min_df=1, characters=3, statistics=which).fit(texts) for which in (True, False))
    size = plain.facts()["vocab_size"]
    assert fitted.facts()["vocab_size"] == size + 31 == len(fitted.vocabulary())
    assert fitted.vocabulary()[size:] == list(STATISTICS)
    assert fitted.notices()[0].text.endswith(" of 3 characters, and 31 statistics")
    fields, others = fitted.transform(texts), plain.transform(texts)
    is_statistic = fields["x"].values >= size
    # The n-grams and their norm are those without statistics.
    assert torch.equal(fields["x"].values[~is_statistic], others["x"].values)
    assert torch.equal(fields["counts"].values[~is_statistic], others["counts"].values)
    assert torch.equal(fields["lengths"], others["lengths"] + 31)
    values = fields["counts"].values[is_statistic].reshape(-1, 31).numpy()
    raw = text_statistics(texts)
    varies = raw.std(axis=0) > 0
    assert 15 < varies.sum() < 31  # no text has a %
    np.testing.assert_allclose(
        values[:, varies], ((raw - raw.mean(0)) / np.where(varies, raw.std(0), 1))[:, varies], atol=1e-5
    )
    assert not values[:, ~varies].any()
    # New texts do not change the scale, and a statistic that is constant in training has no weight.
    far = fitted.transform(["%" * 5000 + "9" * 5000, ""])["counts"]
    assert far[0:2].abs().max() == 10 and far[0:2][:, -31:].abs().max() == 5
    assert not far[0:2][:, -31:][:, torch.from_numpy(~varies)].any()
    assert fitted.transform([""])["x"][:1][0].tolist() == [1, *range(size, size + 31)]


def test_portions_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{text} {number}" for number in range(40) for text in TEXTS]
    whole = Tfidf(min_df=1, characters=3, statistics=True).fit(texts)
    expected = whole.transform(texts)
    monkeypatch.setattr("dlcli.preprocessing.text_portions._CHARACTERS", 50)
    parts = Tfidf(min_df=1, characters=3, statistics=True).fit(texts)
    np.testing.assert_allclose(parts.statistic_means_, whole.statistic_means_, rtol=1e-12)
    np.testing.assert_allclose(parts.statistic_factors_, whole.statistic_factors_, rtol=1e-9)
    found = whole.transform(texts)
    assert all(torch.equal(found[name].values, expected[name].values) for name in ("x", "counts"))


def test_statistics_are_those_of_short_texts() -> None:
    assert Tfidf.automatic_for(TEXTS)["statistics"] == (True, "for texts of 17 characters on average")
    longer = [text * 10 for text in TEXTS]
    assert Tfidf.automatic_for(longer)["statistics"] == (False, "for texts of 172 characters on average")
    assert len(Tfidf(statistics="auto").fit(TEXTS).statistic_means_) == 31
    assert not len(Tfidf(statistics="auto").fit(longer).statistic_means_)
    assert not len(Tfidf().fit(TEXTS).statistic_means_)


def test_a_fitted_one_of_an_earlier_version_is_read() -> None:
    fitted = Tfidf(min_df=1, characters=3).fit(TEXTS)
    expected = fitted.transform(TEXTS)["counts"].values
    del vars(fitted)["statistics"]
    content = dump_fitted(fitted)
    loaded = skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))
    assert torch.equal(loaded.transform(TEXTS)["counts"].values, expected)
    assert not re.search("statistics", loaded.notices()[0].text)
    fitted = Tfidf(min_df=1, statistics=True).fit(TEXTS)
    content = dump_fitted(fitted)
    loaded = skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))
    assert torch.equal(loaded.transform(TEXTS)["counts"].values, fitted.transform(TEXTS)["counts"].values)


@pytest.mark.parametrize(
    "changed",
    [
        {"statistic_means_": np.zeros(3)},
        {"statistic_factors_": np.zeros(0)},
        {"statistic_factors_": np.full(31, np.nan)},
        {"statistic_means_": np.zeros((31, 1))},
    ],
)
def test_scales_that_do_not_fit_are_refused(changed: dict[str, object]) -> None:
    damaged = Tfidf(min_df=1, statistics=True).fit(TEXTS)
    vars(damaged).update(changed)
    with pytest.raises(CorruptRun):
        damaged.transform(TEXTS)


def test_a_second_fit_forgets_the_first() -> None:
    fitted = Tfidf(min_df=1, statistics="auto").fit(TEXTS)
    assert len(fitted.statistic_means_) == 31
    assert not len(fitted.fit([text * 10 for text in TEXTS]).statistic_means_)


def test_no_texts_have_no_scale() -> None:
    means, factors = fitted_statistics([])
    assert not means.any() and not factors.any()


def test_statistics_belong_to_no_word_and_have_names() -> None:
    fitted = Tfidf(min_df=1, characters=3, statistics=True).fit(TEXTS)
    found = fitted.token_places(TEXTS[0])
    assert set(found.numbers) == set(fitted.transform(TEXTS[:1])["x"][:1][0].tolist())
    names = fitted.vocabulary()
    assert {names[number]: name for number, name in found.names.items()} == {
        name: name for name in STATISTICS
    }
    without = [number for number, places in zip(found.numbers, found.places, strict=True) if not places]
    assert without == list(found.names)


def test_a_statistic_above_the_mean_counts_for_class_ratios() -> None:
    texts, y = (
        [*["LOOK at 12 !", "BUY 99 now !"] * 5, *["see you", "at home ok"] * 5],
        torch.tensor([1] * 10 + [0] * 10),
    )
    fitted = Tfidf(min_df=1, statistics=True).fit(texts)
    fields = fitted.transform(texts)
    batch = {"x": fields["x"][:], "counts": fields["counts"][:], "y": y}
    found = scaled_by_ratios(Linear((0,), 2, vocab_size=fitted.facts()["vocab_size"]), [batch], 0.5)
    assert found is not None
    names = fitted.vocabulary()
    scale = {
        name: float(found._scales[names.index(name)].max())
        for name in ("<digits>", "<number of %>", "LOOK".lower())
    }
    assert scale["<digits>"] > scale["look"] > scale["<number of %>"] >= 0.5


def test_a_mean_of_tokens_stays_finite_with_negative_weights() -> None:
    means = MeanOfTokens(4, 3)
    found = means(torch.tensor([[1, 2, 3]]), torch.tensor([[2.0, -1.0, -1.0]]))
    expected = (2 * means.weight[1] - means.weight[2] - means.weight[3]) / 4
    torch.testing.assert_close(found[0], expected)
