"""The spelling of settings that messages show; `test_shown_commands` tests their meaning."""

from __future__ import annotations

from typing import Any

import pytest

from dlcli.config.pasted import pasted, pasted_for_column


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (True, "a.b=true"),
        (-999.0, "a.b=-999"),
        ("second", "a.b=second"),
        (",", """'a.b=","'"""),
        (["zip", "1e5", "NA", "null"], """'a.b=[zip, "1e5", NA, "null"]'"""),
        ({"zip": "categorical"}, "'a.b={zip: categorical}'"),
        ([".5", "-5", "a.5"], """'a.b=[".5", "-5", a.5]'"""),
    ],
)
def test_a_setting_is_quoted_for_shell_and_hydra(value: Any, word: str) -> None:
    assert pasted("a.b", value) == word


def test_the_error_about_a_setting_of_one_column_shows_that_of_all_columns() -> None:
    key = "dataset.missing_values"
    assert pasted_for_column(key, "size", [-999.0]) == "'dataset.missing_values={size: [-999]}'"
    for name in ("gr\u00f6\u00dfe", ".5", "null"):
        assert pasted_for_column(key, name, [-999.0]) == "'dataset.missing_values=[-999]' (for all columns)"
