"""How a setting is written that a message shows; what it means is tested in `test_shown_commands`."""

from __future__ import annotations

from typing import Any

import pytest

from dlcli.config.pasted import pasted


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
