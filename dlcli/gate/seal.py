"""The seal of a run: a proof that this user has written what its folder says.

`seal.json` holds a keyed digest (HMAC-SHA-256) of each file that names code. The key lies outside all folders, in the
user's state folder (XDG_STATE_HOME, by default ~/.local/state), and is readable by nobody else. So a folder that comes
from elsewhere has no seal that holds, wherever it is put; one of the user's own keeps its seal when it is moved or
copied, and loses it when somebody else edits what it says.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SEAL_FILE = "seal.json"
_KEY_BYTES = 32


def make_seal(files: Mapping[str, str | bytes]) -> dict[str, str]:
    """The seal of files (name to content) as a file by its name; none where no key can be had."""
    key = _key()
    if key is None:
        return {}
    nonce = secrets.token_hex(16)
    digests = {name: [_digest(key, nonce, name, content)] for name, content in files.items()}
    return {SEAL_FILE: json.dumps({"schema_version": 1, "nonce": nonce, "files": digests}, indent=1)}


def is_sealed(folder: Path, name: str, content: str | bytes) -> bool:
    """Whether the seal of a folder holds for a file with this content."""
    return _holds(_read(folder), name, content)


def seal_change(folder: Path, name: str, before: str | bytes, after: str | bytes) -> None:
    """Let the seal hold for a new content of a file, too, if it holds for the present one.

    Called before the file is written: a kill in between leaves the one or the other, both sealed.
    """
    from dlcli.tracking.ledger import atomic_write

    seal, key = _read(folder), _key()
    if key is None or not _holds(seal, name, before):
        return
    nonce, files = seal["nonce"], seal["files"]
    files[name] = [_digest(key, nonce, name, before), _digest(key, nonce, name, after)]
    atomic_write(folder / SEAL_FILE, json.dumps(seal, indent=1))


def _holds(seal: Mapping[str, Any], name: str, content: str | bytes) -> bool:
    key = _key(make=False)
    if key is None:
        return False
    nonce, files = seal.get("nonce"), seal.get("files")
    there = files.get(name) if isinstance(files, dict) else None
    if not isinstance(nonce, str) or not isinstance(there, list):
        return False
    wanted = _digest(key, nonce, name, content)
    return any(isinstance(one, str) and hmac.compare_digest(one.encode(), wanted.encode()) for one in there)


def _read(folder: Path) -> dict[str, Any]:
    from dlcli.errors import CorruptRun
    from dlcli.gate.documents import read_json

    try:
        return read_json(folder / SEAL_FILE, "the seal")
    except CorruptRun:  # as if there were none
        return {}


def _digest(key: bytes, nonce: str, name: str, content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    said = b"\0".join([nonce.encode(), name.encode(), hashlib.sha256(data).digest()])
    return hmac.new(key, said, hashlib.sha256).hexdigest()


def key_file() -> Path:
    """Where the user's key lies."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "dlcli" / "key"


def _key(*, make: bool = True) -> bytes | None:
    """The user's key; made where there is none yet. None where it cannot be had."""
    file = key_file()
    try:
        if make and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = file.with_name(f".key.{secrets.token_hex(4)}")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:  # noqa: PTH123
                opened.write(secrets.token_bytes(_KEY_BYTES))
            try:
                os.link(fresh, file)  # the first one to come stays
            except OSError:
                if not file.exists():  # a file system without links
                    fresh.replace(file)
            finally:
                fresh.unlink(missing_ok=True)
        key = file.read_bytes()
    except (OSError, RuntimeError):  # no home, or one that cannot be written
        return None
    return key if len(key) == _KEY_BYTES else None
