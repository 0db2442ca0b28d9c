"""The seal: only its owner can create it, and it determines what an opened run may name."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import yaml

from dlcli.errors import CorruptRun
from dlcli.gate.gate import Gate
from dlcli.gate.seal import SEAL_FILE, is_sealed, key_file, make_seal, seal_change
from dlcli.gate.vouching import Claim, code_listing, new_seal
from dlcli.runs.creation import contents
from dlcli.splits.split import Split

NET = "from torch import nn\nclass Net(nn.Linear):\n    pass\n"


@pytest.fixture(autouse=True)
def _key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("DLCLI_CONF_DIR", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "nothing")  # restores sys.path after the test
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder in a project with a model beside its conf folder."""
    project = tmp_path / "project"
    (project / "conf").mkdir(parents=True)
    (project / "sealed_net.py").write_text(NET)
    run = project / "runs" / "iris" / "abc" / "artifacts"
    (run / "code").mkdir(parents=True)
    (run / "code" / "sealed_net.py").write_text(NET)
    config = {"model": {"_target_": "sealed_net.Net"}, "runs_dir": str(project / "runs")}
    files = {
        "config.yaml": yaml.safe_dump(config),
        "overrides.txt": "model._target_=sealed_net.Net\n",
        "conf_dirs.txt": f"{project / 'conf'}\n",
    }
    for name, content in {**files, **make_seal({**files, "code": code_listing(run / "code")})}.items():
        (run / name).write_text(content)
    return run


def claim(folder: Path, runs_dir: Path, **more: object) -> Claim:
    made_in = Path(yaml.safe_load((folder / "config.yaml").read_text())["runs_dir"])
    return Claim(folder, None, runs_dir, made_in, **more)  # type: ignore[arg-type]


def config_of(folder: Path) -> dict[str, object]:
    return yaml.safe_load((folder / "config.yaml").read_text())


def test_it_holds_for_what_was_sealed_and_for_nothing_else(folder: Path, tmp_path: Path) -> None:
    text = (folder / "config.yaml").read_text()
    assert is_sealed(folder, "config.yaml", text)
    assert not is_sealed(folder, "config.yaml", text + "#")
    assert not is_sealed(folder, "overrides.txt", text)  # the content of one file in place of another
    assert not is_sealed(folder, "more.yaml", text)
    key = key_file()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and len(key.read_bytes()) == 32
    other = json.loads(make_seal({"config.yaml": "another"})[SEAL_FILE])
    seal = json.loads((folder / SEAL_FILE).read_text())
    seal["files"]["config.yaml"] = other["files"]["config.yaml"]  # from another seal
    (folder / SEAL_FILE).write_text(json.dumps(seal))
    assert not is_sealed(folder, "config.yaml", "another")
    key.unlink()
    make_seal({})  # another user's key
    assert not is_sealed(folder, "overrides.txt", (folder / "overrides.txt").read_text())


def test_a_change_is_sealed_only_where_what_was_there_is(folder: Path) -> None:
    text = (folder / "config.yaml").read_text()
    seal_change(folder, "config.yaml", text, "next")
    assert is_sealed(folder, "config.yaml", text) and is_sealed(folder, "config.yaml", "next")
    seal_change(folder, "config.yaml", "never sealed", "hostile")
    assert not is_sealed(folder, "config.yaml", "hostile")


def test_a_missing_home_folder_gives_no_seal_and_no_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert make_seal({"config.yaml": ""}) == {}
    assert not is_sealed(folder, "config.yaml", (folder / "config.yaml").read_text())


def test_a_sealed_run_resumes_with_its_own_code(folder: Path) -> None:
    gate, folders = claim(folder, folder.parents[2]).to_resume(config_of(folder))
    assert gate.sealed and gate.passes("sealed_net.Net")
    assert folders == (folder.parents[3] / "conf",)
    gate.admit_all(config_of(folder))
    with pytest.raises(CorruptRun, match=r"os\.system"):
        gate.admit({"_target_": "os.system"}, "model")


