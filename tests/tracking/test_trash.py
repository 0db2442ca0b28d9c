"""The trash of a runs folder: deletion is complete or does not happen, and an untrusted folder moves nothing else."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from dlcli.errors import InputError
from dlcli.tracking import lifecycle, trash
from dlcli.tracking.ledger import LEDGER_FILE
from dlcli.tracking.lifecycle import clients_of, tell_mlflow
from dlcli.tracking.reconcile import reconcile, settle_ledgers
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import open_store
from dlcli.tracking.trash import (
    TRASH,
    Intent,
    Member,
    begin,
    deleted_at,
    end,
    intents,
    locked_trash,
    settle_folders,
)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trash") / "runs"


@pytest.fixture
def family(runs_dir: Path) -> list[Path]:
    """The folders of a cross-validation and its two folds."""
    found: list[Path] = []
    with open_store(runs_dir) as store:
        for kind in ("cv", "fold", "fold"):
            parent = found[0].parent.name if found else None
            folder = store.create_run(
                experiment="exp",
                run_name=kind,
                kind=kind,
                params={},
                tags={},
                parent_id=parent,  # type: ignore[arg-type]
            )
            with Recorder(folder, system_metrics=False) as recorder:
                recorder.finish({"test/loss": 1.0}, result={"metrics": ["test/loss"]})
            found.append(folder)
    return found


def members(folders: list[Path]) -> list[Member]:
    return [Member("exp", folder.parent.name) for folder in folders]


def state(runs_dir: Path, folders: list[Path]) -> set[tuple[bool, bool, str]]:
    """Return where runs are: in the runs folder, in the trash, and the stage in MLflow."""
    with sqlite3.connect(runs_dir / "mlflow.db") as connection:
        stages = dict(connection.execute("SELECT run_uuid, lifecycle_stage FROM runs").fetchall())
    return {
        (
            (folder / LEDGER_FILE).exists(),
            (runs_dir / TRASH / "exp" / folder.parent.name / "artifacts" / LEDGER_FILE).exists(),
            stages[folder.parent.name],
        )
        for folder in folders
    }


HERE, GONE = {(True, False, "active")}, {(False, True, "deleted")}


def act(runs_dir: Path, action: trash.Action, folders: list[Path]) -> None:
    with locked_trash(runs_dir):
        intent = begin(runs_dir, action, members(folders))
        assert tell_mlflow(runs_dir, intent, clients_of(runs_dir)) == []


def test_deleted_runs_are_restored_with_their_children(runs_dir: Path, family: list[Path]) -> None:
    act(runs_dir, "delete", family)
    assert state(runs_dir, family) == GONE
    assert all(path.parents[2].name == "exp" for path in runs_dir.glob(f"*/*/artifacts/{LEDGER_FILE}"))
    act(runs_dir, "restore", family)
    assert state(runs_dir, family) == HERE
    assert not (family[0].parent / trash.DELETED_FILE).exists()
    act(runs_dir, "delete", family)
    act(runs_dir, "purge", family)
    assert state(runs_dir, family) == {(False, False, "deleted")}
    assert intents(runs_dir) == []


@pytest.mark.parametrize("action", ["delete", "restore"])
@pytest.mark.parametrize("survived", range(4))
def test_a_kill_leaves_nothing_half(
    runs_dir: Path, family: list[Path], action: trash.Action, survived: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of moved folders, and before MLflow knows: the next command completes it."""
    if action == "restore":
        act(runs_dir, "delete", family)
    with monkeypatch.context() as killed:
        left = [survived]

        def rename(path: Path, target: Path) -> Path:
            if not left[0]:
                raise Killed
            left[0] -= 1
            path.replace(target)
            return target

        killed.setattr(Path, "rename", rename)
        with locked_trash(runs_dir):
            if survived < len(family):
                with pytest.raises(Killed):
                    begin(runs_dir, action, members(family))
            else:
                begin(runs_dir, action, members(family))
    settle_ledgers(runs_dir)  # a command that does not open the store moves the folders
    wanted = GONE if action == "delete" else HERE
    assert {places[:2] for places in state(runs_dir, family)} == {places[:2] for places in wanted}
    reconcile(runs_dir)
    assert state(runs_dir, family) == wanted
    assert intents(runs_dir) == []


