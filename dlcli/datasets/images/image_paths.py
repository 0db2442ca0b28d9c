"""Find the files that a table of paths names, tolerating common variations of paths."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import unquote

from dlcli.config.suggest import hint, near_files, question
from dlcli.datasets.images.formats import image_suffixes
from dlcli.datasets.notices import Notice
from dlcli.errors import DataError
from dlcli.files.paths import is_file, is_folder, list_names

# Variations of a path, and their description in messages.
_CHANGES = {
    "backslash_paths": "with backslashes, as on Windows, read with slashes",
    "moved_paths": "moved files found below the table's folder",
    "paths_in_a_folder": "without a folder found in the only folder beside the table that has the file",
    "paths_without_ending": "without a suffix matched to files of that name",
    "paths_in_other_case": "matched ignoring case",
}

# The start of an absolute Windows path.
_DRIVE = re.compile("[A-Za-z]:/")


class PathFinder:
    """Finder of files by paths relative to a folder, which counts the paths that had to be changed.

    A path is used unchanged if there is such a file. Otherwise backslashes become slashes, and an absolute path, also
    one such as `file:///home/me/a.png`, is looked up below the folder; then the suffix of an image is added, or case
    ignored, and a name alone is looked up in the folders beside the table, if exactly one file matches.

    Args:
        folder: folder that the paths are relative to.
        suffixes: suffixes of the files; None takes those of images.
    """

    def __init__(self, folder: Path, suffixes: Collection[str] | None = None) -> None:
        self.folder = folder
        self._suffixes = image_suffixes() if suffixes is None else suffixes
        self.changed: Counter[str] = Counter()
        self._stems: dict[Path, dict[str, list[str]]] = {}
        self._folded: dict[Path, dict[str, list[str]]] = {}
        self._beside_table: list[Path] | None = None

    def find(self, name: str, where: str) -> Path:
        """Return the file of a path; `where` is the location of the path, for messages.

        Raises:
            DataError: there is no such file, or several.
        """
        path = self.folder / name
        if is_file(path):
            return path
        changes = []
        written, name = name, name.strip()
        if "\\" in name:
            name = name.replace("\\", "/")
            changes.append("backslash_paths")
        if name.startswith("file://"):
            name = unquote(name.removeprefix("file://"))
            name = name[1:] if _DRIVE.match(name[1:]) else name
        path = self.folder / name
        if not is_file(path) and (_DRIVE.match(name) or name.startswith("/")):
            moved = self._moved(name)
            changes += ["moved_paths"] * (moved is not None)
            path = moved or path
        if not is_file(path):
            found, how = self._alike(self._in_any_case(path), where)
            if found is None and "/" not in name:
                found, how = self._beside(name, where)
            if found is None:
                raise self._missing(written, path, where)
            changes += how
            path = found
        self.changed.update(changes)
        return path

    def notices(self, table: Path) -> Iterator[Notice]:
        """Yield a notice with the number of changed paths, for each variation."""
        for key, words in _CHANGES.items():
            if count := self.changed[key]:
                yield Notice(
                    key, count, f"{count:,} path{'s' * (count > 1)} {words}", str(table), warns=False
                )

    def _moved(self, name: str) -> Path | None:
        """Return the file below the folder that shares the longest trailing part with an absolute path."""
        parts = name.split("/")
        candidates = (self.folder.joinpath(*parts[first:]) for first in range(1, len(parts)))
        return next((path for path in candidates if is_file(path)), None)

    def _in_any_case(self, path: Path) -> Path:
        """Return a path below the folder with the names of its folders as they are, if only their case differs."""
        found = self.folder
        if not path.is_relative_to(found):
            return path
        *folders, name = path.relative_to(found).parts
        for part in folders:
            names = [n for n in list_names(found) if n.casefold() == part.casefold()]
            found = found / (part if part in names or len(names) != 1 else names[0])
        return found / name

    def _beside(self, name: str, where: str) -> tuple[Path | None, list[str]]:
        """Return the only file of a name in the folders beside the table, and how its path was changed."""
        if self._beside_table is None:
            self._beside_table = [
                self.folder / n for n in sorted(list_names(self.folder)) if is_folder(self.folder / n)
            ]
        found = []
        for folder in self._beside_table:
            path = folder / name
            file, how = (path, []) if is_file(path) else self._alike(path, where)
            if file is not None:
                found.append((file, ["paths_in_a_folder", *how]))
        if len(found) > 1:
            shown = ", ".join(str(file.relative_to(self.folder)) for file, _ in found[:3])
            raise DataError(f"several files match {name}: {shown}", where, "Write the path with its folder.")
        return found[0] if found else (None, [])

    def _alike(self, path: Path, where: str) -> tuple[Path | None, list[str]]:
        """Return the only file that differs in suffix or case alone, and how its path was changed."""
        folder = path.parent
        if is_file(path):
            return path, ["paths_in_other_case"]
        if folder not in self._stems:
            stems, folded = defaultdict(list), defaultdict(list)
            for name in list_names(folder):
                if Path(name).suffix.lower() in self._suffixes:
                    stems[Path(name).stem].append(name)
                folded[name.casefold()].append(name)
            self._stems[folder], self._folded[folder] = stems, folded
        for change, names in (
            ("paths_without_ending", self._stems[folder].get(path.name, [])),
            ("paths_in_other_case", self._folded[folder].get(path.name.casefold(), [])),
        ):
            if len(names) > 1:
                raise DataError(
                    f"several files match {path.name}: {', '.join(names[:3])}", where, "Write the full name."
                )
            if names and is_file(folder / names[0]):
                return folder / names[0], [change]
        return None, []

    def _missing(self, name: str, path: Path, where: str) -> DataError:
        near = [str(path.parent / file) for file in near_files(path.name, list_names(path.parent))]
        shown = [file.removeprefix(f"{self.folder}/") for file in near]
        advice = (
            "It is an address: download the files first, and give their paths."
            if "://" in name and not name.startswith("file:")
            else "Give paths relative to the table's folder."
        )
        return DataError(f"there is no file {name}", where, hint(question(shown), advice))
