"""Overrides of plain numbers are read without Hydra's parser, with the same result."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from dlcli.config import overrides


@pytest.mark.parametrize(
    "text",
    ["0", "-3", "16", "-0.0", "0.1", "1e-05", "3e5", "1.5e10", "0.1e-2", "1e400", "007", "1_000", "1" * 20],
)  # fmt: skip
def test_a_number_is_what_hydra_reads(text: str) -> None:
    settings, problems = overrides.parse([f"optimizer.lr={text}"])
    parsed = OverridesParser.create().parse_override(f"optimizer.lr={text}")
    assert not problems
    assert repr(settings) == repr([overrides.Setting("optimizer.lr", parsed.value())])


def test_the_settings_of_hydra_itself_are_refused_for_numbers_too() -> None:
    assert overrides.parse(["hydra.verbose=1"])[1]
