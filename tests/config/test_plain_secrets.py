"""Overrides as they are recorded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dlcli.config.plain_secrets import recorded_words, words_text

_ODD = st.sampled_from(["a", "'", '"', "\\", " ", "\n", "\r", "\u2028", "\x85", "\x0b", "é"])


@given(st.lists(st.text(_ODD, max_size=6).map(lambda text: f"task.prompt='{text}'"), max_size=3))
def test_recorded_overrides_are_read_as_they_were(words: list[str]) -> None:
    assert recorded_words(words_text(words)) == words
