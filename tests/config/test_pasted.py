"""Settings that messages show can be pasted into a shell."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.config.pasted import pasted

TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2100, exclude_characters="\x7f"), max_size=8)
NAMES = st.text("ab_ (),:=[]{}./-", min_size=1, max_size=6).filter(
    lambda name: name == name.strip() and any(sign.isalpha() for sign in name)
)


def read(word: str) -> Any:
    (argument,) = shlex.split(word)
    return OverridesParser.create().parse_override(argument).value()


@settings(max_examples=60, deadline=None)
@given(TEXTS.filter(lambda text: "${" not in text), st.lists(TEXTS, max_size=3))
def test_texts_are_read_as_they_are(text: str, texts: list[str]) -> None:
    assert read(pasted("a.b", text)) == text
    assert read(pasted("a.b", texts)) == texts


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.sampled_from(["numeric", "date"]), min_size=1, max_size=3))
def test_names_of_columns_are_read_as_they_are(kinds: dict[str, str]) -> None:
    assert read(pasted("dataset.types", kinds)) == kinds


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (True, "a.b=true"),
        (-999.0, "a.b=-999"),
        ("second", "a.b=second"),
        (",", """'a.b=","'"""),
        (["zip", "1e5", "NA", "null"], """'a.b=[zip, "1e5", NA, "null"]'"""),
        ({"zip": "categorical"}, "'a.b={zip: categorical}'"),
        ({"gr\u00f6\u00dfe": "date"}, "a.b=date"),
    ],
)
def test_the_word(value: Any, word: str) -> None:
    assert pasted("a.b", value) == word
