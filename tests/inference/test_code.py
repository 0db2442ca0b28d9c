"""A user's model is stored with the run, and run again only if the user trusts it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import dlcli
from dlcli.errors import CorruptRun
from dlcli.result import Result

MODEL = """
from torch import nn
from mine_{name}.parts import scale

class Mine(nn.Module):
    accepts = {{"table"}}

    def __init__(self, input_shape, num_outputs, hidden: int = 8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(input_shape[0], hidden), nn.ReLU(), nn.Linear(hidden, num_outputs))

    def forward(self, x):
        return self.layers(scale(x))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    package = folder / "mine_code"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "parts.py").write_text("def scale(x):\n    return x * 2\n")
    (package / "model.py").write_text(MODEL.format(name="code"))
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "mine.yaml").write_text(
        "# My own model.\n_target_: mine_code.model.Mine\n# Units.\nhidden: 8\n"
    )
    return folder


@pytest.fixture(scope="module")
def trained(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    runs = tmp_path_factory.mktemp("runs")
    return dlcli.train(
        ["dataset=iris", "model=mine", "model.hidden=4", "trainer.max_epochs=2", f"runs_dir='{runs}'"],
        conf_dirs=[project / "conf"],
    )


def test_the_whole_package_is_kept(trained: Result) -> None:
    kept = {file.relative_to(trained.run_dir).as_posix() for file in (trained.run_dir / "code").rglob("*.py")}
    assert kept == {"code/mine_code/__init__.py", "code/mine_code/parts.py", "code/mine_code/model.py"}


def test_code_is_not_run_without_consent(trained: Result) -> None:
    with pytest.raises(CorruptRun, match=r"names code outside dlcli: mine_code\.model\.Mine"):
        dlcli.evaluate(trained.run_dir)


def test_the_message_names_its_folder_or_the_file_that_has_changed(trained: Result, project: Path) -> None:
    with pytest.raises(CorruptRun, match=r"started with -C \S*conf, where the code is unchanged"):
        dlcli.evaluate(trained.run_dir)
    file = project / "mine_code" / "parts.py"
    before = file.read_text()
    file.write_text(f"{before}# changed\n")
    try:
        with pytest.raises(
            CorruptRun, match=r"(?s)outside dlcli.*parts\.py has changed since the run .*--trust"
        ):
            dlcli.evaluate(trained.run_dir)
    finally:
        file.write_text(before)


def test_code_in_a_given_configuration_folder_is_trusted(trained: Result, project: Path) -> None:
    result = dlcli.evaluate(trained.run_dir, conf_dirs=[project / "conf"])
    assert result.metrics["test/loss"] == pytest.approx(trained.metrics["test/loss"], abs=1e-6)


def test_a_folder_where_it_reads_otherwise_does_not(trained: Result, project: Path, tmp_path: Path) -> None:
    other = shutil.copytree(project, tmp_path / "project")
    (other / "mine_code" / "parts.py").write_text("def scale(x):\n    return x * 3\n")
    with pytest.raises(CorruptRun, match=r"parts\.py: has changed since the run was created\n.*--trust"):
        dlcli.evaluate(trained.run_dir, conf_dirs=[other / "conf"])


def test_trust_runs_the_kept_copy(trained: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "project" not in entry])
    for name in [name for name in sys.modules if name.startswith("mine_code")]:
        monkeypatch.delitem(sys.modules, name)
    result = dlcli.evaluate(trained.run_dir, trust=True)
    assert result.metrics["test/loss"] == pytest.approx(trained.metrics["test/loss"], abs=1e-6)
    assert sys.modules["mine_code.model"].__file__.startswith(str(trained.run_dir))
