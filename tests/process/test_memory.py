"""Freed memory that a training process keeps."""

from __future__ import annotations

import os
from typing import Any

import pytest

from dlcli.process import memory
from dlcli.process.memory import keep_freed_memory


@pytest.fixture(name="set_values")
def _set_values(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """What the C library is asked for."""
    asked: dict[int, int] = {}

    class Library:
        def __init__(self, _: None) -> None:
            self.mallopt = asked.__setitem__

    monkeypatch.setattr(memory.ctypes, "CDLL", Library)
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)
    return asked


def test_up_to_256_mb_are_kept_and_larger_tensors_are_returned(set_values: dict[int, int]) -> None:
    keep_freed_memory()
    assert set_values == {-1: 256 << 20, -3: 32 << 20}


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_the_users_settings_win(
    name: str, set_values: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    keep_freed_memory()
    assert not set_values


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def library(name: Any) -> object:
        opened.append(name)
        return object()

    monkeypatch.setattr(memory.ctypes, "CDLL", library)
    monkeypatch.setattr(memory.os, "environ", {})
    keep_freed_memory()
    assert opened == [None]
