"""The seal of a run, which proves that its folder was written by this user.

`seal.json` contains a keyed digest (HMAC-SHA-256) of each file that names code. The key is outside of all run folders,
in the user's state folder (XDG_STATE_HOME, by default ~/.local/state), and readable by the user only. Therefore a
folder from elsewhere has no valid seal, wherever it is put. A folder of the user stays sealed when it is moved or
copied, and its seal becomes invalid when anyone else edits the files.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlcli.errors import CorruptRun
from dlcli.files.unfinished import unfinished
from dlcli.files.user_cache import state_folder
from dlcli.gate.documents import read_json
from dlcli.tracking.ledger import atomic_write

SEAL_FILE = "seal.json"
_KEY_BYTES = 32


def make_seal(files: Mapping[str, str | bytes]) -> dict[str, str]:
    """Return the seal of files (name to content) as a dict of file name to content; empty if no key can be created."""
    key = _key()
    if key is None:
        return {}
    nonce = secrets.token_hex(16)
    digests = {name: [_digest(key, nonce, name, content)] for name, content in files.items()}
    return {SEAL_FILE: json.dumps({"schema_version": 1, "nonce": nonce, "files": digests}, indent=1)}


def is_sealed(folder: Path, name: str, content: str | bytes) -> bool:
    """Return whether the seal of a folder is valid for a file with this content."""
    return _holds(_read(folder), name, content)


def seal_change(folder: Path, name: str, before: str | bytes, after: str | bytes) -> None:
    """Extend the seal to a file's new content, if it is valid for the present one.

    Call this before writing the file: after a kill in between, either content is sealed.
    """
    seal, key = _read(folder), _key()
    if key is None or not _holds(seal, name, before):
        return
    nonce, files = seal["nonce"], seal["files"]
    files[name] = [_digest(key, nonce, name, before), _digest(key, nonce, name, after)]
    atomic_write(folder / SEAL_FILE, json.dumps(seal, indent=1))


def keyed_digest(text: str) -> str | None:
    """Return the keyed digest of a text other than a run's file; None if no key can be created."""
    key = _key()
    return None if key is None else _digest(key, "", "", text)


def is_ours(text: str, given: object) -> bool:
    """Return whether a text was signed by this user."""
    key = _key(make=False)
    if key is None or not isinstance(given, str):
        return False
    return hmac.compare_digest(given.encode(), _digest(key, "", "", text).encode())


def _holds(seal: Mapping[str, Any], name: str, content: str | bytes) -> bool:
    key = _key(make=False)
    if key is None:
        return False
    nonce, files = seal.get("nonce"), seal.get("files")
    digests = files.get(name) if isinstance(files, dict) else None
    if not isinstance(nonce, str) or not isinstance(digests, list):
        return False
    expected = _digest(key, nonce, name, content).encode()
    return any(
        isinstance(digest, str) and hmac.compare_digest(digest.encode(), expected) for digest in digests
    )


def _read(folder: Path) -> dict[str, Any]:

    try:
        return read_json(folder / SEAL_FILE, "the seal")
    except CorruptRun:  # an unreadable seal counts as none
        return {}


def _digest(key: bytes, nonce: str, name: str, content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    message = b"\0".join([nonce.encode(), name.encode(), hashlib.sha256(data).digest()])
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def key_file() -> Path:
    """Return the path of the user's key."""
    return state_folder() / "key"


def _key(*, make: bool = True) -> bytes | None:
    """Return the user's key, created if necessary and allowed; None if it cannot be read or created."""
    file = key_file()
    try:
        if make and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make_key(file)
        key = file.read_bytes()
    except (OSError, RuntimeError):  # there is no home folder, or it is not writable
        return None
    return key if len(key) == _KEY_BYTES else None


def _make_key(file: Path) -> None:
    """Create the key, unless another process has just done so."""
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        if not file.exists():
            with unfinished(file) as fresh:
                fresh.chmod(0o600)
                fresh.write_bytes(secrets.token_bytes(_KEY_BYTES))
                fresh.replace(file)
    finally:
        os.close(folder)
