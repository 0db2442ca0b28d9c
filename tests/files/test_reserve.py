import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlcli.files import reserve
from dlcli.files.reserve import Reserve, free_spare


@pytest.fixture(autouse=True)
def no_spare() -> Iterator[None]:
    free_spare()
    yield
    free_spare()


def open_files() -> set[str]:
    found = list(Path("/proc/self/fd").iterdir())  # that of the folder itself does not exist any more
    return {place.name for place in found if os.path.lexists(place)}


def test_the_space_has_no_name_and_is_freed(tmp_path: Path) -> None:
    before = open_files()
    with Reserve(tmp_path):
        (held,) = open_files() - before
        found = os.fstat(int(held))
        assert found.st_nlink == 0
        assert found.st_size >= 512 * 1024 <= found.st_blocks * 512
        assert not list(tmp_path.iterdir())
    assert open_files() == before


def test_the_next_run_takes_over_the_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Reserve(tmp_path)
    first.hand_on()
    first.release()  # it has none left
    before = open_files()
    second = Reserve(tmp_path)
    assert open_files() == before
    third = Reserve(tmp_path)
    assert len(open_files()) == len(before) + 1
    second.hand_on()
    third.hand_on()  # one is enough
    assert open_files() == before
    monkeypatch.setattr(reserve.os, "getpid", lambda: -1)  # a fork cannot free the space of its parent
    with Reserve(tmp_path):
        assert len(open_files()) == len(before)
    assert len(open_files()) == len(before) - 1