def test_the_last_decision_holds(runs_dir: Path, family: list[Path]) -> None:
    with locked_trash(runs_dir):
        begin(runs_dir, "delete", members(family))  # MLflow does not answer
    with locked_trash(runs_dir):
        begin(runs_dir, "restore", members(family))
    reconcile(runs_dir)
    assert state(runs_dir, family) == HERE


def test_a_store_that_was_lost_gets_the_restored_run(runs_dir: Path, family: list[Path]) -> None:
    act(runs_dir, "delete", family)
    with sqlite3.connect(runs_dir / "mlflow.db") as connection:
        for table in ("tags", "metrics", "latest_metrics", "params", "runs"):
            connection.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (family[0].parent.name,))
    act(runs_dir, "restore", family)
    assert state(runs_dir, family) == HERE


def test_a_run_that_cannot_be_recorded_does_not_hold_up_the_others(
    runs_dir: Path, family: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    act(runs_dir, "delete", family)
    stages = lifecycle.find_row

    def refused(connection: sqlite3.Connection, run_id: str) -> object:
        if run_id == family[1].parent.name:
            connection.execute("INSERT INTO runs (run_uuid) VALUES (?)", (run_id,))
        return stages(connection, run_id)

    with monkeypatch.context() as damaged, locked_trash(runs_dir):
        damaged.setattr(lifecycle, "find_row", refused)
        intent = begin(runs_dir, "restore", members(family))
        (told,) = tell_mlflow(runs_dir, intent, clients_of(runs_dir))
    assert "UNIQUE constraint failed" in told
    (waiting,) = intents(runs_dir)
    assert [member.run_id for member in waiting.members] == [family[1].parent.name]
    assert state(runs_dir, [family[0], family[2]]) == HERE
    reconcile(runs_dir)
    assert state(runs_dir, family) == HERE


def test_settling_does_not_wait_for_another_command(runs_dir: Path, family: list[Path]) -> None:
    with locked_trash(runs_dir):
        begin(runs_dir, "delete", members(family[:1]))
        assert settle_folders(runs_dir) == []
    reconcile(runs_dir)


@pytest.mark.parametrize("place", ["..", "", ".trash", "a/b", "/", "a\0", 3, None])
def test_an_intent_from_elsewhere_names_no_other_folder(tmp_path: Path, place: object) -> None:
    runs_dir = tmp_path / "runs"
    folder = runs_dir / TRASH / ".intents"
    folder.mkdir(parents=True)
    place = str(tmp_path) if place == "/" else place
    victim = runs_dir / TRASH / (place if isinstance(place, str) and "\0" not in place else "") / "victim"
    victim.mkdir(parents=True)
    text = json.dumps({"action": "purge", "at": "", "moved": False, "runs": [[place, "victim", None, True]]})
    (folder / "x.json").write_text(json.dumps({"intent": text, "signature": "ä"}))
    assert intents(runs_dir) == []
    assert reconcile(runs_dir) == []
    assert victim.is_dir()


def pending(runs_dir: Path, action: trash.Action, folders: list[Path]) -> Intent:
    """Carry out an intent that MLflow does not know yet."""
    with locked_trash(runs_dir):
        return begin(runs_dir, action, members(folders))


def test_an_intent_that_was_read_before_another_decision(runs_dir: Path, family: list[Path]) -> None:
    stale = pending(runs_dir, "delete", family)
    act(runs_dir, "restore", family)
    end(stale, stale.members[:1])
    assert intents(runs_dir) == []
    assert tell_mlflow(runs_dir, stale, clients_of(runs_dir)) == []
    assert state(runs_dir, family) == HERE


def test_no_command_decides_otherwise_while_mlflow_is_asked(
    runs_dir: Path, family: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pending(runs_dir, "delete", family)
    asked = []

    def tell(_: Path, intent: Intent, __: object) -> list[str]:
        asked.append(intent.action)
        assert settle_folders(runs_dir) == []  # since the lock is held
        return []

    monkeypatch.setattr("dlcli.tracking.reconcile.tell_mlflow", tell)
    reconcile(runs_dir)
    monkeypatch.undo()
    assert asked == ["delete"]
    reconcile(runs_dir)
    assert state(runs_dir, family) == GONE


@pytest.mark.parametrize("action", ["delete", "restore"])
@pytest.mark.parametrize("moved", range(3))
def test_folders_that_cannot_be_moved_stay_together(
    runs_dir: Path, family: list[Path], action: trash.Action, moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if action == "restore":
        act(runs_dir, "delete", family)
    before = [deleted_at(folder_in_trash(runs_dir, folder)) for folder in family]
    stuck = family[moved].parent.name
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path.name == stuck:
            raise PermissionError(13, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with locked_trash(runs_dir), pytest.raises(InputError, match="permission denied"):
        begin(runs_dir, action, members(family))
    monkeypatch.undo()
    assert intents(runs_dir) == []
    reconcile(runs_dir)
    assert state(runs_dir, family) == (HERE if action == "delete" else GONE)
    assert [deleted_at(folder_in_trash(runs_dir, folder)) for folder in family] == before
    assert not any((folder.parent / trash.DELETED_FILE).exists() for folder in family)


def folder_in_trash(runs_dir: Path, folder: Path) -> Path:
    return runs_dir / TRASH / folder.relative_to(runs_dir)


def test_folders_that_cannot_be_moved_back_are_reported(
    runs_dir: Path, family: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, left = Path.rename, [1]

    def refused(path: Path, target: Path) -> Path:
        if not left[0]:
            raise PermissionError(13, "Permission denied", str(path))
        left[0] -= 1
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with locked_trash(runs_dir), pytest.raises(InputError, match="the next command on the runs folder moves"):
        begin(runs_dir, "delete", members(family))
    monkeypatch.undo()
    reconcile(runs_dir)
    assert state(runs_dir, family) == GONE


def test_mlflow_learns_of_runs_that_are_gone_for_good(runs_dir: Path, family: list[Path]) -> None:
    pending(runs_dir, "delete", family)
    act(runs_dir, "purge", family)
    assert {stage for *_, stage in state(runs_dir, family)} == {"active"}
    reconcile(runs_dir)
    assert state(runs_dir, family) == {(False, False, "deleted")}
    assert intents(runs_dir) == []


def test_the_leftovers_of_a_killed_command_are_handled_first(
    runs_dir: Path, family: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, locked_trash(runs_dir):
        patched.setattr(trash, "move", killed)
        with pytest.raises(Killed):
            begin(runs_dir, "delete", members(family))
    with locked_trash(runs_dir):
        assert {places[:2] for places in state(runs_dir, family)} == {(False, True)}
    reconcile(runs_dir)


def test_an_intent_of_another_user_ends_unsigned(
    runs_dir: Path, family: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash, "is_ours", lambda *_: False)
    pending(runs_dir, "delete", family)
    act(runs_dir, "restore", family[:1])
    (intent,) = intents(runs_dir)
    assert [member.run_id for member in intent.members] == [folder.parent.name for folder in family[1:]]
    assert intent.path is not None
    assert json.loads(intent.path.read_text())["signature"] is None
    reconcile(runs_dir)
    assert intents(runs_dir) == []
    assert state(runs_dir, family[:1]) == HERE
    assert state(runs_dir, family[1:]) == GONE


def test_an_intent_from_elsewhere_does_not_reach_a_server(tmp_path: Path) -> None:
    folder = tmp_path / TRASH / ".intents"
    folder.mkdir(parents=True)
    member = ["exp", "a" * 32, "http://127.0.0.1:9", True]
    text = json.dumps({"action": "delete", "at": "2026-01-01", "moved": True, "runs": [member]})
    (folder / "x.json").write_text(json.dumps({"intent": text, "signature": "0" * 64}))
    (intent,) = settle_folders(tmp_path)
    asked: list[str | None] = []
    assert tell_mlflow(tmp_path, intent, asked.append) == []  # type: ignore[arg-type]
    assert asked == []


def test_links_are_not_followed(runs_dir: Path, family: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "runs"
    other.mkdir()
    (other / TRASH).symlink_to(runs_dir)
    with pytest.raises(InputError, match="is a link"), locked_trash(other):
        pass
    assert intents(other) == settle_folders(other) == []
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (runs_dir / TRASH / "linked").mkdir(parents=True, exist_ok=True)
    (runs_dir / TRASH / "linked" / "run").symlink_to(elsewhere)
    with locked_trash(runs_dir):
        begin(runs_dir, "purge", [Member("linked", "run")])
    assert (elsewhere / "kept").exists()
    assert not (runs_dir / TRASH / "linked").exists()
