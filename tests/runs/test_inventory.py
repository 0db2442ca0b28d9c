"""The list of runs, from ledgers alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from toy_ledgers import NOW, made

from dlcli.files import regular
from dlcli.runs.inventory import DAMAGED, list_runs, size_on_disk
from dlcli.runs.main_figure import MainFigure
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.liveness import RunLock
from dlcli.tracking.reconcile import settle_ledgers


def test_parts_belong_to_their_run_and_the_newest_comes_first(tmp_path: Path) -> None:
    cv = made(tmp_path, "folds", days=2, kind="cv")
    for number in (1, 0):
        made(tmp_path, f"fold-{number}", days=1.5 - number / 10, kind="fold", parent_id=cv.run_id)
    made(tmp_path, "new", days=1, experiment="adult")
    made(tmp_path, "orphan", days=3, kind="trial", parent_id="elsewhere")
    new, folds, orphan = list_runs(tmp_path, NOW)
    assert [run.name for run in (new, folds, orphan)] == ["new", "folds", "orphan"]
    assert [child.name for child in folds.children] == ["fold-0", "fold-1"]
    assert folds.size == sum(size_on_disk(part.folder.parent) for part in folds.all())
    assert [run.name for run in folds.all()] == ["folds", "fold-0", "fold-1"]
    assert folds.duration == 60


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, None),
        ({"val/loss": 1.0}, MainFigure("val/loss", 1.0, None)),
        (
            {"val/mae": 1.0, "test/loss": 2.0, "test/mae": 3.0, "baseline/test/mae": 4.0},
            MainFigure("test/mae", 3.0, 4.0),
        ),
        (
            {"cv/loss_mean": 1.0, "cv/f1_std": 0.1, "cv/f1_mean": 0.5, "test/f1": 0.7},
            MainFigure("cv/f1_mean", 0.5, None),
        ),
        ({"best/val/loss": 0.2}, MainFigure("best/val/loss", 0.2, None)),
    ],
)
def test_the_main_metric_of_a_run_is_chosen(
    tmp_path: Path, figures: dict[str, float], expected: MainFigure | None
) -> None:
    made(tmp_path, "one", figures=figures)
    assert list_runs(tmp_path, NOW)[0].figure == expected


def test_a_status_is_true_without_the_store(tmp_path: Path) -> None:
    held = made(tmp_path, "held", status="RUNNING", ended_at=None)
    waits = made(tmp_path, "waits", status="SCHEDULED", parent_id=held.run_id, started_at=None, ended_at=None)
    lost = made(tmp_path, "lost", status="RUNNING", ended_at=None)
    made(tmp_path, "copied", status="RUNNING", ended_at=None)
    RunLock.of(lost).release()
    lock, of_waits = RunLock.of(held), RunLock.of(waits)
    of_waits.release()
    expected = {"held": "RUNNING", "waits": "SCHEDULED", "lost": "KILLED", "copied": "KILLED"}
    try:
        for _ in range(2):  # the second time after the ledgers were settled
            found = [run for top in list_runs(tmp_path, NOW) for run in top.all()]
            assert {run.name: run.status for run in found} == expected
            notes = settle_ledgers(tmp_path)
    finally:
        lock.release()
    assert notes == []
    assert {x.run_name: Ledger.load(x.run_dir).status for x in (held, waits, lost)} == {
        "held": "RUNNING",
        "waits": "SCHEDULED",
        "lost": "KILLED",
    }
    assert (tmp_path / ".active" / lost.token).is_file(), "the next command has to tell MLflow"


def test_damaged_and_hostile_ledgers_are_lines_with_a_reason(tmp_path: Path) -> None:
    made(tmp_path, "sound")

    def broken(name: str) -> Path:
        return made(tmp_path, name).run_dir / LEDGER_FILE

    broken("empty").write_text("")
    file = broken("changed")
    file.write_text(file.read_text().replace("FINISHED", "FAILED"))
    file = broken("huge-number")
    document = json.loads(file.read_text()) | {"digests": None, "metrics": {"a": 10**400}}
    file.write_text(json.dumps(document))
    file = broken("pipe")
    file.unlink()
    os.mkfifo(file)
    file = broken("nowhere")
    file.unlink()
    file.symlink_to("missing.json")
    file = broken("newer")
    file.write_text(json.dumps({"schema_version": 99}))
    loop = made(tmp_path, "loop")
    loop.update(parent_id=loop.run_id)
    ancient = made(tmp_path, "ancient")
    ancient.update(created_at="0001-01-01T00:00:00", started_at="9999-12-31T23:59:59-14:00")
    found = list_runs(tmp_path, NOW)
    damaged = [run for run in found if run.status == DAMAGED]
    assert {run.name for run in found if run.status != DAMAGED} == {"sound", "loop", "ancient"}
    assert len(damaged) == 6
    reasons = " ".join(run.error or "" for run in damaged)
    for reason in ("SHA-256 mismatch", "is invalid", "is not a regular file", "is missing", "newer dlcli"):
        assert reason in reasons


def test_a_thousand_runs_are_a_thousand_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = made(tmp_path, "run")
    text = (template.run_dir / LEDGER_FILE).read_text()
    document = json.loads(text) | {"digests": None}
    for number in range(999):
        folder = tmp_path / "iris" / f"{number:032x}" / "artifacts"
        folder.mkdir(parents=True)
        own = {"run_id": f"{number:032x}", "token": f"{number:016x}", "run_name": f"run-{number}"}
        (folder / LEDGER_FILE).write_text(json.dumps(document | own))
    opened = []
    open_regular = regular.open_regular
    monkeypatch.setattr(regular, "open_regular", lambda path: (opened.append(path), open_regular(path))[1])
    assert len(list_runs(tmp_path, NOW)) == 1000
    assert len(opened) == len(set(opened)) == 1000
    assert {path.name for path in opened} == {LEDGER_FILE}


def test_no_runs_folder_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "missing", NOW) == []
    assert settle_ledgers(tmp_path / "missing") == []


def test_links_are_not_followed_for_sizes(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(1 << 20))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "big")
    (folder / "up").symlink_to(tmp_path)
    assert size_on_disk(folder) < 1 << 16
