"""The wheel in a separate environment: a user without this repository adds components and trains them."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: object, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; the packages that dlcli needs are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    home = folder / "env"
    venv.create(home, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    # Appended, so that the wheel is found first. No .pth of the other environment is read: it may name a checkout.
    (site / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--ignore-installed", "-q")
    run(home / "bin" / "python", *install, ROOT, cwd=folder)  # builds the wheel
    return home


# Commands in one process: each of its own would import torch and others again.
SEVERAL = """
import sys
from dlcli.cli.app import app
for command in sys.argv[1:]:
    app(command.split(), standalone_mode=False)
"""


def files(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if "__pycache__" not in file.parts}


@pytest.mark.slow
def test_a_user_s_own_parts_train_from_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    python, dlcli = environment / "bin" / "python", environment / "bin" / "dlcli"
    found = Path(run(python, "-c", "import dlcli; print(dlcli.__file__)", cwd=tmp_path).strip()).parent
    assert found.is_relative_to(environment)
    assert (found / "conf" / "config.yaml").is_file()
    before = files(found.parent)
    for kind, name in (("model", "tiny"), ("dataset", "birds"), ("experiment", "first")):
        run(dlcli, "new", kind, name, cwd=tmp_path)
    assert "tiny" in run(dlcli, "list", "model", cwd=tmp_path)
    assert "complete -o" in run(dlcli, "completion", "bash", cwd=tmp_path)
    words = ["experiment=first", "dataset=birds", "model=tiny", "trainer.max_epochs=2"]
    out = run(python, "-c", SEVERAL, f"train {' '.join(words)}", "eval last -C conf", "doctor", cwd=tmp_path)
    assert "birds: 178 rows" in out
    assert "Tiny, " in out
    assert "accuracy" in out.partition("Recorded in")[2]
    assert "dlcli works on this machine." in out
    assert files(found.parent) == before
