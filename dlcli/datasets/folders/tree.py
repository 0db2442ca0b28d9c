"""`Tree`: the files of a folder or of an archive, each counted once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from mimetypes import guess_type
from pathlib import Path, PurePosixPath

from dlcli.datasets.folders.stored import FileEntry, Stored
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError
from dlcli.files.paths import resolved
from dlcli.formatting import counted

# Files and folders created by operating systems, in lower case; names that begin with a dot are hidden as well.
_SYSTEM = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin"}
)


@dataclass
class Tree:
    """Files of a dataset's folder or archive.

    Attributes:
        place: the folder or archive.
        files: all files in the order of their names, except hidden ones.
        folders: all folders, as the components of their names.
        hidden: names of hidden files and folders, and of those created by operating systems.
        repeated: names of links to files or folders of the dataset itself; these links are left out.
        outside: names of links to files or folders elsewhere, which are followed.
    """

    place: Path
    files: list[Stored] = field(default_factory=list)
    folders: set[tuple[str, ...]] = field(default_factory=set)
    hidden: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def sort(self) -> None:
        """Sort everything by name."""
        self.files.sort(key=lambda file: file.name.split("/"))
        for names in (self.hidden, self.repeated, self.outside):
            names.sort()

    def select(self, suffixes: Collection[str]) -> tuple[list[Stored], list[Stored]]:
        """Return the files with one of the suffixes, and the others."""
        wanted: tuple[list[Stored], list[Stored]] = ([], [])
        for file in self.files:
            wanted[suffix_of(file.name) not in suffixes].append(file)
        return wanted

    def notices(self, others: Collection[Stored], noun: str) -> Iterator[Notice]:
        """Yield notices of what is not read: `others` are files with other suffixes; `noun` is the wanted
        kind, in the plural."""
        names = [file.name for file in others]
        pictures = [name for name in names if noun == "images" and is_image_name(name)]
        if pictures:
            endings = Counter(suffix_of(name) for name in pictures)
            kinds = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common())
            yield Notice(
                "unreadable_formats",
                len(pictures),
                f"{counted(len(pictures), 'image')} in unsupported formats left out: {kinds}",
                str(self.place),
                "Convert them, such as to .png.",
            )
        known = set(pictures)
        rest = [name for name in names if name not in known]
        if rest:
            yield Notice(
                "other_files",
                len(rest),
                f"{counted(len(rest), 'file')} without a suffix of {noun} left out: {first_names(rest)}",
                str(self.place),
                warns=False,
            )
        if self.hidden:
            yield Notice(
                "hidden_files",
                len(self.hidden),
                f"{counted(len(self.hidden), 'hidden file or folder', 'hidden files or folders')} left out: "
                f"{first_names(self.hidden)}",
                str(self.place),
                warns=False,
            )
        if self.repeated:
            yield Notice(
                "repeated_links",
                len(self.repeated),
                f"{counted(len(self.repeated), 'link')} to files or folders of the dataset left out: "
                f"{first_names(self.repeated)}",
                str(self.place),
                "Each file is one row. Copy the files to use them several times.",
            )
        if self.outside:
            yield Notice(
                "outside_links",
                len(self.outside),
                f"{counted(len(self.outside), 'link')} to files outside the folder followed: "
                f"{first_names(self.outside)}",
                str(self.place),
                warns=False,
            )


def suffix_of(name: str) -> str:
    """Return the suffix of a name in lower case, such as `.jpg`."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 faster than a Path for millions of names


def is_image_name(name: str) -> bool:
    """Return whether a name has the suffix of an image, including formats that Pillow cannot read."""
    return (guess_type(name.lower())[0] or "").startswith("image/")


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden or created by an operating system."""
    return name.startswith(".") or name.lower() in _SYSTEM


def tree_of_folder(root: Path) -> Tree:
    """Return the files of a folder and its subfolders.

    Links are followed after the folder itself has been read, so that a file is listed under its own name rather than
    that of a link, and cycles end.

    Raises:
        DataError: a folder cannot be listed.
    """
    tree = Tree(root)
    real = resolved(root)
    seen = {real}
    links: list[tuple[PurePosixPath, Path]] = []
    _walk(tree, root, PurePosixPath(), links, lambda folder: True)
    while links:
        name, link = heappop(links)
        target = resolved(link)
        if target.is_relative_to(real) and not any(map(is_hidden, target.relative_to(real).parts)):
            if link.exists():
                tree.repeated.append(str(name))
            else:  # a broken link is an empty file
                tree.files.append(FileEntry(str(name), str(link), 0, 0))
        elif target in seen or (target.is_dir() and real.is_relative_to(target)):
            tree.repeated.append(str(name))
        elif target.is_dir():
            tree.outside.append(str(name))
            _walk(tree, link, name, links, lambda folder: _first(seen, resolved(folder)))
        else:
            seen.add(target)
            if link.exists():
                tree.outside.append(str(name))
            tree.files.append(FileEntry(str(name), str(link), 0, _size(link)))
    tree.sort()
    return tree


def _first(seen: set[Path], folder: Path) -> bool:
    if folder in seen:
        return False
    seen.add(folder)
    return True


def _walk(
    tree: Tree,
    root: Path,
    place: PurePosixPath,
    links: list[tuple[PurePosixPath, Path]],
    enters: Callable[[Path], bool],
) -> None:
    """Add the files below `root`, whose name in the dataset is `place`; links go to a heap by name."""
    pending = [(str(root), "" if place == PurePosixPath() else str(place))]
    while pending:
        folder, name = pending.pop()
        if not enters(Path(folder)):
            continue
        tree.folders.add(tuple(name.split("/")) if name else ())
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(
                f"the folder cannot be listed: {error.strerror}", folder, "Change its permissions."
            ) from error
        for entry in entries:
            own = f"{name}/{entry.name}" if name else entry.name
            if is_hidden(entry.name):
                tree.hidden.append(f"{own}/" if entry.is_dir() else own)
            elif entry.is_symlink():
                heappush(links, (PurePosixPath(own), Path(entry.path)))
            elif entry.is_dir():
                pending.append((entry.path, own))
            else:
                tree.files.append(FileEntry(own, entry.path, 0, _size(entry)))


def _size(file: Path | os.DirEntry[str]) -> int:
    """Return the size in bytes; a broken link, or a file that cannot be accessed, counts as empty."""
    try:
        return file.stat().st_size
    except OSError:
        return 0