def test_a_run_in_a_copied_project_resumes_with_the_code_of_the_copy(folder: Path, tmp_path: Path) -> None:
    project = shutil.copytree(folder.parents[3], tmp_path / "copy")
    copy = project / folder.relative_to(folder.parents[3])
    assert claim(copy, project / "runs").to_resume(config_of(copy))[1] == (project / "conf",)
    # Opened by its path from another project, which might belong to another user: the recorded folders are used.
    elsewhere = claim(copy, tmp_path / "runs").to_resume(config_of(copy))[1]
    assert elsewhere == (folder.parents[3] / "conf",)


@pytest.mark.parametrize("name", ["config.yaml", "overrides.txt", "code/sealed_net.py", "code/more.py"])
def test_a_run_that_somebody_edited_is_somebody_else_s(folder: Path, name: str) -> None:
    with (folder / name).open("a") as file:
        file.write("# edited\n")
    gate, folders = claim(folder, folder.parents[2]).to_resume(config_of(folder))
    assert not gate.sealed and folders == ()
    with pytest.raises(CorruptRun, match=r"not have your seal") as told:
        gate.admit_all(config_of(folder))
    assert "-C DIR" in str(told.value) and "--trust" in str(told.value)


def test_a_fold_uses_the_code_of_its_run_beside_conf_if_both_are_sealed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, fold = folder.parents[3], folder.parents[1] / "def" / "artifacts"
    (project / "conf" / "dlcli.yaml").touch()
    fold.mkdir(parents=True)
    text = {"config.yaml": (folder / "config.yaml").read_text()}
    for name, content in {**text, **new_seal(text)}.items():
        (fold / name).write_text(content)
    child = Claim(fold, folder, folder.parents[2], folder.parents[2])
    assert child.to_read().own == frozenset() and child.recorded() == (project / "conf",)
    monkeypatch.chdir(project)
    assert child.to_read().own == {"sealed_net"}
    (fold / SEAL_FILE).unlink()  # a folder from elsewhere that names the user's run as its parent
    assert child.to_read().own == frozenset()


def test_conf_folders_that_somebody_edited_are_not_used(folder: Path, tmp_path: Path) -> None:
    (folder / "conf_dirs.txt").write_text(f"{tmp_path}\n")
    assert claim(folder, folder.parents[2]).recorded() == ()


def test_without_a_seal_a_folder_that_is_named_vouches_for_unchanged_code(
    folder: Path, tmp_path: Path
) -> None:
    (folder / SEAL_FILE).unlink()
    named = claim(folder, folder.parents[2], conf_dirs=(folder.parents[3] / "conf",))
    assert named.to_resume(config_of(folder))[0].own == named.to_read().own == {"sealed_net"}
    assert claim(folder, folder.parents[2]).to_read().own == frozenset()
    (folder.parents[3] / "sealed_net.py").write_text(NET + "# changed\n")
    with pytest.raises(CorruptRun, match="has changed since the run was created"):
        named.to_read()
    # An installed module is not user code, whatever is in the folder.
    for place in (folder / "code", folder.parents[3]):
        (place / "sealed_net.py").unlink()
        (place / "torch.py").write_text(NET)
    assert named.to_read().own == frozenset()


def test_an_unsealed_run_is_not_sealed_when_it_is_resumed(tmp_path: Path) -> None:
    none = np.zeros(0, dtype=np.int64)
    made = ({"model": {}, "runs_dir": "runs"}, [], Split(none, none, none), [])
    assert SEAL_FILE in contents(*made)
    with Gate("here").closed():
        assert SEAL_FILE not in contents(*made)
    with Gate("here", is_open=True).closed():  # --trust is for once
        assert SEAL_FILE not in contents(*made)
    with Gate("here", sealed=True).closed():
        assert SEAL_FILE in contents(*made)
