"""Every command finds runs whose names contain characters that are special to commands, Hydra or shells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import dlcli as library
from dlcli.cli.app import app
from dlcli.runs.annotation import rename
from dlcli.runs.find import FoundRun

NAMES = [
    "lr=0.01",
    "model=mlp",
    "a,b",
    "[1,2]",
    "{a:b}",
    "it's",
    'say "hi"',
    "two words",
    "x=[1, 'b']",
    "++a=1",
    "a=b=c",
    "50%",
    "${x}",
    "dataset=nothing",
    "50% of a*?",
    "0.1",
    "null",
    "é ü 😀",
]


def told(*words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, (words, done.output)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    words = ["dataset=iris", "model=linear", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
    return library.train([*words, f"runs_dir='{folder}'"]).run_dir


@pytest.mark.parametrize("name", NAMES)
def test_every_command_finds_a_run_by_its_name(name: str, run: Path, tmp_path: Path) -> None:
    rename(run, name)
    place = ["--runs-dir", str(run.parents[2])]
    run_id = run.parent.name
    for command in (("runs", "show"), ("eval",), ("resume",)):
        assert told(*command, name, *place)["run_id"] == run_id
    if name != "model=mlp":  # a setting
        assert told("show", name, *place)["run_id"] == run_id
    assert told("runs", "tag", name, "seen=1", *place)
    assert told("runs", "export", name, str(tmp_path / "run.zip"), *place)
    both = CliRunner().invoke(app, ["compare", name, run_id, *place])
    assert "refer to the same run" in both.output.replace("\n", " ")


def test_a_setting_wins_over_a_run_of_its_name_which_is_reported(run: Path) -> None:
    rename(run, "model=mlp")
    done = CliRunner().invoke(app, ["show", "model=mlp", "--runs-dir", str(run.parents[2])])
    assert "hidden" in done.stdout
    assert "A run has this name, too: dlcli runs show model=mlp --runs-dir" in done.stdout.replace("\n", " ")


def test_a_run_with_a_name_of_another_tool_is_found_wherever_it_is(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename(run, "lr=0.01")
    folder, run_id = run.parents[2], run.parent.name
    monkeypatch.chdir(tmp_path)
    assert told("show", "lr=0.01", f"--runs-dir={folder}")["run_id"] == run_id
    Path("own").mkdir()
    Path("own/dlcli.yaml").write_text(f"runs_dir: {folder}\n")
    assert told("show", "-C", "own", "lr=0.01")["run_id"] == run_id
    monkeypatch.setenv("DLCLI_RUNS_DIR", str(folder))
    assert told("show", "lr=0.01")["run_id"] == run_id
    monkeypatch.setattr(
        "dlcli.cli.show.named_run", lambda *_, **__: FoundRun(run, "It is the newest of 2 runs.")
    )
    assert "newest of 2 runs" in CliRunner().invoke(app, ["show", "lr=0.01"]).stdout


def test_a_word_of_another_tool_that_names_no_run_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (
        ["lr=0.02"],
        ["--json", "lr=0.02"],
        ["lr=0.02", "--runs-dir", "none"],
        ["lr=0.02", "epochs=3"],
    ):
        done = CliRunner().invoke(app, ["show", *words])
        assert done.exit_code == 2
        assert "Write: dlcli show optimizer.lr=0.02" in done.output
    assert "Did you mean" in CliRunner().invoke(app, ["show", "model=mpl"]).output
