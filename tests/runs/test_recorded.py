"""Sections of a recorded configuration that are empty, or no sections."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.config.recorded_config import check_sections
from dlcli.config.validate import OPTIONAL
from dlcli.errors import CorruptRun
from dlcli.runs.recorded import read_config
from dlcli.tracking.ledger import Ledger


@pytest.mark.parametrize("section", OPTIONAL)
def test_an_empty_section_has_no_keys(section: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"{section}:\nseed:\n")
    ledger = Ledger(tmp_path, "id", "name", "experiment", "run", "token")
    assert read_config(ledger) == {section: {}, "seed": None}


@pytest.mark.parametrize("section", OPTIONAL)
def test_a_value_in_the_place_of_a_section_is_refused(section: str) -> None:
    with pytest.raises(CorruptRun, match=f"{section}: is not a section with keys"):
        check_sections({section: ["x"]}, Path("config.yaml"))
