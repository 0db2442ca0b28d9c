"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two tests side by side with two spinning threads each are slower by orders of magnitude than with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees this machine's settings, or leaves anything outside its own folder."""
    for name in (
        "MLFLOW_TRACKING_URI",
        "DLCLI_RUNS_DIR",
        "DLCLI_CONF_DIR",
        "DLCLI_DEBUG",
        "NO_COLOR",
        "FORCE_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shared_data() -> Path:
    """Real data beside the checkout, which not everybody has."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the folder shared/data beside the checkout")
    return folder
