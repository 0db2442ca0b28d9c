import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from dlcli.tracking.run_provenance import command_line, environment_txt, git_state, provenance


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_commit_and_whether_tracked_files_differ(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) == {}
    (tmp_path / "a.txt").write_text("1")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-qm", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked").touch()
    assert git_state(tmp_path) == {"mlflow.source.git.commit": commit, "dlcli.git_dirty": "false"}
    (tmp_path / "a.txt").write_text("2")
    assert git_state(tmp_path)["dlcli.git_dirty"] == "true"


def test_a_folder_without_a_repository_and_a_machine_without_git_are_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == {}
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) == {}


def test_minimal_leaves_out_host_user_and_git() -> None:
    full, minimal = provenance("full"), provenance("minimal")
    assert (
        {"dlcli.host"}
        <= full.keys() - minimal.keys()
        <= {
            "dlcli.host",
            "mlflow.user",
            "mlflow.source.git.commit",
            "dlcli.git_dirty",
        }
    )
    assert {"dlcli.command", "dlcli.version", "dlcli.torch_version", "dlcli.mlflow_version"} <= minimal.keys()


def test_the_command_line_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/dlcli", "train", "dataset.password=hunter2", "seed=1"])
    command = command_line()
    assert "hunter2" not in command
    assert command.startswith("dlcli train")
    assert command.endswith("seed=1")


def test_the_environment_lists_each_package_once() -> None:
    lines = environment_txt().splitlines()
    names = [line.partition("==")[0].lower() for line in lines]
    assert len(names) == len(set(names))
    assert names == sorted(names)
    assert {"torch", "mlflow", "dlcli-experiments"} <= set(names)
    read_whole = {
        f"{package.metadata['Name']}=={package.metadata['Version']}" for package in metadata.distributions()
    }
    assert set(lines) <= read_whole
    assert len(names) == len({line.partition("==")[0].lower() for line in read_whole})
