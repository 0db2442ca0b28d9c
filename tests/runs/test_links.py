"""Links in a runs folder that lead out of it: nothing is written, changed or removed at their targets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import dlcli
from dlcli.errors import DlcliError
from dlcli.runs.annotation import set_note
from dlcli.tracking.connection import DATABASE
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import ACTIVE_DIR
from dlcli.tracking.reconcile import reconcile, settle_ledgers
from dlcli.tracking.resume_target import check_places
from dlcli.tracking.store import open_store
from dlcli.tracking.trash import settle_folders

WORDS = ["dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=1", "trainer.accelerator=cpu",
         "callbacks=none", "tracking.system_metrics=false"]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a run, and with another one that looks as if its process had been killed."""
    place = tmp_path_factory.mktemp("links")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run = dlcli.train([*WORDS, "runs_dir=runs", "run_name=one"]).run_dir
    other = shutil.copytree(run, run.parents[1] / ("f" * 32) / "artifacts")
    document = json.loads((other / "ledger.json").read_text()) | {"digests": None}
    document |= {"run_id": "f" * 32, "token": "a" * 16, "status": "RUNNING", "run_name": "other"}
    (other / "ledger.json").write_text(json.dumps(document))
    entry = {"token": "a" * 16, "run_id": "f" * 32, "experiment": "iris", "tracking_uri": None}
    (place / "runs" / ACTIVE_DIR / ("a" * 16)).write_text(json.dumps(entry) + "\n")
    return place / "runs"


@pytest.fixture
def runs(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(made, tmp_path / "runs", symlinks=True)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of the user's, with files whose names look like temporary ones, too."""
    folder = tmp_path / "victim"
    folder.mkdir()
    for name in ("notes.txt", ".bashrc", "id_rsa", "film.partial", ".draft.txt.dlcli-deadbeef.tmp", "a" * 16):
        (folder / name).write_text("precious")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def resume_one(runs: Path, **changes: Any) -> None:
    (run,) = (file.parent for file in runs.glob("iris/*/artifacts/seal.json") if "f" * 32 not in str(file))
    document = json.loads((run / "ledger.json").read_text()) | {"status": "KILLED", **changes}
    (run / "ledger.json").write_text(json.dumps(document | {"digests": None}))
    dlcli.resume(str(run), runs_dir=runs)


def test_a_link_in_the_place_of_the_entries_is_refused(runs: Path, victim: Path) -> None:
    shutil.rmtree(runs / ACTIVE_DIR)
    (runs / ACTIVE_DIR).symlink_to(victim)
    before = contents(victim)
    with pytest.raises(DlcliError, match="is a link"):
        resume_one(runs, token="id_rsa")
    with pytest.raises(DlcliError, match="is a link"):
        dlcli.train([*WORDS, f"runs_dir={runs}"])
    assert contents(victim) == before


@pytest.mark.parametrize("ending", ["", "-journal", "-wal", ".lock"])
def test_a_link_in_the_place_of_the_store_is_refused(runs: Path, victim: Path, ending: str) -> None:
    place = runs / f"{DATABASE}{ending}"
    if place.exists():
        shutil.move(place, victim / "store")
    place.symlink_to(victim / ("store" if (victim / "store").exists() else "notes.txt"))
    before = contents(victim)
    with pytest.raises(DlcliError, match="link"):
        resume_one(runs)
    assert contents(victim) == before


@pytest.mark.parametrize("name", ["checkpoints", "plots", "model"])
def test_links_in_another_run_are_not_followed(runs: Path, victim: Path, name: str) -> None:
    other = runs / "iris" / ("f" * 32) / "artifacts"
    shutil.rmtree(other / name)
    (other / name).symlink_to(victim)
    before = contents(victim)
    resume_one(runs)
    assert json.loads((other / "ledger.json").read_text())["status"] == "KILLED"
    assert contents(victim) == before


@pytest.mark.parametrize("linked", ["exp", "exp/RUN"])
def test_a_living_run_of_another_runs_folder_is_left_alone(tmp_path: Path, linked: str) -> None:
    theirs = tmp_path / "theirs"
    with open_store(tmp_path / "mine") as store:
        run = store.create_run(experiment="exp", run_name="alive", kind="run", params={}, tags={})
        ledger = Ledger.load(run)
        ledger.update(status="RUNNING")
        link = theirs / linked.replace("RUN", ledger.run_id)
        link.parent.mkdir(parents=True)
        link.symlink_to(run.parents[1] if linked == "exp" else run.parent)
        before = (run / "ledger.json").read_bytes()
        for settle in (reconcile, settle_ledgers):
            (theirs / ACTIVE_DIR).mkdir(exist_ok=True)
            entry = {
                "token": ledger.token,
                "run_id": ledger.run_id,
                "experiment": "exp",
                "tracking_uri": None,
            }
            (theirs / ACTIVE_DIR / ledger.token).write_text(json.dumps(entry) + "\n")
            settle(theirs)
        there = theirs / "exp" / ledger.run_id / "artifacts"
        with pytest.raises(DlcliError, match="is a link that leads out of the runs folder"):
            check_places([Ledger.load(there)])
        with pytest.raises(DlcliError, match="is a link that leads out of the runs folder"):
            set_note(there, "mine")
        assert (run / "ledger.json").read_bytes() == before


@pytest.mark.parametrize("action", ["delete", "restore", "arrive", "purge"])
@pytest.mark.parametrize(("linked", "other"), [("iris", ".trash/iris"), (".trash/iris", "iris")])
@pytest.mark.parametrize("run", ["notes", "more"])
def test_an_intent_from_elsewhere_moves_nothing_through_a_link(
    tmp_path: Path, victim: Path, action: str, linked: str, other: str, run: str
) -> None:
    runs = tmp_path / "theirs"
    for folder in (victim / "notes" / "artifacts", runs / other / run, runs / ".trash" / ".intents"):
        folder.mkdir(parents=True)
    (runs / linked).symlink_to(victim)
    intent = json.dumps({"action": action, "at": "", "moved": False, "runs": [["iris", run, None, True]]})
    (runs / ".trash" / ".intents" / "t.json").write_text(json.dumps({"intent": intent}))
    before = sorted(victim.rglob("*"))
    settle_folders(runs)
    assert sorted(victim.rglob("*")) == before
    assert (runs / other / run).is_dir()


def test_a_linked_runs_folder_is_used_like_any_other(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(runs)
    dlcli.train([*WORDS, f"runs_dir={tmp_path}/link", "run_name=three"])
    result = dlcli.resume("three", ["trainer.max_epochs=2"], runs_dir=tmp_path / "link")
    assert result.run_dir.is_relative_to(runs)
