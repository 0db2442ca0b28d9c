"""Usage statistics of libraries."""

from __future__ import annotations

import os

import pytest

import dlcli  # noqa: F401
from dlcli.process.usage_statistics import send_no_usage_statistics


def test_libraries_send_none_unless_the_user_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"  # by the import of dlcli
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    send_no_usage_statistics()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"
