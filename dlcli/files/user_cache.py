"""A cache of files in the user's state folder, for results that depend on the user's installation only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dlcli.files.regular import read_regular
from dlcli.files.unfinished import unfinished

_MAX_BYTES = 64 << 20


def state_folder() -> Path:
    """Return dlcli's folder below XDG_STATE_HOME, by default `~/.local/state`.

    Raises:
        RuntimeError: The user has no home folder.
    """
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "dlcli"


def read_cached(name: str) -> bytes | None:
    """Return the cached content of a name; None if there is none, or if its file is damaged."""
    with suppress(OSError, RuntimeError):
        for file in state_folder().glob(f"{name}-*"):
            content = read_regular(file, _MAX_BYTES)
            if file.name == _file_name(name, content):
                return content
    return None


def cached(name: str, make: Callable[[], bytes]) -> bytes:
    """Return the cached content of a name; if there is none, compute it by `make` and cache it."""
    found = read_cached(name)
    if found is not None:
        return found
    content = make()
    # If it cannot be cached (full disk, no home folder), it is computed again next time.
    with suppress(OSError, RuntimeError):
        folder = state_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for damaged in folder.glob(f"{name}-*"):
            damaged.unlink()
        target = folder / _file_name(name, content)
        with unfinished(target) as partial:
            partial.write_bytes(content)
            partial.replace(target)
    return content


def _file_name(name: str, content: bytes) -> str:
    return f"{name}-{hashlib.sha256(content).hexdigest()}"
