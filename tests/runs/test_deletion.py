"""What `dlcli runs rm` and `restore` include, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dlcli.cli.app import app
from dlcli.errors import DiskFull, InputError, RunNotFound
from dlcli.runs.deletion import (
    Affected,
    delete,
    list_trash,
    plan_deletion,
    plan_restoration,
    purge,
    restore,
)
from dlcli.runs.find import find_run
from dlcli.tracking import trash
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.liveness import RunLock
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store, open_store
from tests.runs.toy_ledgers import NOW, made


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deleted") / "runs"


@pytest.fixture
def store(runs_dir: Path) -> Iterator[Store]:
    with open_store(runs_dir) as opened:
        yield opened


def ended(store: Store, name: str, *, parent: Path | None = None, tags: dict[str, str] | None = None) -> Path:
    parent_id = parent.parent.name if parent else None
    folder = store.create_run(
        experiment="exp",
        run_name=name,
        kind="trial" if parent else "sweep",
        params={},
        tags=tags or {},
        parent_id=parent_id,
    )
    with Recorder(folder, system_metrics=False) as recorder:
        recorder.finish({"test/loss": 1.0}, result={"metrics": ["test/loss"]})
    store.close()
    return folder


def dlcli(runs_dir: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["runs", *words, "--runs-dir", str(runs_dir)])


def test_a_run_is_deleted_with_its_children(store: Store, runs_dir: Path) -> None:
    sweep = ended(store, "whole")
    trial = ended(store, "whole-trial-0", parent=sweep)
    done = dlcli(runs_dir, "rm", "whole")
    assert "Would go to the trash: 1 run with 1 part" in done.stdout
    assert "Nothing was moved: add --yes." in done.stdout
    assert trial.exists()
    done = dlcli(runs_dir, "rm", "whole", "--yes", "--json")
    document = json.loads(done.stdout)
    assert (document["done"], document["mlflow"]) == (True, [])
    assert document["runs"][0]["parts"] == [trial.parent.name]
    assert not sweep.exists() and not trial.exists()
    with pytest.raises(RunNotFound) as missing:
        find_run("whole", runs_dir)
    assert missing.value.problems[0].hint.startswith("It is in the trash: dlcli runs restore whole")
    ids = [sweep.parent.name, trial.parent.name]
    assert {store.client.get_run(run_id).info.lifecycle_stage for run_id in ids} == {"deleted"}
    listed = json.loads(dlcli(runs_dir, "restore", "--json").stdout)["runs"]
    assert [(run["name"], run["deleted_at"][:2]) for run in listed] == [("whole", "20")]
    assert "Restored: 1 run with 1 part" in dlcli(runs_dir, "restore", "whole").stdout
    assert Ledger.load(trial).status == "FINISHED"
    assert {store.client.get_run(run_id).info.lifecycle_stage for run_id in ids} == {"active"}


def test_a_child_run_is_deleted_and_restored_with_its_parent_only(store: Store, runs_dir: Path) -> None:
    sweep = ended(store, "outer")
    ended(store, "outer-trial-0", parent=sweep)
    with pytest.raises(InputError, match=r"is a child run of outer, a sweep") as error:
        plan_deletion(["outer-trial-0"], None, runs_dir, NOW, force=True)
    assert error.value.problems[0].hint.startswith(f"Take all of it: dlcli runs rm {sweep.parent.name[:8]}")
    delete(plan_deletion(["outer"], None, runs_dir, NOW, force=False))
    with pytest.raises(RunNotFound, match="is a child run of outer"):
        plan_restoration(["outer-trial-0"], runs_dir, NOW)
    restore(plan_restoration([sweep.parent.name[:6]], runs_dir, NOW))


def test_a_run_that_others_need_is_not_deleted(store: Store, runs_dir: Path) -> None:
    base = ended(store, "base")
    run_id = base.parent.name
    ended(store, "user", tags={"dlcli.weights_run": run_id})
    with pytest.raises(InputError, match=r"is needed: user uses its weights"):
        plan_deletion(["base"], None, runs_dir, NOW, force=False)
    assert plan_deletion(["base", "user"], None, runs_dir, NOW, force=False).needed == {}
    delete(plan_deletion(["user"], None, runs_dir, NOW, force=False))
    store.client.create_registered_model("fraud")
    store.client.create_model_version("fraud", f"runs:/{run_id}/model", run_id)
    with pytest.raises(InputError, match="registered model fraud version 1") as error:
        plan_deletion(["base"], None, runs_dir, NOW, force=False)
    assert "--force" in error.value.problems[0].hint
    shown = dlcli(runs_dir, "rm", "base", "--force")
    assert "base would be deleted although it is needed: registered model fraud version 1" in shown.stderr
    done = dlcli(runs_dir, "rm", "base", "--force", "--yes")
    assert "base is deleted although it is needed: registered model fraud version 1" in done.stderr


def test_a_path_in_a_configuration_needs_the_run(tmp_path: Path) -> None:
    base = made(tmp_path, "base")
    user = made(tmp_path, "user")
    (user.run_dir / "config.yaml").write_text(
        f"model:\n  weights: {base.run_dir}/model/weights.safetensors\n"
    )
    with pytest.raises(InputError, match="user uses its weights"):
        plan_deletion(["base"], None, tmp_path, NOW, force=False)


def test_what_runs_is_kept(store: Store, runs_dir: Path) -> None:
    folder = store.create_run(experiment="exp", run_name="busy", kind="run", params={}, tags={})
    with Recorder(folder, system_metrics=False), pytest.raises(InputError, match="the run is RUNNING"):
        plan_deletion(["busy"], None, runs_dir, NOW, force=True)


def test_a_run_that_is_about_to_resume_is_not_deleted(tmp_path: Path) -> None:
    """A process that resumes a run takes it before it records anything."""
    run = made(tmp_path, "resumed")
    affected = plan_deletion(["resumed"], None, tmp_path, NOW, force=True)
    entry = RunLock.of(run)
    with pytest.raises(InputError, match="another process is recording the run"):
        delete(affected)
    entry.release()
    delete(affected)
    assert not run.run_dir.exists()


@pytest.mark.parametrize("count", [2, 11])
def test_the_command_that_brings_runs_back(tmp_path: Path, count: int) -> None:
    ids = {made(tmp_path, f"run-{i}").run_id[:8] for i in range(count)}
    said = dlcli(tmp_path, "rm", "--filter", "status=finished", "--yes").stdout
    line = said.partition("dlcli runs restore")[2].partition("--runs-dir")[0]
    assert set(line.split()) == (ids if count == 2 else set())
    assert ("Bring back with" if count == 2 else "Choose what to bring back") in said


def test_a_filter_chooses_whole_runs(tmp_path: Path) -> None:
    cv = made(tmp_path, "old", days=9, kind="cv")
    made(tmp_path, "old-fold-0", days=9, kind="fold", parent_id=cv.run_id)
    made(tmp_path, "new", days=1)
    planned = plan_deletion([], "age>7d", tmp_path, NOW, force=False)
    assert [run.name for run in planned.runs] == ["old"]
    assert planned.count == 2
    assert plan_deletion([], "age>70d", tmp_path, NOW, force=False).runs == ()
    with pytest.raises(InputError, match="no run is named"):
        plan_deletion([], None, tmp_path, NOW, force=False)


def test_a_damaged_run_can_go(tmp_path: Path) -> None:
    run = made(tmp_path, "damaged")
    (run.run_dir / LEDGER_FILE).write_text("[")
    delete(plan_deletion([run.run_id], None, tmp_path, NOW, force=False))
    assert not run.run_dir.exists()
    ((found, at),) = list_trash(tmp_path, NOW)
    assert (found.run_id, at is None) == (run.run_id, False)
    restore(plan_restoration([run.run_id], tmp_path, NOW))
    assert run.run_dir.exists()


def test_nothing_outside_of_the_runs_folder_goes(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    made(runs_dir, "own")
    other = made(tmp_path / "others", "other")
    with pytest.raises(InputError, match="is not in"):
        plan_deletion([str(other.run_dir)], None, runs_dir, NOW, force=True)
    (runs_dir / "linked").symlink_to(tmp_path / "others" / "iris")
    with pytest.raises(InputError, match="is a link that leads out"):
        plan_deletion(["other"], None, runs_dir, NOW, force=True)
    (runs_dir / "linked").unlink()
    (runs_dir / "inside").symlink_to(runs_dir / "iris")
    with pytest.raises(InputError, match="is a link to a folder"):
        plan_deletion(
            [str(runs_dir / "inside" / made(runs_dir, "more").run_id)], None, runs_dir, NOW, force=True
        )
    assert other.run_dir.exists()


def test_two_commands_at_once_delete_a_run_once(tmp_path: Path) -> None:
    made(tmp_path, "wanted")
    plans = [plan_deletion(["wanted"], None, tmp_path, NOW, force=False) for _ in range(2)]
    delete(plans[0])
    with pytest.raises(RunNotFound, match="another command has moved wanted"):
        delete(plans[1])


def test_a_run_that_came_back_otherwise_is_not_overwritten(tmp_path: Path) -> None:
    run = made(tmp_path, "twice")
    delete(plan_deletion(["twice"], None, tmp_path, NOW, force=False))
    made(tmp_path, "twice")
    with pytest.raises(InputError, match="a run of this ID is in the runs folder"):
        plan_restoration(["twice"], tmp_path, NOW)
    with pytest.raises(InputError, match="another run of this ID is in the trash") as error:
        delete(plan_deletion(["twice"], None, tmp_path, NOW, force=False))
    assert f"dlcli runs restore {run.run_id}" in error.value.problems[0].hint
    run.run_dir.parent.rename(tmp_path / "elsewhere")
    restore(plan_restoration(["twice"], tmp_path, NOW))
    assert run.run_dir.exists()


def test_a_full_disk_can_be_freed(store: Store, runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ended(store, "freed")
    (folder / "checkpoints").mkdir()
    delete(plan_deletion(["freed"], None, runs_dir, NOW, force=False))
    (run,) = [one for one, _ in list_trash(runs_dir, NOW) if one.name == "freed"]
    write = trash.atomic_write

    def full(path: Path, *words: Any, **more: Any) -> None:
        if (run.folder / "checkpoints").exists():
            raise DiskFull("no space left", str(path))
        write(path, *words, **more)

    monkeypatch.setattr(trash, "atomic_write", full)
    purge(Affected(runs_dir, (run,), {}))
    assert not run.folder.exists()
