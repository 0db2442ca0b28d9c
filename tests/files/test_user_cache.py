"""The per-user cache of dlcli."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlcli.files.user_cache import cached, read_cached, state_folder


def counted(content: bytes) -> tuple[Callable[[], bytes], list[bytes]]:
    made: list[bytes] = []

    def make() -> bytes:
        made.append(content)
        return content

    return make, made


def test_a_file_is_made_once_and_again_if_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    make, made = counted(b"content")
    assert read_cached("some") is None
    assert [cached("some", make) for _ in range(3)] == [b"content"] * 3
    assert len(made) == 1
    (file,) = state_folder().glob("some-*")
    file.write_bytes(b"damaged")
    assert read_cached("some") is None
    assert cached("some", make) == b"content"
    assert len(made) == 2
    assert [found.read_bytes() for found in state_folder().iterdir()] == [b"content"]


def test_a_user_without_a_home_folder_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    make, made = counted(b"content")
    assert [cached("some", make) for _ in range(2)] == [b"content"] * 2
    assert len(made) == 2


def test_a_folder_that_cannot_be_made_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    make, made = counted(b"content")
    assert [cached("some", make) for _ in range(2)] == [b"content"] * 2
    assert len(made) == 2
