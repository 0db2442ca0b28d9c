"""MLflow's store in PostgreSQL: a real server, and eight processes that record to it at once."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.events import Listener
from dlcli.job import Job, run_job
from dlcli.result import Result
from tests.forked import FORKS

WORKERS, TRIALS = 8, 16
PASSWORD = "elephant"


def programs() -> Path | None:
    """Where PostgreSQL's programs are: in the path, or where Debian has them."""
    places = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


def owner() -> str | None:
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), "")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URI of an empty database; its server listens on a socket in its own folder only."""
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    place, user = programs(), owner()
    if place is None or user == "":
        pytest.skip("needs PostgreSQL's initdb and pg_ctl, and another user than root")
    # Not pytest's folder: that is closed to other users, and too long a name for a socket.
    folder = Path(tempfile.mkdtemp(prefix="dlcli-"))
    if user is not None:
        shutil.chown(folder, user)
    run = partial(
        subprocess.run, cwd=folder, check=True, stdout=subprocess.DEVNULL, user=user, env={"LC_ALL": "C"}
    )
    data = ["-D", str(folder / "data")]
    options = f"-k {folder} -c listen_addresses= -F"
    try:
        run(
            [str(place / "initdb"), *data, "--username=dlcli", "--auth=trust", "--encoding=UTF8", "--no-sync"]
        )
        run([str(place / "pg_ctl"), *data, "-w", "-l", str(folder / "log"), "-o", options, "start"])
        try:
            yield f"postgresql://dlcli:{PASSWORD}@/postgres?host={folder}"
        finally:
            run([str(place / "pg_ctl"), *data, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder)


def set_environment(environment: dict[str, str]) -> None:
    os.environ.update(environment)


class Forked(ProcessPoolExecutor):
    """Eight processes that are there at once: our own workers would take seconds each to start."""

    def __init__(self) -> None:
        # Theirs is the environment of whichever test forked first: the password is in this one's.
        super().__init__(WORKERS, mp_context=FORKS, initializer=set_environment, initargs=(dict(os.environ),))

    def submit(self, job: Job, listen: Listener) -> Future[Result]:  # type: ignore[override]
        return super().submit(run_job, job)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of what MLflow has to settle with SQLAlchemy
def test_eight_workers_record_to_postgresql(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setattr("dlcli.sweeps.run_sweep.open_executor", lambda plan: Forked())
    words = [
        "sweep", "dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=2", "trainer.accelerator=cpu",
        "callbacks=none", "optimizer.lr=interval(0.001,0.1)", "sweep/sampler=random", "--name", "many",
    ]  # fmt: skip
    counts = ["--trials", str(TRIALS), "--jobs", str(WORKERS), "--json", "--runs-dir", str(tmp_path)]
    done = CliRunner().invoke(app, [*words, *counts])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [trial["status"] for trial in found["trials"]] == ["FINISHED"] * TRIALS
    assert PASSWORD not in done.output
    client = MlflowClient(database)
    parent = client.get_run(found["run_id"])
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{found['run_id']}'"
    )
    assert {child.info.status for child in (parent, *children)} == {"FINISHED"}
    assert Counter(child.data.tags["dlcli.kind"] for child in children) == {"trial": TRIALS, "refit": 1}
    by_id = {child.info.run_id: child for child in children}
    for trial in found["trials"]:
        history = client.get_metric_history(trial["run_id"], "val/loss")
        assert [entry.step for entry in history] == [0, 1]
        assert by_id[trial["run_id"]].data.metrics["best/val/loss"] == trial["value"]
    values = client.get_metric_history(found["run_id"], "sweep/value")
    assert sorted((x.step, x.value) for x in values) == [(t["trial"], t["value"]) for t in found["trials"]]
    assert parent.data.metrics["best/val/loss"] == min(trial["value"] for trial in found["trials"])
    again = CliRunner().invoke(app, ["eval", "best", "--json", "--runs-dir", str(tmp_path)])
    assert again.exit_code == 0, again.output
    texts = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not [text for text in texts if PASSWORD.encode() in text]
