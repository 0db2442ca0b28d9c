"""Digests of a run's files, by which changes since the recording are detected before a file is read.

    The ledger contains the SHA-256 of every file in a run's folder that later commands read. While a file is being
replaced, two digests are accepted: the new one is recorded before the file is written, and the old one is removed
afterwards. The file is therefore accepted after a kill at any moment.

Digests detect accidents and edits. They are not a signature: anyone with write access to the ledger can change them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dlcli.errors import CorruptRun
from dlcli.files.regular import open_regular, os_reason
from dlcli.tracking.history import HISTORY_FILE
from dlcli.tracking.ledger import Ledger, atomic_write, write_new

# Name of a file in a folder to its accepted digests; after a kill there may be several.
Accepted = Mapping[str, list[str]]

# The hint for a file that differs, or a function that returns it.
Hint = str | Callable[[], str]

ANEW = "Copy the folder again, or train again."
UNCHECKED = (
    "The run was recorded without digests, by an earlier dlcli: changes to its files cannot be detected."
)

# Files that a run writes until its end. Files that exist at its start have digests from the beginning.
MODEL_MANIFEST = "model/digests.json"
PREDICTIONS_FILE = "predictions.parquet"
OUTPUTS_FILE = "outputs.npz"
WINNER_FILE = "winner.yaml"
_RESULTS = (MODEL_MANIFEST, PREDICTIONS_FILE, OUTPUTS_FILE, WINNER_FILE, HISTORY_FILE)


def digest(content: bytes | str) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def digest_of_file(path: Path, hint: Hint = ANEW, size: int | None = None) -> str:
    """Return the SHA-256 of a file, or of its first `size` bytes.

    Raises:
        CorruptRun: The file is missing or cannot be read.
    """
    try:
        with open_regular(path) as file:
            return _hexdigest(file, size)
    except OSError as error:
        raise CorruptRun(os_reason(error), str(path), _text(hint)) from error


def check_file(path: Path, accepted: list[str], hint: Hint = ANEW, recorded_in: str = "") -> None:
    """Compare a file with its accepted digests: `SHA256`, or `SIZE:SHA256` of its first bytes.

    `recorded_in` is the file that contains the digests, which may be the damaged one.

    Raises:
        CorruptRun: The file has none of these digests, is missing, or cannot be read.
    """
    found: dict[str, str] = {}
    for one in accepted:
        size, _, wanted = one.rpartition(":")
        if size not in found:
            found[size] = digest_of_file(path, hint, int(size) if size else None)
        if found[size] == wanted:
            return
    where = f" in {recorded_in}" if recorded_in else ""
    raise CorruptRun(f"differs from what was recorded{where}: SHA-256 mismatch", str(path), _text(hint))


def _text(hint: Hint) -> str:
    return hint if isinstance(hint, str) else hint()


def replace_files(
    folder: Path,
    files: Mapping[str, bytes | str | Path],
    accepted: Accepted,
    write: Callable[[dict[str, list[str]]], None],
    known: Mapping[str, str] = MappingProxyType({}),
    *,
    durable: bool = True,
) -> dict[str, list[str]]:
    """Replace files in this order, such that all of them are accepted after a kill at any moment.

    Args:
        folder: folder of the files.
        files: name to content, or to the path of a file that is moved to this name.
        accepted: digests that are accepted so far.
        write: records the digests that are accepted during the replacement, both old and new.
        known: digests of new files that are known already.
        durable: whether each file is synchronised with the disk, as by `atomic_write`.

    Returns:
        The digests that are accepted from now on.
    """
    new = {
        name: known.get(name) or (digest_of_file(content) if isinstance(content, Path) else digest(content))
        for name, content in files.items()
    }
    write({**accepted, **{name: list(dict.fromkeys([*accepted.get(name, ()), new[name]])) for name in new}})
    for name, content in files.items():
        if isinstance(content, Path):
            content.replace(folder / name)
        elif durable or name in accepted:
            atomic_write(folder / name, content, durable=durable)
        else:  # if a kill leaves it incomplete, its digest tells
            write_new(folder / name, content)
    return {**accepted, **{name: [new[name]] for name in new}}


def replace_recorded(ledger: Ledger, files: Mapping[str, bytes | str], **changes: Any) -> None:
    """Set fields of a run's ledger and replace files. The caller ensures that no other process records the run."""
    if ledger.digests is None:  # new digests would certify files that were never checked
        ledger.update(**changes)
        for name, content in files.items():
            atomic_write(ledger.run_dir / name, content)
        return

    def write(digests: dict[str, list[str]]) -> None:
        ledger.update(digests=digests, **changes)

    write(replace_files(ledger.run_dir, files, ledger.digests, write))


def check_recorded(ledger: Ledger, *names: str, hint: Hint = ANEW) -> None:
    """Compare files of a run with the digests in its ledger. Results of an unfinished run have no digests yet.

    Raises:
        CorruptRun: A file differs, is missing, cannot be read, or was not recorded with the run.
    """
    for name in names:
        path = ledger.run_dir / name
        if ledger.digests is None:
            continue
        if name in ledger.digests:
            check_file(path, ledger.digests[name], hint)
        elif name not in _RESULTS and os.path.lexists(path):
            raise CorruptRun("was not recorded with the run", str(path), f"Remove it. {_text(hint)}")


def check_code(ledger: Ledger) -> None:
    """Compare the copy of user code in a run's folder with what was recorded.

    Raises:
        CorruptRun: A file differs, is missing, or was added.
    """
    code = ledger.run_dir / "code"
    present = {path.relative_to(ledger.run_dir).as_posix() for path in code.rglob("*.py")}
    check_recorded(
        ledger, *sorted(present | {name for name in ledger.digests or () if name.startswith("code/")})
    )


def results_of(run_dir: Path) -> dict[str, list[str]]:
    """Return the digests of a run's results; that of the history covers its current size, since it may grow."""
    found = {}
    for name in _RESULTS:
        path = run_dir / name
        if path.is_file():
            size = f"{path.stat().st_size}" if name == HISTORY_FILE else ""
            found[name] = [f"{size}:" * bool(size) + digest_of_file(path, size=int(size) if size else None)]
    return found


def forget_results(ledger: Ledger) -> None:
    """Remove the digests of a run's results, which the resumed run is about to write again."""
    kept = {name: accepted for name, accepted in (ledger.digests or {}).items() if name not in _RESULTS}
    if ledger.digests is not None and kept != ledger.digests:
        ledger.update(digests=kept)


def _hexdigest(file: BufferedReader, size: int | None) -> str:
    if size is None:
        return hashlib.file_digest(file, "sha256").hexdigest()
    found, remaining = hashlib.sha256(), size
    while remaining and (piece := file.read(min(remaining, 1 << 20))):
        found.update(piece)
        remaining -= len(piece)
    return found.hexdigest()
