"""A new store is restored exactly from the runs of real commands."""

from pathlib import Path

import pytest
from toy_dumps import dump

from dlcli.runs.retention import WEIGHTS_TAG
from tests.processes import run

SMALL = ["dataset=iris", "model=linear", "trainer.max_epochs=2", "trainer.accelerator=cpu"]
COMMANDS = (
    ["train", *SMALL],
    ["train", *SMALL, "cv=kfold", "cv.folds=2", "cv.test_size=0.2", "cv.refit=true"],
    ["sweep", *SMALL, "optimizer.lr=0.01,0.1", "cv.test_size=0.2", "--jobs", "1"],
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for command in COMMANDS:
        done = run(command, folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_runs_cross_validations_and_sweeps_come_back(project: Path) -> None:
    before = dump(project / "runs")
    (project / "runs" / "mlflow.db").unlink()
    done = run(["train", *SMALL, "--name", "next"], project)
    assert done.returncode == 0, done.stderr
    text = " ".join((done.stdout + done.stderr).split())
    count = len(before["runs"])
    assert f"The MLflow store was empty: {count} runs were restored from their ledgers." in text
    assert "Traceback" not in text
    assert "alembic" not in text
    after = dump(project / "runs")
    for what, rows in before.items():
        assert set(rows) <= set(after[what]), what
    (new,) = {row[0] for row in after["runs"]} - {row[0] for row in before["runs"]}
    for what in ("params", "tags", "metrics", "latest metrics", "inputs"):
        # That a trial's weights were dropped was only in its ledger; the restored store has it, too.
        found = [row for row in after[what] if row[0] != new and row[1] != WEIGHTS_TAG]
        assert found == [row for row in before[what] if row[1] != WEIGHTS_TAG], what
    assert count > 7
