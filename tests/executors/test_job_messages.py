"""Jobs on other machines, and the stores that they can record to."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlcli.errors import ConfigError
from dlcli.executors.job_messages import refuse_sqlite_elsewhere
from dlcli.executors.slurm import machines
from dlcli.job import Job
from dlcli.tracking.ledger import Ledger


def test_sqlite_on_another_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SimpleNamespace(store_uri="sqlite:////somewhere/mlflow.db")
    monkeypatch.setattr(Ledger, "load", lambda _: store)
    job, here = Job({}, str(tmp_path), 0), os.uname().nodename
    refuse_sqlite_elsewhere(job, {here, f"{here}.example.org"})
    with pytest.raises(ConfigError, match="SQLite store cannot be written to from several machines"):
        refuse_sqlite_elsewhere(job, {here, "another"})
    store.store_uri = "http://somewhere:5000"
    refuse_sqlite_elsewhere(job, {here, "another"})


def test_slurm_tells_its_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sinfo = tmp_path / "sinfo"
    sinfo.write_text("#!/bin/sh\n[ \"$4\" = --partition=big ] && printf 'n1\\nn1\\nn2\\n'\n")
    sinfo.chmod(0o755)
    assert machines("big") == {"n1", "n2"}
    sinfo.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machines(None) == set()
