"""Test that each experiment trains."""

from __future__ import annotations

from pathlib import Path

import dlcli
import pytest

CONF = Path(__file__).parent.parent / "conf"


@pytest.mark.parametrize("experiment", [file.stem for file in (CONF / "experiment").glob("*.yaml")])
def test_experiment_trains(experiment: str, tmp_path: Path) -> None:
    overrides = [f"experiment={experiment}", "trainer.max_epochs=1", f"runs_dir='{tmp_path}'"]
    assert dlcli.train(overrides, conf_dirs=[CONF]).status == "FINISHED"
