"""Errors of the operating system become messages with the path and a hint."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.files.disk import refusal


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EIO])
def test_a_refused_path_is_named(number: int) -> None:
    found = refusal(OSError(number, os.strerror(number), "/some/place"))
    assert found is not None and found.exit_code == 2
    (problem,) = found.problems
    assert problem.where == "/some/place" and problem.hint


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError(errno.EACCES, "x"), FileNotFoundError(2, "x", "y")]
)
def test_other_errors_are_not_refusals(error: Exception) -> None:
    assert refusal(error) is None


@pytest.mark.parametrize("command", ["eval", "resume", "compare", "export", "predict"])
def test_a_name_that_is_too_long_is_not_a_run(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("a\n1\n")
    more = {"compare": ["x"], "export": ["--output", "x.pt2"], "predict": ["rows.csv"]}.get(command, [])
    done = CliRunner().invoke(app, [command, "a" * 300, *more])
    assert done.exit_code == 2 and "there is no run a" in done.output.replace("\n", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    run = tmp_path / "exp" / "id" / "artifacts"
    run.mkdir(parents=True)
    (run / "ledger.json").write_text("{}")
    run.chmod(0)
    try:
        done = CliRunner().invoke(app, ["eval", str(run)])
    finally:
        run.chmod(0o755)
    assert done.exit_code == 2 and "permission denied" in done.output
