"""A moved or copied project: its runs continue in the new place, and the original is unchanged byte for byte."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from dlcli.tracking.connection import default_store
from dlcli.tracking.ledger import Ledger
from tests.processes import run

# Each test runs all commands, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(1200)

QUICK = [
    "dataset=table", "dataset.path=data/rows.csv", "dataset.target=y", "model=mlp", "model.hidden=4",
    "trainer.max_epochs=1", "trainer.accelerator=cpu", "callbacks=none", "tracking.system_metrics=false",
]  # fmt: skip
ODD = "a b=c,d#e%20f?gé'h\"&+~;:[i]$(j)"


def command(folder: Path, *words: str) -> dict[str, Any]:
    """Return the JSON output of a command, which must succeed."""
    done = run([*words, "--json"], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def tree(folder: Path) -> dict[str, str]:
    """Return all files and folders below a folder, with the digest of each file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a cross-validation and a sweep, with their data beside the runs folder."""
    folder = tmp_path_factory.mktemp("original") / "p4"
    (folder / "data").mkdir(parents=True)
    rows = "".join(f"{i % 7},{(i * 5) % 11},{'ab'[i % 7 > 3]}\n" for i in range(60))
    (folder / "data" / "rows.csv").write_text(f"u,v,y\n{rows}")
    command(folder, "train", *QUICK, "run_name=one")
    command(folder, "train", *QUICK, "run_name=folds", "cv=kfold", "cv.folds=2")
    search = [word for word in QUICK if not word.startswith("model.hidden")]
    command(
        folder,
        "sweep",
        *search,
        "model.hidden=2,4,8",
        "sweep/sampler=random",
        "--trials",
        "2",
        "--name",
        "search",
    )
    return folder


def use(folder: Path, others: Sequence[tuple[Path, dict[str, str]]]) -> None:
    """Run every command that reads or resumes a run in a project; only its own runs folder may change."""
    outside = {name for name in tree(folder) if not name.startswith("runs")}
    beside = {path.name for path in folder.parent.iterdir()}

    def does(*words: str) -> dict[str, Any]:
        answer = command(folder, *words)
        assert {name for name in tree(folder) if not name.startswith("runs")} == outside, words
        assert {path.name for path in folder.parent.iterdir()} == beside, words
        for other, before in others:
            assert (tree(other) if other.exists() else {}) == before, words
        return answer

    runs = folder / "runs"
    assert does("eval", "one")["run_dir"].startswith(str(runs))
    assert does("resume", "one", "trainer.max_epochs=2")["tracking_uri"] == default_store(runs)
    assert does("resume", "folds", "trainer.max_epochs=2")["status"] == "FINISHED"
    assert len(does("resume", "search", "--trials", "3")["trials"]) == 3
    does("eval", "best")
    does("compare", "one", "folds")
    does("export", "one", "--output", str(runs / "net.pt2"))
    new = does("train", *QUICK, "run_name=new")
    assert Path(new["run_dir"]).is_relative_to(runs)
    again = does("reproduce", "new")
    assert Path(again["run_dir"]).is_relative_to(runs) and again["run_id"] != new["run_id"]
    archive = str(runs / "new.zip")
    assert does("runs", "export", "new", archive)["runs"] == [new["run_id"]]
    assert does("runs", "rm", new["run_id"], "--yes")["mlflow"] == []
    assert does("runs", "restore", new["run_id"])["mlflow"] == []
    does("runs", "import", archive, "--runs-dir", str(runs / "imported"))
    predicted = run(["predict", "one", "data/rows.csv"], folder)
    assert predicted.returncode == 0, predicted.stderr
    client = MlflowClient(default_store(runs))
    for file in runs.glob("*/*/artifacts/ledger.json"):
        info = client.get_run(Ledger.load(file.parent).run_id).info
        assert info.artifact_uri == file.parent.as_uri()
        assert info.status == "FINISHED"
    assert "ledger.json" in [file.path for file in client.list_artifacts(new["run_id"])]


@pytest.mark.parametrize("name", [ODD, "x" * 200], ids=["odd characters", "200 characters"])
def test_a_copied_run_resumes_independently(project: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copies" / name
    shutil.copytree(project, copy)
    use(copy, [(project, tree(project))])


def test_a_moved_project_leaves_no_files(project: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before" / "p", tmp_path / "after" / "p"
    shutil.copytree(project, before)
    command(before, "resume", "one", "trainer.max_epochs=2")  # from now on it is recorded there
    after.parent.mkdir()
    before.rename(after)
    shutil.rmtree(before.parent)
    use(after, [(before.parent, {}), (project, tree(project))])
