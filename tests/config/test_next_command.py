"""Commands to paste into a shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.config.next_command import next_command, resume_command
from dlcli.tracking.ledger import Ledger


def test_a_line_names_the_runs_folder_where_dlcli_would_look_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert next_command("resume", "a b", runs_dir=tmp_path / "runs") == "dlcli resume 'a b'"
    assert next_command("ui", runs_dir=tmp_path / "my runs") == "dlcli ui --runs-dir 'my runs'"
    monkeypatch.setenv("DLCLI_RUNS_DIR", "my runs")
    assert next_command("ui", runs_dir=tmp_path / "my runs") == "dlcli ui"
    assert next_command("ui", runs_dir="/elsewhere") == "dlcli ui --runs-dir /elsewhere"


def test_the_project_s_own_runs_folder_needs_no_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "conf" / "dlcli.yaml"
    file.parent.mkdir()
    file.write_text("runs_dir: results\n")
    assert next_command("ui", runs_dir=tmp_path / "results") == "dlcli ui"
    assert next_command("ui", runs_dir=tmp_path / "runs") == "dlcli ui --runs-dir runs"
    file.write_text("runs_dir: [\n")  # a mistake there must not suppress the command
    assert next_command("ui", runs_dir=tmp_path / "runs") == "dlcli ui --runs-dir runs"


def test_a_child_run_resumes_with_its_parent_and_a_sweep_by_its_name() -> None:
    def ledger(kind: str, parent_id: str | None = None) -> Ledger:
        facts = {"run_name": "wine", "experiment": "e", "token": "t"}
        return Ledger(
            Path("/r/e/0123456789/artifacts"), run_id="0123456789", kind=kind, parent_id=parent_id, **facts
        )  # type: ignore[arg-type]

    assert resume_command(ledger("run")) == "dlcli resume 01234567 --runs-dir /r"
    assert resume_command(ledger("fold", "fedcba9876")) == "dlcli resume fedcba98 --runs-dir /r"
    line = resume_command(ledger("sweep"), "sweep.timeout=2h")
    assert line == "dlcli resume wine sweep.timeout=2h --runs-dir /r"
