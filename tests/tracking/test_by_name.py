"""Links by name always lead to existing runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.runs.find import find_run
from dlcli.tracking import by_name
from dlcli.tracking.by_name import link_run, refresh_links
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.places import BY_NAME, folder_name
from dlcli.tracking.store import open_store
from tests.runs.toy_ledgers import made


def links(runs_dir: Path) -> dict[str, str]:
    return {path.name: Ledger.load(path).run_id for path in sorted((runs_dir / BY_NAME).iterdir())}


def dlcli(runs_dir: Path, *words: str) -> None:
    done = CliRunner().invoke(app, ["runs", *words, "--runs-dir", str(runs_dir)])
    assert done.exit_code == 0, done.output


def test_the_status_stays_correct(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    old, cv = made(runs_dir, "irises", days=3), made(runs_dir, "folds", kind="cv")
    made(runs_dir, "folds-fold-0", kind="fold", parent_id=cv.run_id)
    dlcli(runs_dir)
    assert links(runs_dir) == {"folds": cv.run_id, "irises": old.run_id}
    new = made(runs_dir, "irises", days=1)
    link_run(new)
    both = {"irises": new.run_id, f"irises-{old.run_id[:8]}": old.run_id, "folds": cv.run_id}
    assert links(runs_dir) == both
    refresh_links(runs_dir)
    assert links(runs_dir) == both
    dlcli(runs_dir, "rename", new.run_id, "later")
    assert links(runs_dir) == {"folds": cv.run_id, "irises": old.run_id, "later": new.run_id}
    dlcli(runs_dir, "rm", "folds", "--yes")
    assert links(runs_dir) == {"irises": old.run_id, "later": new.run_id}
    dlcli(runs_dir, "restore", "folds")
    assert links(runs_dir)["folds"] == cv.run_id
    moved = tmp_path / "moved"
    runs_dir.rename(moved)
    assert links(moved)["later"] == new.run_id
    shutil.rmtree(moved / "iris" / new.run_id)
    dlcli(moved)
    assert sorted(links(moved)) == ["folds", "irises"]


def test_a_new_run_has_one(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        folder = store.create_run(experiment="exp", run_name="toy", kind="run", params={}, tags={})
    assert links(tmp_path) == {"toy": folder.parent.name}


def test_a_link_names_its_run(tmp_path: Path) -> None:
    run = made(tmp_path, "irises")
    refresh_links(tmp_path)
    found = find_run(str(tmp_path / BY_NAME / "irises"), tmp_path / "elsewhere").run_dir
    assert found == run.run_dir
    assert Ledger.load(found).is_in_place


@pytest.mark.parametrize(
    "name", ["a/b", "../../evil", ".hidden", "a\nb", "x" * 300, "花" * 100, "", "\udcff", "a\0b"]
)
def test_names_that_are_not_file_names(tmp_path: Path, name: str) -> None:
    run = made(tmp_path / "runs", "plain")
    run.run_name = name
    link_run(run)
    (link,) = (tmp_path / "runs" / BY_NAME).iterdir()
    assert link.name.endswith(f"-{run.run_id[:8]}")
    assert link.resolve() == run.run_dir.resolve()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_a_link_that_is_refused_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        made(tmp_path, name)
    replace = Path.replace

    def refused(path: Path, target: Path) -> Path:
        if target.name == "b":
            raise OSError(22, "Invalid argument")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refused)
    refresh_links(tmp_path)
    assert sorted(links(tmp_path)) == ["a", "c"]
    monkeypatch.undo()
    refresh_links(tmp_path)
    assert sorted(links(tmp_path)) == ["a", "b", "c"]


def test_the_link_of_a_run_that_appears_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path, "old")
    wanted = by_name._wanted

    def late(ledgers: Iterable[Ledger]) -> Mapping[str, Path]:
        found = wanted(ledgers)
        link_run(made(tmp_path, "new"))
        return found

    monkeypatch.setattr(by_name, "_wanted", late)
    refresh_links(tmp_path)
    assert sorted(links(tmp_path)) == ["new", "old"]


def test_files_of_others_are_kept(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    made(runs_dir, "mine")
    (runs_dir / BY_NAME).mkdir()
    (runs_dir / BY_NAME / "mine").write_text("a note")
    (runs_dir / BY_NAME / "outside").symlink_to(tmp_path)
    refresh_links(runs_dir)
    assert (runs_dir / BY_NAME / "mine").read_text() == "a note"
    assert (runs_dir / BY_NAME / "outside").is_symlink()
    other = tmp_path / "other"
    made(other, "run")
    (other / BY_NAME).symlink_to(tmp_path)
    refresh_links(other)
    link_run(made(other, "more"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "runs"]


def test_no_experiment_has_the_name_of_the_folder() -> None:
    assert folder_name(BY_NAME) != BY_NAME
