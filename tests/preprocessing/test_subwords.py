"""Byte-pair encoding."""

from __future__ import annotations

import json
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcli.preprocessing.subwords import END, PADDING, SMALLEST, START, Subwords

TEXTS = ["Zwei junge Männer sind im Freien.", "Ein Mann mit Hut steht im Regen.", "Zwei Männer im Regen."] * 3


@cache
def subwords() -> Subwords:
    return Subwords.fit(TEXTS, 300)


@pytest.fixture
def fitted() -> Subwords:
    return subwords()


def test_frequent_words_are_single_tokens(fitted: Subwords) -> None:
    (tokens,) = fitted.encode([" Männer"])
    assert len(tokens) == 1
    assert fitted.pieces(tokens) == [" Männer"]
    assert len(fitted) == 300


@given(st.text())
def test_decoding_returns_the_text(text: str) -> None:
    encoding = subwords()
    assert encoding.decode(encoding.encode([text])) == [text]


def test_special_tokens_are_not_read_from_texts(fitted: Subwords) -> None:
    (tokens,) = fitted.encode(["<pad></s>"])
    assert not {PADDING, START, END} & set(tokens.tolist())
    assert fitted.decode([[START, *tokens, END, PADDING]]) == ["<pad></s>"]


def test_it_is_restored_from_json(fitted: Subwords) -> None:
    again = Subwords(json.dumps(json.loads(fitted.json())))
    assert again.vocabulary() == fitted.vocabulary()
    for old, new in zip(fitted.encode(TEXTS), again.encode(TEXTS), strict=True):
        assert old.tolist() == new.tolist()
    assert not {PADDING, START, END} & set(again.encode(["<s>"])[0].tolist())


def test_half_a_character_is_replaced(fitted: Subwords) -> None:
    (tokens,) = fitted.encode(["ß"])
    assert len(tokens) == 2
    assert fitted.decode([tokens[:1], []]) == ["\N{REPLACEMENT CHARACTER}", ""]


def test_it_needs_a_token_for_each_byte() -> None:
    with pytest.raises(ValueError, match=f"at least {SMALLEST} tokens, not 100"):
        Subwords.fit(TEXTS, 100)
