from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch

from dlcli.datasets.text_rows import Texts
from dlcli.preprocessing.text import Text

TEXTS = ["Free entry, free prize!", "See you at home", "see you FREE", "ok"]


def tokens(fitted: Text, texts: object) -> list[list[str]]:
    names = fitted.vocabulary()
    return [[names[code] for code in row.tolist()] for row in fitted.transform(texts)["x"]]


def test_words_of_the_training_rows_are_known_and_others_are_not() -> None:
    fitted = Text(min_frequency=2).fit(Texts.of(TEXTS))
    assert fitted.vocabulary() == ["<pad>", "<unk>", "free", "see", "you"]
    assert fitted.facts() == {"vocab_size": 5}
    assert tokens(fitted, ["See you, Free"]) == [["see", "you", "<unk>", "free"]]


def test_fields_are_tokens_and_lengths() -> None:
    fields = Text(min_frequency=1).fit(Texts.of(TEXTS)).transform(Texts.of(TEXTS))
    assert fields["x"][:].shape == (4, 6)
    assert fields["x"][:].dtype == torch.int64
    assert fields["lengths"].tolist() == [6, 4, 3, 1]


@pytest.mark.parametrize("kind", ["words", "characters", "bpe"])
def test_any_text_has_tokens(kind) -> None:
    fitted = Text(kind, min_frequency=1).fit(Texts.of(TEXTS))
    strange = ["", "  \n", "<pad>", "\N{SNOWMAN} déjà vu", "a" * 1000]
    fields = fitted.transform(strange)
    assert fields["lengths"].min() >= 1
    assert fields["lengths"].max() <= 256
    assert all(row.min() > 0 for row in fields["x"])  # no token of a text is padding


def test_byte_pairs_have_no_unknown_tokens_and_merge_frequent_ones() -> None:
    fitted = Text("bpe", min_frequency=2).fit(Texts.of(TEXTS * 2))
    assert "<unk>" not in tokens(fitted, ["gratuité \N{SNOWMAN}"])[0]
    assert tokens(fitted, ["free"]) == [["Ġfree"]]


@pytest.mark.parametrize("kind", ["words", "characters", "bpe"])
def test_tokenization_is_deterministic_and_restored_by_skops(kind) -> None:
    fitted = Text(kind).fit(Texts.of(TEXTS * 20))
    assert Text(kind).fit(Texts.of(TEXTS * 20)).tokenizer_ == fitted.tokenizer_
    content = skops.io.dumps(fitted)
    unknown = skops.io.get_untrusted_types(data=content)
    assert unknown == ["dlcli.preprocessing.text.Text"]
    loaded = skops.io.loads(content, trusted=unknown)
    assert tokens(loaded, TEXTS) == tokens(fitted, TEXTS)


def test_new_rows_come_in_any_form() -> None:
    fitted = Text(min_frequency=1).fit(Texts.of(pd.DataFrame({"message": TEXTS, "n": 1}), "message"))
    expected = tokens(fitted, TEXTS)
    table = pd.DataFrame({"n": range(4), "message": TEXTS})
    for form in (table, table["message"], table[["message"]], np.array(TEXTS), tuple(TEXTS)):
        assert tokens(fitted, form) == expected
    assert tokens(fitted, TEXTS[0]) == expected[:1]
    assert (
        tokens(fitted, pd.DataFrame({"other": TEXTS})) == expected
    )  # a single column is used whatever its name
    assert tokens(fitted, [None, float("nan")]) == [["<unk>"], ["<unk>"]]


def test_long_texts_are_truncated() -> None:
    fitted = Text(min_frequency=1, max_length=2).fit(Texts.of(TEXTS))
    assert tokens(fitted, TEXTS)[1] == ["see", "you"]
