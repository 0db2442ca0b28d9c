"""Find the files of new rows: files themselves, folders, archives or tables of paths."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from dlcli.config.pasted import pasted
from dlcli.datasets.folders.archives import is_archive
from dlcli.datasets.folders.class_folders import list_files
from dlcli.datasets.folders.stored import FileEntry, Stored
from dlcli.datasets.images.image_paths import PathFinder
from dlcli.datasets.images.path_tables import image_entries, read_paths
from dlcli.datasets.notices import Notice
from dlcli.datasets.tables.pieces import STDIN
from dlcli.datasets.tables.read_table import is_table, require_file
from dlcli.datasets.tables.source import Source
from dlcli.errors import DataError
from dlcli.files.paths import is_folder


def new_files(
    file: Path, column: str | None, suffixes: Collection[str], noun: str, key: str
) -> tuple[list[Stored], list[Notice]]:
    """Return the files of a folder, an archive or a table, or the file itself, and notices of what was left out.

    Args:
        file: the file or folder.
        column: for a table, the column of paths; None for the first one.
        suffixes: suffixes of the wanted files in lower case.
        noun: the kind of files in the plural, for messages.
        key: the key that names the column, for messages.

    Raises:
        DataError: there is no such file, or the table has no paths.
    """
    if file == STDIN:
        raise DataError(f"{noun} cannot be piped in", hint="Name files, folders, a .tar or a table of paths.")
    if not is_folder(file):
        require_file(file)
    if is_folder(file) or is_archive(file):
        return list_files(file, suffixes, noun)
    if is_table(file):
        source = read_paths(file, column)
        if column is None and not _names_files(source, source.frame.columns[0]):
            others = [name for name in source.frame.columns[1:] if _names_files(source, name)]
            setting = pasted(key, str(others[0])) if others else f"{key}=COLUMN"
            raise DataError(
                f"this model expects {noun}, but the table's first column does not contain paths of files",
                str(file),
                f"Name {noun}, a folder or a .tar of them, or set the column of their paths: {setting}",
            )
        return image_entries(source, column, key, suffixes)
    return [FileEntry(file.name, str(file), 0, file.stat().st_size)], []


def _names_files(source: Source, column: str) -> bool:
    """Return whether a column contains the path of an existing file."""
    finder = PathFinder(source.file.parent)
    for name in source.frame[column].dropna():
        with suppress(DataError):
            finder.find(str(name), "")
            return True
    return False
