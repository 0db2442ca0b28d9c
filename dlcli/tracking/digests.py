"""Digests: what was recorded is what is loaded.

The ledger has the SHA-256 of every file in a run's folder that later commands rely on, and a file is compared with it
before it is read. A file that is about to be replaced has two for a moment: the new one is written down before the
file is, and the old one is taken away after. Whatever a kill leaves behind, the file is one of those.

Digests notice accidents and edits. They are no signature: who can write the ledger can write the digests in it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dlcli.errors import CorruptRun
from dlcli.tracking.history import HISTORY_FILE
from dlcli.tracking.ledger import Ledger, atomic_write

# Below a folder's path: the digests that are accepted for it, of which a kill may leave more than one.
Accepted = Mapping[str, list[str]]

ANEW = "Copy the folder anew, or train again."
UNCHECKED = (
    "The run was recorded without digests, by an earlier dlcli: nothing tells whether its files have changed."
)

# What a run leaves when it ends, beside its figures. What it began with has digests from the start.
MODEL_MANIFEST = "model/digests.json"
PREDICTIONS_FILE = "predictions.parquet"
OUTPUTS_FILE = "outputs.npz"
WINNER_FILE = "winner.yaml"
_RESULTS = (MODEL_MANIFEST, PREDICTIONS_FILE, OUTPUTS_FILE, WINNER_FILE, HISTORY_FILE)


def digest(content: bytes | str) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def digest_of_file(path: Path, hint: str = ANEW, size: int | None = None) -> str:
    """The SHA-256 of a file, or of its first `size` bytes.

    Raises:
        CorruptRun: there is no such file, or it cannot be read.
    """
    try:
        with _open_regular(path) as file:
            return _hexdigest(file, size)
    except OSError as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else _reason(error)
        raise CorruptRun(what, str(path), hint) from error


def check_file(path: Path, accepted: list[str], hint: str = ANEW) -> None:
    """Compare a file with the digests that are accepted for it: `SHA256`, or `SIZE:SHA256` of its first bytes.

    Raises:
        CorruptRun: it is none of them, is missing, or cannot be read.
    """
    found: dict[str, str] = {}
    for one in accepted:
        size, _, wanted = one.rpartition(":")
        if size not in found:
            found[size] = digest_of_file(path, hint, int(size) if size else None)
        if found[size] == wanted:
            return
    raise CorruptRun("is not what was recorded: its SHA-256 differs", str(path), hint)


def replace_files(
    folder: Path,
    files: Mapping[str, bytes | str | Path],
    accepted: Accepted,
    write: Callable[[dict[str, list[str]]], None],
    known: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, list[str]]:
    """Replace files, in this order; a path is moved to its name. Returns what is accepted from now on.

    `write` puts what is accepted meanwhile on the disk: the files as they were, and as they are to be.

    `known` are digests of new files that need not be computed.

    A kill at any moment leaves files that are accepted, each as it was or as it is to be.
    """
    new = {
        name: known.get(name) or (digest_of_file(content) if isinstance(content, Path) else digest(content))
        for name, content in files.items()
    }
    write({**accepted, **{name: list(dict.fromkeys([*accepted.get(name, ()), new[name]])) for name in new}})
    for name, content in files.items():
        if isinstance(content, Path):
            content.replace(folder / name)
        else:
            atomic_write(folder / name, content)
    return {**accepted, **{name: [new[name]] for name in new}}


def replace_recorded(ledger: Ledger, files: Mapping[str, bytes | str], **changes: Any) -> None:
    """Replace files of a run, and set fields of its ledger before; nobody else may record the run meanwhile."""
    if ledger.digests is None:  # to begin now would vouch for files that nothing was known of
        ledger.update(**changes)
        for name, content in files.items():
            atomic_write(ledger.run_dir / name, content)
        return

    def write(digests: dict[str, list[str]]) -> None:
        ledger.update(digests=digests, **changes)

    write(replace_files(ledger.run_dir, files, ledger.digests, write))


def check_recorded(ledger: Ledger, *names: str, hint: str = ANEW) -> None:
    """Compare files of a run with what its ledger has of them. Results that nobody has finished yet have no digest.

    Raises:
        CorruptRun: a file differs, is missing, cannot be read, or was not there when the run was made.
    """
    for name in names:
        path = ledger.run_dir / name
        if ledger.digests is None:
            continue
        if name in ledger.digests:
            check_file(path, ledger.digests[name], hint)
        elif name not in _RESULTS and os.path.lexists(path):
            raise CorruptRun("is not a file that was recorded with the run", str(path), f"Remove it. {hint}")


def check_code(ledger: Ledger) -> None:
    """Compare the user's own code, as the run keeps it; a file too many or too few is a difference as well.

    Raises:
        CorruptRun: there is one.
    """
    code = ledger.run_dir / "code"
    there = {path.relative_to(ledger.run_dir).as_posix() for path in code.rglob("*.py")}
    check_recorded(
        ledger, *sorted(there | {name for name in ledger.digests or () if name.startswith("code/")})
    )


def results_of(run_dir: Path) -> dict[str, list[str]]:
    """Digests of what a run has left; of its history, to which lines may yet be added, as far as it goes."""
    found = {}
    for name in _RESULTS:
        path = run_dir / name
        if path.is_file():
            size = f"{path.stat().st_size}" if name == HISTORY_FILE else ""
            found[name] = [f"{size}:" * bool(size) + digest_of_file(path, size=int(size) if size else None)]
    return found


def forget_results(ledger: Ledger) -> None:
    """A run that has ended before is about to write its results anew: until it ends again they have no digest."""
    kept = {name: accepted for name, accepted in (ledger.digests or {}).items() if name not in _RESULTS}
    if ledger.digests is not None and kept != ledger.digests:
        ledger.update(digests=kept)


def _open_regular(path: Path) -> BufferedReader:
    """Open a file, unless it is a folder, or something that might never end."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(None, "is a folder, and should be a file", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(None, "is no regular file", str(path))
    return path.open("rb")


def _reason(error: OSError) -> str:
    if error.errno is None:
        return str(error.strerror)
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


def _hexdigest(file: BufferedReader, size: int | None) -> str:
    if size is None:
        return hashlib.file_digest(file, "sha256").hexdigest()
    found, left = hashlib.sha256(), size
    while left and (piece := file.read(min(left, 1 << 20))):
        found.update(piece)
        left -= len(piece)
    return found.hexdigest()
