"""Ray: a real cluster of two nodes on this machine, one of which is killed in the middle of a sweep."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.datasets.data import Data
from dlcli.errors import ConfigError
from dlcli.executors.ray_cluster import Ray
from tests.processes import wait_until

SWEEP = [
    "sweep", "dataset=iris", "model=mlp", "trainer.max_epochs=60", "trainer.accelerator=cpu", "callbacks=none",
    "optimizer.lr=1e-3,3e-3,0.01", "sweep.refit=false", "tracking.checkpoint_minutes=0.00001", "executor=ray",
]  # fmt: skip


FOLDS = [*SWEEP[1:3], *SWEEP[4:6], "trainer.max_epochs=2", "cv=kfold", "cv.folds=2"]


def figures(*executor: str, runs_dir: Path) -> list[dict[str, float]]:
    """The metrics of two folds."""
    words = ["train", *FOLDS, *executor, "--jobs", "1", "--json", "--runs-dir", str(runs_dir)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return [fold["metrics"] for fold in json.loads(done.stdout)["folds"]]


@pytest.mark.parametrize(
    ("absent", "message"),
    [("ray", "ray is not installed"), ("dlcli.executors.remote_jobs", "ray cannot be imported: ")],
)
def test_ray_is_reported_missing_only_if_it_is(
    absent: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the absence of Ray itself is reported as such."""
    monkeypatch.delitem(sys.modules, "dlcli.executors.ray_pool", raising=False)
    if absent != "ray":
        monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ConfigError, match=message):
        Ray().open({}, Data, 1)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # warnings of Ray
def test_a_node_that_dies_takes_no_trial_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from dlcli.executors import ray_pool

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # its processes would wait for those of other tests
    # A dead node is missed after 5 failed checks, 3 s apart by default.
    head = {"include_dashboard": False, "_system_config": {"health_check_period_ms": 500}}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000, **head}
    )
    doomed = cluster.add_node(num_cpus=1, object_store_memory=100_000_000)

    def training() -> list[str]:
        files = (tmp_path / "runs").glob("*/*/artifacts/metrics.jsonl")
        return [file.parts[-3] for file in files if "train/loss" in file.read_text()]

    def kill_the_node() -> None:
        wait_until(lambda: len(training()) >= 2, bound=300)
        cluster.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill_the_node)
    killer.start()
    try:
        # One connection for both commands: each of its own would start processes that import everything.
        ray_pool._start(cluster.address, 1)
        words = [*SWEEP, f"executor.address={cluster.address}", "--jobs", "2", "--json"]
        done = CliRunner().invoke(app, [*words, "--runs-dir", str(tmp_path / "runs")])
        killer.join()
        folds = figures("executor=ray", f"executor.address={cluster.address}", runs_dir=tmp_path / "runs")
    finally:
        import ray

        ray.shutdown()
        cluster.shutdown()
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [trial["status"] for trial in document["trials"]] == ["FINISHED"] * 3
    for trial in document["trials"]:
        folder = tmp_path / "runs" / "iris" / trial["run_id"] / "artifacts"
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        epochs = [line["step"] for line in lines if "train/loss" in line["metrics"]]
        assert epochs == list(range(1, 61)), "each epoch once, whichever node trained it"
    # The same cross-validation gives the same metrics on Ray and locally.
    assert folds == figures("executor=local", runs_dir=tmp_path / "runs")
