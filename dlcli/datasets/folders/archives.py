"""Files of a .tar or .zip archive, read without unpacking it."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from dlcli.datasets.folders.stored import DEFLATED, STORED, FileEntry, ZipEntry
from dlcli.datasets.folders.tree import Tree, is_hidden
from dlcli.datasets.tables.read_table import is_table
from dlcli.errors import DataError, first_line
from dlcli.files.damaged_archives import DAMAGED_ZIP
from dlcli.files.paths import is_file

# Maximum compression ratio of deflate; a member that claims a higher one is damaged or malicious.
_MOST_DEFLATED = 1040
_ENCRYPTED = 0x1


def is_archive(file: Path) -> bool:
    """Return whether a file has the suffix of an archive, and is not a table compressed as .zip."""
    ending = file.suffix.lower()
    if ending != ".zip" or not is_file(file):
        return ending == ".tar"
    try:
        with zipfile.ZipFile(file) as archive:
            names = [member.filename for member in archive.infolist() if not member.is_dir()]
    except (ValueError, *DAMAGED_ZIP):
        return True  # reading it raises the error
    visible = [name for name in names if not any(map(is_hidden, PurePosixPath(name).parts))]
    return len(visible) != 1 or not is_table(Path(PurePosixPath(visible[0]).name))


def tree_of_archive(file: Path) -> Tree:
    """Return the files of an archive, by the same rules as those of a folder.

    Raises:
        DataError: it is not an archive, or cannot be read without unpacking.
    """
    if _is_tar(file):
        tree = _of_tar(file)
    elif zipfile.is_zipfile(file):
        tree = _of_zip(file)
    else:
        raise DataError(
            "is neither a folder nor a .tar or .zip file", str(file), "Unpack it, and give the folder."
        )
    tree.folders |= {
        folder.parts for entry in tree.files for folder in PurePosixPath(entry.name).parents if folder.parts
    }
    tree.sort()
    return tree


def _is_tar(file: Path) -> bool:
    """Return whether a file is a tar archive; `tarfile` raises an error for compressed data without an end."""
    try:
        return tarfile.is_tarfile(file)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return False


def _of_tar(file: Path) -> Tree:
    try:
        with tarfile.open(file, "r:") as tar:  # an uncompressed archive, whose members can be read at random
            members = tar.getmembers()
    except tarfile.TarError as error:
        raise DataError(
            "a compressed archive cannot be read without unpacking",
            str(file),
            f"Unpack it: tar xf {file.name}",
        ) from error
    tree = Tree(file)
    end = file.stat().st_size  # a header may claim more bytes than the file has
    for member in members:
        name = PurePosixPath(member.name)
        if member.isdir():
            if not any(map(is_hidden, name.parts)):
                tree.folders.add(name.parts)
        elif any(map(is_hidden, name.parts)):
            tree.hidden.append(str(name))
        elif member.issym() or member.islnk():
            tree.repeated.append(str(name))
        elif member.isfile():
            size = max(0, min(member.size, end - member.offset_data))
            tree.files.append(FileEntry(str(name), str(file), member.offset_data, size))
    return tree


def _of_zip(file: Path) -> Tree:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (ValueError, *DAMAGED_ZIP) as error:
        raise DataError(f"is a damaged archive: {first_line(error)}", str(file), "Copy it again.") from error
    tree = Tree(file)
    for member in members:
        name = PurePosixPath(member.filename)
        if any(map(is_hidden, name.parts)):
            if not member.is_dir():
                tree.hidden.append(str(name))
        elif member.is_dir():
            tree.folders.add(name.parts)
        elif stat.S_ISLNK(member.external_attr >> 16):
            tree.repeated.append(str(name))
        else:
            _check_member(file, member)
            tree.files.append(
                ZipEntry(
                    str(name),
                    str(file),
                    member.header_offset,
                    member.compress_size,
                    member.file_size,
                    member.compress_type,
                    member.CRC,
                )
            )
    return tree


def _check_member(file: Path, member: zipfile.ZipInfo) -> None:
    where = f"{file}: {member.filename}"
    if member.flag_bits & _ENCRYPTED:
        raise DataError("needs a password", where, "Unpack the archive, and give the folder.")
    if member.compress_type not in (STORED, DEFLATED):
        raise DataError(
            "is compressed by a method that cannot be read without unpacking",
            where,
            "Unpack the archive, and give the folder.",
        )
    if member.file_size > _MOST_DEFLATED * max(1, member.compress_size):
        raise DataError("claims more bytes than the archive can hold", where, "Copy the archive again.")
