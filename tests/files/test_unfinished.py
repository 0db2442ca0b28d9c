"""Temporary files of killed processes: the next write in their folder removes them, but not those of living ones."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from dlcli.files.unfinished import remove_abandoned, scratch_folder, unfinished
from dlcli.prediction.output import written_to
from dlcli.tracking.ledger import atomic_write


@contextmanager
def killed_later(work: object, *arguments: object) -> Iterator[None]:
    """A process that is within `work` during the context, and is killed at its end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with work(*arguments):  # type: ignore[operator]
            os.write(writing, b".")
            time.sleep(600)
        os._exit(1)
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    yield
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_predictions_that_were_killed_are_gone_with_the_next(tmp_path: Path) -> None:
    out, table = Path("out.csv"), pa.table({"row": [0]})
    with killed_later(written_to, out):
        (left,) = names()
        with written_to(out) as write:
            write(table)
        assert names() == [left, "out.csv"], "another process still writes it"
    assert names() == [left, "out.csv"]
    Path(".mine.csv.0123abcd.tmp").touch()
    with written_to(Path("other.csv")) as write:
        write(table)
    assert names() == [".mine.csv.0123abcd.tmp", "other.csv", "out.csv"]


def test_a_folder_that_was_killed_is_gone_with_the_next() -> None:
    with killed_later(lambda: unfinished(Path("net.pt2"), folder=True)):
        (left,) = names()
        Path(left, "weights").write_bytes(b"1")
    with unfinished(Path("net.pt2"), folder=True) as folder:
        assert names() == [folder.name]
    assert names() == []


def test_the_record_is_swept_by_whatever_is_written_next() -> None:
    with killed_later(unfinished, Path("config.yaml")):
        assert len(names()) == 1
    Path(".mine.tmp").touch()
    atomic_write(Path("ledger.json"), "{}")
    assert names() == [".mine.tmp", "ledger.json"]


@pytest.mark.parametrize("name", ["x" * 250 + ".csv", "é" * 120 + ".csv", "a b=,#%?.csv", "a\nb.csv"])
def test_files_may_have_any_name(name: str) -> None:
    atomic_write(Path(name), "1")
    with killed_later(unfinished, Path(name)):
        assert len(names()) == 2
    remove_abandoned(Path())
    assert names() == [name]


def test_a_scratch_folder_that_was_killed_is_gone_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with killed_later(scratch_folder):
        (left,) = names()
        Path(left, "config.yaml").write_text("a: 1")
        with scratch_folder() as folder:
            assert {left, folder.name} == set(names())
            assert folder.stat().st_mode & 0o777 == 0o700
    with scratch_folder() as folder:
        assert names() == [folder.name]
    assert names() == []


def test_an_error_leaves_nothing() -> None:
    with pytest.raises(ValueError, match="no"), unfinished(Path("a")) as place:
        place.write_text("1")
        raise ValueError("no")
    assert names() == []
