from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dlcli.config import folders
from dlcli.config.project import project_defaults
from dlcli.errors import ConfigError

Write = Callable[[str, str], Path]


def test_named_folders_win_over_the_variable_and_the_current_folder(
    toy: Path, mine: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = mine("conf/dlcli.yaml", "")
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    assert folders.user_folders() == (here,)
    monkeypatch.setenv("DLCLI_CONF_DIR", os.pathsep.join(["a", "b"]))
    assert folders.user_folders() == (tmp_path / "a", tmp_path / "b")
    assert folders.user_folders([Path("c"), Path("./c")]) == (tmp_path / "c",)


def test_a_conf_folder_without_dlcli_yaml_is_not_taken(toy: Path, mine: Write) -> None:
    mine("conf/model/mine.yaml", "")
    assert folders.user_folders() == ()


def test_the_shipped_folder_is_not_a_user_folder(toy: Path) -> None:
    assert folders.user_folders([toy]) == ()


def test_missing_folders_are_all_reported(toy: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        folders.user_folders([Path("nix"), Path("nada")])
    assert [(p.where, p.message, p.hint) for p in caught.value.problems] == [
        ("nix", "is not a folder", "Correct --conf-dir, or create the folder."),
        ("nada", "is not a folder", "Correct --conf-dir, or create the folder."),
    ]


def test_groups_and_options_of_all_folders(toy: Path, mine: Write) -> None:
    own = mine("conf/sweep/sampler/tpe.yaml", "")
    mine("conf/model/mine.yaml", "")
    mine("conf/.hidden/x.yaml", "")
    assert "sweep/sampler" in folders.groups([own])
    assert not any("hidden" in group for group in folders.groups([own]))
    assert folders.options("model", [own]) == {
        "mine": own / "model" / "mine.yaml",
        "net": toy / "model" / "net.yaml",
        "wide": toy / "model" / "wide.yaml",
    }


def test_an_option_in_two_folders_names_both_files(toy: Path, mine: Write) -> None:
    own = mine("conf/model/net.yaml", "")
    (problem,) = folders.conflicts([own])
    assert problem.where == "model=net"
    assert problem.message == f"is defined in two folders: {toy / 'model/net.yaml'} and conf/model/net.yaml"


def test_a_config_yaml_of_the_user_s_is_refused(toy: Path, mine: Write) -> None:
    (problem,) = folders.conflicts([mine("conf/config.yaml", "seed: 1\n")])
    assert problem.hint == "Move its keys to conf/dlcli.yaml (project-wide defaults) and delete it."


def test_code_next_to_the_folder_is_importable_with_the_lowest_priority(toy: Path, mine: Write) -> None:
    own = mine("mine_folders/models.py", "")
    before = list(sys.path)
    folders.extend_path([own])
    folders.extend_path([own])
    assert sys.path == [*before, str(own.parent)]


def test_project_defaults_are_dotted_and_read_numbers_as_hydra_does(toy: Path, mine: Write) -> None:
    own = mine(
        "conf/dlcli.yaml", "runs_dir: out\nmodel: wide\noptimizer:\n  lr: 1e-3\ntask.loss.smoothing: 0.1\n"
    )
    assert project_defaults([own]) == {
        "runs_dir": "out",
        "model": "wide",
        "optimizer.lr": 0.001,
        "task.loss.smoothing": 0.1,
    }


def test_a_broken_dlcli_yaml_is_named_with_its_line(toy: Path, mine: Write) -> None:
    own = mine("conf/dlcli.yaml", "seed: 1\nmodel: [\n")
    with pytest.raises(ConfigError, match=r"conf/dlcli\.yaml:3: is not valid YAML"):
        project_defaults([own])


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys, dlcli.config.folders as f; f.options('model'); f.groups(); f.user_folders();"
        "import dlcli.config.project;"
        "print([m for m in ('torch', 'hydra', 'omegaconf', 'pydantic', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
