import shutil
from pathlib import Path
from typing import Any

import pytest

from dlcli.errors import CorruptRun, RunNotFound
from dlcli.runs.find import find_run
from dlcli.tracking.ledger import Kind, Ledger


def put(runs_dir: Path, run_id: str, name: str, day: int, kind: Kind = "run", **changes: Any) -> Path:
    folder = runs_dir / "exp" / run_id / "artifacts"
    folder.mkdir(parents=True)
    ledger = Ledger(
        folder,
        run_id=run_id,
        run_name=name,
        experiment="exp",
        kind=kind,
        token=run_id,
        created_at=f"2026-01-{day:02}T00:00:00.000+00:00",
    )
    ledger.update(**changes)
    return folder


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    put(tmp_path, "aaaa1111", "cnn-digits-3f2a", 3)
    put(tmp_path, "aaaa2222", "twice", 2)
    put(tmp_path, "bbbb3333", "twice", 4)
    put(tmp_path, "cccc4444", "fold-0", 9, "fold", parent_id="aaaa1111")
    return tmp_path


@pytest.mark.parametrize(
    ("ref", "run_id"),
    [("aaaa1111", "aaaa1111"), ("aaaa1", "aaaa1111"), ("cnn-digits-3f2a", "aaaa1111"), ("last", "bbbb3333")],
)
def test_a_run_by_what_it_is_called(runs_dir: Path, ref: str, run_id: str) -> None:
    assert find_run(ref, runs_dir).run_dir == runs_dir / "exp" / run_id / "artifacts"


def test_a_run_is_found_by_its_folder_in_any_place(runs_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copied"
    shutil.copytree(runs_dir / "exp" / "aaaa1111", copy)
    assert find_run(str(copy), runs_dir / "none").run_dir == copy / "artifacts"
    assert find_run(str(copy / "artifacts"), runs_dir / "none").run_dir == copy / "artifacts"


def test_the_newest_run_of_a_name_is_used_and_reported(runs_dir: Path) -> None:
    found = find_run("twice", runs_dir)
    assert found.run_dir.parent.name == "bbbb3333"
    assert "2 runs are named twice" in found.note
    assert "bbbb3333" in found.note


def test_last_is_not_a_fold(runs_dir: Path) -> None:
    assert "twice" in find_run("last", runs_dir).note


def test_an_ambiguous_beginning_lists_the_runs(runs_dir: Path) -> None:
    with pytest.raises(RunNotFound, match=r"2 run IDs begin with aaaa.*cnn-digits-3f2a") as caught:
        find_run("aaaa", runs_dir)
    assert caught.value.exit_code == 2


def test_a_beginning_of_three_characters_is_too_short(runs_dir: Path) -> None:
    with pytest.raises(RunNotFound):
        find_run("bbb", runs_dir)


def test_near_names_are_offered(runs_dir: Path) -> None:
    with pytest.raises(RunNotFound, match="Did you mean cnn-digits-3f2a"):
        find_run("cnn-digit-3f2a", runs_dir)


def test_without_any_run_the_command_to_start_one_is_shown(tmp_path: Path) -> None:
    for ref in ("last", "something"):
        with pytest.raises(RunNotFound, match="dlcli train"):
            find_run(ref, tmp_path)


def test_a_folder_without_a_run_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound, match="this is not a run's folder"):
        find_run(str(tmp_path), tmp_path)


def test_a_folder_above_a_run_names_the_run(runs_dir: Path) -> None:
    with pytest.raises(RunNotFound, match=r"It contains \d+ runs; give the path of one: .*/aaaa"):
        find_run(str(runs_dir / "exp"), runs_dir)


def test_a_prefix_that_is_too_short_is_reported(runs_dir: Path) -> None:
    with pytest.raises(RunNotFound, match="at least 4 characters"):
        find_run("aaa", runs_dir)


def test_best_is_the_newest_sweeps(runs_dir: Path) -> None:
    with pytest.raises(RunNotFound, match="no sweep"):
        find_run("best", runs_dir)
    put(runs_dir, "dddd5555", "sweep-1", 5, "sweep", result={"best_run_id": "aaaa2222"})
    put(runs_dir, "eeee6666", "sweep-2", 6, "sweep", result={"best_run_id": "aaaa1111"})
    assert find_run("best", runs_dir).run_dir.parent.name == "aaaa1111"
    assert find_run("best:exp", runs_dir).run_dir.parent.name == "aaaa1111"
    with pytest.raises(RunNotFound, match="in experiment other"):
        find_run("best:other", runs_dir)


def test_a_damaged_run_hides_no_other_and_is_named_by_its_path(runs_dir: Path) -> None:
    damaged = runs_dir / "exp" / "bbbb3333"
    (damaged / "artifacts" / "ledger.json").write_text("{")
    assert find_run("last", runs_dir).run_dir.parent.name == "aaaa1111"
    with pytest.raises(CorruptRun):
        Ledger.load(find_run(str(damaged), runs_dir).run_dir)


def test_a_folder_of_projects_names_the_runs_below_it(runs_dir: Path) -> None:
    (runs_dir / "exp" / "deep" / "a" / "b" / "c" / "artifacts").mkdir(parents=True)
    with pytest.raises(RunNotFound, match=r"this is not a run's folder[\s\S]*contains 4 runs"):
        find_run(f"{runs_dir}/", runs_dir)


def test_a_name_that_is_too_long_for_a_file_is_not_a_run(runs_dir: Path) -> None:
    with pytest.raises(RunNotFound, match="there is no run aaa"):
        find_run("a" * 300, runs_dir)
    with pytest.raises(RunNotFound, match="there is no run"):
        find_run(f"./{'a' * 300}/{'b' * 5000}", runs_dir)


def test_a_name_that_is_not_found_may_be_that_of_a_damaged_run(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = runs_dir / "exp" / "bbbb3333" / "artifacts"
    (damaged / "ledger.json").write_text("{")

    def elsewhere(ref: str, runs_dir: Path) -> None:
        raise RunNotFound("x is in another runs folder", "", "Give its path: p")

    for fetch in (lambda ref, runs_dir: None, elsewhere):
        monkeypatch.setattr("dlcli.runs.find.fetch_run", fetch)
        with pytest.raises(RunNotFound) as caught:
            find_run("nowhere", runs_dir)
        (problem,) = caught.value.problems
        assert problem.message.startswith("there is no run nowhere in ")
        assert problem.hint.startswith("It may be one whose ledger cannot be read: ")
        assert "exp/bbbb3333/artifacts" in problem.hint.splitlines()[0]
