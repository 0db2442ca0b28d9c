"""Only unchanged files are loaded, and a run can be opened after a kill at any moment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dlcli.errors import CorruptRun
from dlcli.tracking import digests
from dlcli.tracking.digests import (
    check_code,
    check_recorded,
    forget_results,
    replace_recorded,
    results_of,
)
from dlcli.tracking.ledger import Ledger, atomic_write

CONFIG, WORDS = "config.yaml", "overrides.txt"


def ledger_of(folder: Path, files: dict[str, str]) -> Ledger:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        atomic_write(folder / name, content)
    recorded = {name: [digests.digest(content)] for name, content in files.items()}
    ledger = Ledger(
        folder, run_id="id", run_name="name", experiment="exp", kind="run", token="token", digests=recorded
    )
    ledger.update()
    return ledger


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip, "differs from what was recorded"),
        (lambda path: path.write_text(""), "differs from what was recorded"),
        (lambda path: path.write_text("lr: 1\n# more"), "differs from what was recorded"),
        (Path.unlink, "is missing"),
        (folder, "is a folder, but should be a file"),
        (fifo, "is not a regular file"),
    ],
    ids=["flip", "empty", "longer", "missing", "folder", "fifo"],
)
def test_differences_are_named(damage: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, {CONFIG: "lr: 1\n"})
    check_recorded(ledger, CONFIG)
    damage(tmp_path / CONFIG)
    with pytest.raises(CorruptRun) as caught:
        check_recorded(Ledger.load(tmp_path), CONFIG)
    (problem,) = caught.value.problems
    assert problem.where == str(tmp_path / CONFIG)
    assert said in problem.message
    assert problem.hint == "Copy the folder again, or train again."


def test_a_file_that_was_not_recorded_is_refused(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, {CONFIG: "lr: 1\n"})
    (tmp_path / "conf_dirs.txt").write_text("/tmp\n")
    with pytest.raises(CorruptRun, match=r"conf_dirs\.txt: was not recorded"):
        check_recorded(ledger, "conf_dirs.txt")


@pytest.mark.parametrize("change", ["edited", "added", "removed"])
def test_code_is_compared_as_a_whole(change: str, tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, {"code/net.py": "a = 1\n", "code/pack/parts.py": "b = 1\n"})
    check_code(ledger)
    if change == "edited":
        (tmp_path / "code" / "net.py").write_text("a = 2\n")
    elif change == "added":
        (tmp_path / "code" / "more.py").write_text("a = 2\n")
    else:
        shutil.rmtree(tmp_path / "code" / "pack")
    with pytest.raises(CorruptRun, match=r"code/(net|more|pack/parts)\.py"):
        check_code(ledger)


def test_a_run_that_was_recorded_without_digests_opens(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, {CONFIG: "lr: 1\n"})
    ledger.update(digests=None)
    (tmp_path / CONFIG).write_text("lr: 2\n")
    check_recorded(Ledger.load(tmp_path), CONFIG)
    replace_recorded(ledger, {CONFIG: "lr: 3\n"}, status="KILLED")
    again = Ledger.load(tmp_path)
    assert (again.digests, again.status) == (
        None,
        "KILLED",
    )  # no digests are added for files that were never checked


class Killed(BaseException):
    """Simulates kill -9: no handler of exceptions catches it."""


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a kill immediately before a write of the ledger or of a file."""
    left = iter(range(step))

    def write(path: Path, content: bytes | str, *, durable: bool = True) -> None:
        if next(left, None) is None:
            raise Killed
        atomic_write(path, content, durable=durable)

    monkeypatch.setattr("dlcli.tracking.digests.atomic_write", write)
    monkeypatch.setattr("dlcli.tracking.ledger.atomic_write", write)


@pytest.mark.parametrize("again", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("step", range(5))
def test_a_kill_between_any_two_writes_leaves_a_run_that_opens(
    step: int, again: int | None, tmp_path: Path
) -> None:
    """Killed, and killed again while repeating the replacement: old and new files are both accepted."""
    ledger_of(tmp_path, {CONFIG: "lr: 1\n", WORDS: "lr=1\n"})
    for number, kill in enumerate([step, *([] if again is None else [again])], start=2):
        new = {WORDS: f"lr={number}\n", CONFIG: f"lr: {number}\n"}
        with pytest.MonkeyPatch.context() as patch:
            killed_at(kill, patch)
            try:
                replace_recorded(Ledger.load(tmp_path), new)
            except Killed:
                pass
            else:
                assert kill == 4
        check_recorded(Ledger.load(tmp_path), CONFIG, WORDS)
    replace_recorded(Ledger.load(tmp_path), {WORDS: "lr=9\n", CONFIG: "lr: 9\n"})
    ledger = Ledger.load(tmp_path)
    assert ledger.digests == {
        name: [digests.digest((tmp_path / name).read_bytes())] for name in (CONFIG, WORDS)
    }
    (tmp_path / CONFIG).write_text("lr: 1\n")
    with pytest.raises(CorruptRun):  # former content is not accepted indefinitely
        check_recorded(ledger, CONFIG)


def test_a_history_may_grow_but_not_change(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, {})
    history = tmp_path / "metrics.jsonl"
    history.write_text('{"step": 0}\n')
    ledger.update(digests=results_of(tmp_path))
    with history.open("a") as file:
        file.write('{"step": 1}\n')
    check_recorded(ledger, "metrics.jsonl")
    history.write_text('{"step": 9}\n{"step": 1}\n')
    with pytest.raises(CorruptRun, match="differs from what was recorded"):
        check_recorded(ledger, "metrics.jsonl")


def test_results_have_no_digest_while_they_are_rewritten(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, {CONFIG: "lr: 1\n"})
    (tmp_path / "outputs.npz").write_bytes(b"1")
    ledger.update(digests={**ledger.digests, **results_of(tmp_path)})
    (tmp_path / "outputs.npz").write_bytes(b"2")
    with pytest.raises(CorruptRun):
        check_recorded(ledger, "outputs.npz")
    forget_results(ledger)
    check_recorded(Ledger.load(tmp_path), "outputs.npz", CONFIG)


@pytest.mark.parametrize("version", ["1", "2", "null", '"2"'])
def test_a_ledger_of_another_version_needs_its_digest_too(tmp_path: Path, version: str) -> None:
    ledger_of(tmp_path, {CONFIG: "lr: 1\n"})
    file = tmp_path / "ledger.json"
    text = file.read_text().replace('"schema_version": 2', f'"schema_version": {version}')
    file.write_text(text.replace('"run_name": "name"', '"run_name": "other"'))
    with pytest.raises(CorruptRun, match="the run's ledger was changed"):
        Ledger.load(tmp_path)
