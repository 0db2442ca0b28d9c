"""What must not change the figures of a trained run, of any kind of data: for the tests of each kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import dlcli
from dlcli.result import Result


def figures(result: Result) -> dict[str, float]:
    return {name: value for name, value in result.metrics.items() if name.startswith("test/")}


def check_same_figures(trained: Result, place: Path) -> None:
    """Evaluate a run again, in batches of other sizes and from a copy of its folder."""
    again = figures(dlcli.evaluate(trained.run_dir))
    assert again == pytest.approx(figures(trained), rel=1e-6, nan_ok=True)
    for rows in (1, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dlcli.training.network.Network.evaluation_rows", lambda *_, n=rows: n)
            found = figures(dlcli.evaluate(trained.run_dir))
            assert found == pytest.approx(again, rel=1e-4, abs=1e-6, nan_ok=True), rows
    copy = place / "copy" / "artifacts"
    shutil.copytree(trained.run_dir, copy)
    assert figures(dlcli.evaluate(copy)) == pytest.approx(again, rel=1e-9, nan_ok=True)
