"""Archives of runs, `dlcli runs export` and `import`: a ZIP file of run folders, and the digests of all its files."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dlcli.errors import InputError
from dlcli.files.damaged_archives import DAMAGED_ZIP
from dlcli.files.disk import free_space, write_errors
from dlcli.files.paths import display, kind_at
from dlcli.files.regular import open_regular, os_reason
from dlcli.files.unfinished import unfinished
from dlcli.formatting import amount, counted
from dlcli.runs.arrival import check_files
from dlcli.runs.inventory import ListedRun
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.places import folder_name, is_run_id

MANIFEST = "dlcli-runs.json"
SCHEMA_VERSION = 1

_COPY = "Ask for the archive again. Nothing was unpacked."
_PIECE = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# Limits on archives from elsewhere. Weights and plots hardly compress, so an archive of runs does not expand more.
_MEMBERS = 1_000_000
_MANIFEST_BYTES = 256 << 20
# Times the size of the archive; below this size in bytes, any growth is allowed.
_GROWTH, _SMALL = (
    100,
    1 << 30,
)
_DEPTH, _NAME = 30, 255


def write_archive(
    runs: Sequence[ListedRun], target: Path, *, checkpoints: bool = True
) -> tuple[int, list[str]]:
    """Write whole runs into an archive, which appears when it is complete.

    Args:
        runs: whole runs.
        target: the archive; must not exist.
        checkpoints: whether the states for resuming are included.

    Returns:
        The size of the archive, and lines for the user.

    Raises:
        CorruptRun: A file of a run differs from what was recorded.
        InputError: A run has not ended, or the archive cannot be written.
    """
    if kind_at(target) != "nothing":
        raise InputError("exists already", display(target), "Give another name, or remove it.")
    links = 0
    digests: dict[str, list[Any]] = {}
    with write_errors(target.parent, "the archive", "write it elsewhere"), unfinished(target) as temporary:
        with zipfile.ZipFile(
            temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=3, strict_timestamps=False
        ) as archive:
            for part in (part for run in runs for part in run.all()):
                ledger = Ledger.load(part.folder)
                if part.status in ("RUNNING", "SCHEDULED"):
                    raise InputError(f"the run is {part.status}", part.name, "Export it when it has ended.")
                if not ledger.is_in_place:
                    raise InputError("is not the folder of its run", str(part.folder), "Give the original.")
                check_files(ledger)
                base = f"{folder_name(ledger.experiment)}/{ledger.run_id}/artifacts"
                for file in _files(part.folder):
                    name = file.relative_to(part.folder).as_posix()
                    if file.is_symlink():
                        links += 1
                    elif checkpoints or not name.startswith("checkpoints/"):
                        digests[f"{base}/{name}"] = _add(archive, file, f"{base}/{name}")
            about = {"schema_version": SCHEMA_VERSION, "files": digests}
            archive.writestr(MANIFEST, json.dumps(about, indent=0))
        temporary.replace(target)
    notes = [f"{counted(links, 'link')} left out: an archive holds files only."] if links else []
    return target.stat().st_size, notes


def unpack_archive(file: Path, folder: Path) -> None:
    """Unpack an archive from elsewhere into an empty folder, as EXPERIMENT/RUN_ID/artifacts.

    Raises:
        InputError: It is not an archive of runs, has members outside of run folders, expands too much, or is damaged.
    """
    with _opened(file) as archive:
        digests = _manifest(archive, file)
        # Other programs add entries for folders to an archive. They are ignored: folders are created for the files.
        files = (each for each in archive.infolist() if not (each.is_dir() and each.file_size == 0))
        members = [member for member in files if member.filename != MANIFEST]
        _check(members, digests, file, folder)
        for member in members:
            target = folder / member.filename
            with write_errors(target), archive.open(member) as source:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as copy:
                    found = _copied(source, copy, member.file_size)
            if [member.file_size, found] != digests[member.filename]:
                raise InputError(f"{member.filename} differs from its digest", display(file), _COPY)


def copy_runs(runs: Sequence[ListedRun], folder: Path) -> None:
    """Copy whole runs into an empty folder, as EXPERIMENT/RUN_ID/artifacts; links are left out."""
    for part in (part for run in runs for part in run.all()):
        ledger = Ledger.load(part.folder)
        there = folder / folder_name(ledger.experiment) / ledger.run_id / "artifacts"
        there.mkdir(parents=True)
        for file in _files(part.folder):
            if not file.is_symlink():
                target = there / file.relative_to(part.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                with write_errors(target.parent), open_regular(file) as source, target.open("xb") as copy:
                    shutil.copyfileobj(source, copy, _PIECE)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files and links below a folder, except hidden ones, which are temporary files of a process."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path


def _add(archive: zipfile.ZipFile, file: Path, name: str) -> list[Any]:
    """Add a file, and return its size and digest."""
    # Given a name, zipfile uses the archive's compression; a ZipInfo would have its own.
    with open_regular(file) as source, archive.open(name, "w", force_zip64=True) as copy:
        return [file.stat().st_size, _copied(source, copy, file.stat().st_size)]


def _copied(source: IO[bytes], copy: IO[bytes], size: int) -> str:
    """Copy at most `size` bytes, and return their digest."""
    found, left = hashlib.sha256(), size
    while left and (piece := source.read(min(left, _PIECE))):
        copy.write(piece)
        found.update(piece)
        left -= len(piece)
    return found.hexdigest()


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with open_regular(file) as opened, zipfile.ZipFile(opened) as archive:
            if any(member.compress_type not in _METHODS for member in archive.infolist()):
                raise zipfile.BadZipFile("its files are compressed by another method than Deflate")
            yield archive
    except OSError as error:  # errors of writing have been translated
        raise InputError(os_reason(error), display(file), "Give the path of an archive.") from error
    except (ValueError, OverflowError, *DAMAGED_ZIP) as error:
        raise InputError(f"cannot be unpacked: {error}", display(file), _COPY) from error


def _manifest(archive: zipfile.ZipFile, file: Path) -> dict[str, list[Any]]:
    wrong = InputError("is not an archive of dlcli runs export", display(file), _COPY)
    try:
        about = archive.getinfo(MANIFEST)
        if about.file_size > _MANIFEST_BYTES:
            raise wrong
        with archive.open(about) as source:
            document = json.loads(source.read(_MANIFEST_BYTES))
        version, files = document["schema_version"], document["files"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise wrong from error
    if not isinstance(version, int) or not isinstance(files, dict):
        raise wrong
    if version > SCHEMA_VERSION:
        raise InputError("was written by a newer dlcli", display(file), "Install a newer version of dlcli.")
    return files


def _check(
    members: Sequence[zipfile.ZipInfo], digests: dict[str, list[Any]], file: Path, folder: Path
) -> None:
    """Check all names and sizes before anything is written."""
    if len(members) > _MEMBERS:
        raise InputError(f"has {len(members):,} files", display(file), _COPY)
    names: set[str] = set()
    for member in members:
        name = member.filename
        mode = member.external_attr >> 16
        if not _is_place(name) or name in names or (mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
            raise InputError(f"names a place that is not a file of a run: {name!r}", display(file), _COPY)
        if member.flag_bits & 1:
            raise InputError(
                "is encrypted", display(file), "Unpack it, and pack it again without a password."
            )
        names.add(name)
    if missing := names ^ set(digests):
        raise InputError(f"its list of files does not match: {sorted(missing)[0]!r}", display(file), _COPY)
    size, packed = sum(member.file_size for member in members), file.stat().st_size
    if size > _SMALL and size > _GROWTH * packed:
        what = f"would grow from {amount(packed)} to {amount(size)}, which is too much for a record of runs"
        raise InputError(what, display(file), _COPY)
    if size > (free := free_space(folder)):
        raise InputError(f"needs {amount(size)}, {amount(free)} are free", display(file), "Free some space.")


def _is_place(name: str) -> bool:
    """Return whether a name is that of a file in a run's folder: EXPERIMENT/RUN_ID/artifacts/..."""
    parts = name.split("/")
    if len(parts) < 4 or len(parts) > _DEPTH or parts[2] != "artifacts" or not is_run_id(parts[1]):
        return False
    return all(
        part
        and not part.startswith(".")
        and len(part.encode()) <= _NAME
        and part.isprintable()
        and "\\" not in part
        for part in parts
    )
