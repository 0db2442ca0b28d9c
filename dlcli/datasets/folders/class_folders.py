"""Read the class and the part of the split of each file from the names of its folders."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dlcli.datasets.folders.archives import tree_of_archive
from dlcli.datasets.folders.part_words import may_be_parts, part_names, part_of
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.folders.tree import Tree, suffix_of, tree_of_folder
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError
from dlcli.files.paths import is_file, is_folder
from dlcli.formatting import counted

# Whether folders named train, test and the like are parts of a split (true) or classes (false).
PartFolders = Literal["auto"] | bool

Folder = tuple[str, ...]

# Maximum number of lines of a tree in a message, and of names in a line.
_LINES, _NAMES = 12, 6


@dataclass(frozen=True)
class Listing:
    """Files with their class and part.

    Attributes:
        entries: the files.
        labels: class of each file; of a table also its number, or a tuple of several targets.
        parts: train, val or test for each file; "" if there are no such folders.
        empty: class folders without files.
        notices: what was left out.
        groups: group of each file; None without groups.
        note: explanation of the kind of labels, for the panel.
        targets: names of the columns of a table's labels.
    """

    entries: list[Stored]
    labels: list[Any]
    parts: list[str]
    empty: list[str]
    notices: tuple[Notice, ...] = ()
    groups: list[str] | None = None
    note: str = ""
    targets: Sequence[str] = ()

    def without_empty(self, noun: str, *, skip: bool) -> Listing:
        """Return the files with a notice of the empty class folders.

        Args:
            noun: what a folder lacks, in the plural, such as `images`.
            skip: leave empty folders out instead of refusing them.

        Raises:
            DataError: a class folder is empty.
        """
        if not self.empty:
            return self
        if not skip:
            hint = f"Remove the folder, add {noun}, or set dataset.on_bad=skip to ignore it."
            raise DataError(f"the class folder contains no {noun.removesuffix('s')}", self.empty[0], hint)
        text = (
            f"{counted(len(self.empty), 'class folder')} without {noun} left out: {first_names(self.empty)}"
        )
        return replace(
            self, notices=(*self.notices, Notice("empty_classes", len(self.empty), text)), empty=[]
        )


@dataclass(frozen=True)
class _Layout:
    """Location of the class folders and the folders of parts.

    Attributes:
        top: folder that contains all files.
        label: position of the class among the components of a file's name.
        part: position of the part; None without parts.
    """

    top: Folder
    label: int
    part: int | None = None


def list_class_folders(
    path: Path, suffixes: Collection[str], noun: str, alternative: str, parts: PartFolders = "auto"
) -> Listing:
    """List the files of a folder, tar or zip with one folder per class, with the parts of a split above or below them.

    Folders that contain only one folder are skipped. For messages, `noun` is the kind of files in the plural, and
    `alternative` describes other inputs.

    Raises:
        DataError: the path does not exist, cannot be read without unpacking, contains no such files, or its folders
            can be read in several ways.
    """
    tree = _tree(path, "dataset.path=FOLDER, a .tar or a .zip")
    files, others = tree.select(suffixes)
    places = [tuple(file.name.split("/")[:-1]) for file in files]
    layout = _layout(tree, places, noun, parts)
    rows = [row for row, place in enumerate(places) if _has_class(place, layout)]
    if not rows:
        raise DataError(
            f"contains no folder with {noun}",
            str(path),
            f"Give a folder that has one folder of {noun} per class, or {alternative}.",
        )
    kept = set(rows)
    labels = [places[row][layout.label] for row in rows]
    split = ["" if layout.part is None else str(part_of(places[row][layout.part])) for row in rows]
    notices = [
        *_loose([files[row].name for row in range(len(files)) if row not in kept], len(files), noun, path),
        *_deeper([places[row] for row in rows], layout, noun, path),
        *_unused_parts(tree, [places[row] for row in rows], layout, noun),
        *_similar(sorted(set(labels)), path),
        *tree.notices(others, noun),
    ]
    empty = _empty(tree, {places[row] for row in rows}, layout)
    return Listing([files[row] for row in rows], labels, split, empty, tuple(notices))


def list_files(path: Path, suffixes: Collection[str], noun: str) -> tuple[list[Stored], list[Notice]]:
    """Return the files with one of the suffixes, from a folder and its subfolders or from an archive, and notices of
    others.

    Raises:
        DataError: there are no such files, or the archive cannot be read without unpacking.
    """
    tree = _tree(path, "a folder, a .tar or a .zip")
    files, others = tree.select(suffixes)
    if not files:
        endings = Counter(suffix_of(file.name) or "no ending" for file in others)
        has = f": its {counted(len(others), 'file')} have the suffixes {', '.join(endings)}" if others else ""
        raise DataError(f"contains no {noun}{has}", str(path))
    return files, list(tree.notices(others, noun))


def _tree(path: Path, wanted: str) -> Tree:
    if is_folder(path):
        return tree_of_folder(path)
    if is_file(path):
        return tree_of_archive(path)
    raise DataError("there is no such file or folder", str(path), f"Give {wanted}.")


def _layout(tree: Tree, places: Sequence[Folder], noun: str, parts: PartFolders) -> _Layout:
    """Decide which folders are parts and which are classes.

    Raises:
        DataError: folders of parts and folders of classes have the same parent.
    """
    top: Folder = ()
    while True:
        depth = len(top)
        below = defaultdict(list)
        for place in places:
            if len(place) > depth and place[:depth] == top:
                below[place[depth]].append(place[depth + 1 :])
        if len(below) != 1:
            break
        (name, inside), *_ = below.items()
        if not all(inside) and len({rest[0] for rest in inside if rest}) < 2:
            break
        top = (*top, name)
    plain = _Layout(top, len(top))
    if parts is False or not below:
        return plain
    named = part_names(below)
    deep = [name for name in named if any(below[name])]
    classes = [name for name in below if name not in named]
    if deep and not classes:
        return _Layout(top, len(top) + 1, len(top))
    if named and not (len(below) == 1 and not deep):
        beside = (
            f" next to folders of classes ({first_names(sorted(classes))})"
            if classes
            else ", but no class folders in them"
        )
        message = f"has folders of parts ({first_names(sorted(named))}){beside}"
        raise _mixture(tree, places, top, noun, message)
    if parts == "auto" and may_be_parts(below) and all(all(inside) for inside in below.values()):
        raise DataError(
            "\n".join([f"{first_names(sorted(below))} may be parts or classes", *_drawn(places, top, noun)]),
            str(tree.place.joinpath(*top)) if is_folder(tree.place) else str(tree.place),
            "Rename parts to train, val and test, or set dataset.parts=false if all these folders are classes.",
        )
    return _parts_below(tree, places, below, plain, noun)


def _parts_below(
    tree: Tree, places: Sequence[Folder], below: dict[str, list[Folder]], plain: _Layout, noun: str
) -> _Layout:
    """Return the layout of class folders, which may contain folders of parts."""
    named = part_names({rest[0] for found in below.values() for rest in found if rest})
    split = {name: {bool(rest) and rest[0] in named for rest in found} for name, found in below.items()}
    mixed = [name for name, kinds in split.items() if True in kinds]
    if not mixed:
        return plain
    if all(kinds == {True} for kinds in split.values()):
        return _Layout(plain.top, plain.label, plain.label + 1)
    names = first_names(sorted(mixed))
    message = f"some class folders contain folders of parts ({names}), and {noun} next to these"
    raise _mixture(tree, places, plain.top, noun, message)


def _mixture(tree: Tree, places: Sequence[Folder], top: Folder, noun: str, message: str) -> DataError:
    lines = _drawn(places, top, noun)
    return DataError(
        "\n".join([message, *lines]),
        str(tree.place.joinpath(*top)) if is_folder(tree.place) else str(tree.place),
        "Move the class folders into the folders of the parts (train/CLASS/, test/CLASS/), give one folder of them as "
        "dataset.path, or set dataset.parts=false if all these folders are classes.",
    )


def _drawn(places: Sequence[Folder], top: Folder, noun: str) -> list[str]:
    """Return a tree of the folders with the number of files in each, one line per folder below `top`."""
    depth = len(top)
    direct: Counter[str] = Counter()
    deeper: dict[str, Counter[str]] = defaultdict(Counter)
    for place in places:
        if place[:depth] != top:
            continue
        if len(place) == depth:
            direct["."] += 1
        elif len(place) == depth + 1:
            direct[place[depth]] += 1
        else:
            deeper[place[depth]][place[depth + 1]] += 1
    names = sorted({*direct, *deeper})
    width = max(len(name) for name in names[:_LINES]) + 1
    lines = []
    for name in names[:_LINES]:
        inside = [f"{folder}/ {count:,}" for folder, count in sorted(deeper[name].items())]
        more = [f"{len(inside) - _NAMES:,} more folders"] if len(inside) > _NAMES else []
        own = noun if direct[name] > 1 else noun.replace("s", "", 1)
        here = [f"{direct[name]:,} {own}"] if direct[name] else []
        lines.append(f"{name + '/':<{width}}  {', '.join([*here, *inside[:_NAMES], *more])}")
    if len(names) > _LINES:
        lines.append(f"... {len(names) - _LINES:,} more folders")
    return lines


def _has_class(place: Folder, layout: _Layout) -> bool:
    if place[: len(layout.top)] != layout.top or len(place) <= max(layout.label, layout.part or 0):
        return False
    return layout.part is None or part_of(place[layout.part]) is not None


def _loose(names: Sequence[str], of: int, noun: str, path: Path) -> Iterator[Notice]:
    if names:
        yield Notice(
            "loose_files",
            len(names),
            f"{len(names):,} of {of:,} {noun} are not in a class folder and are left out: {first_names(names)}",
            str(path),
            "Move them to the folder of their class.",
        )


def _deeper(places: Sequence[Folder], layout: _Layout, noun: str, path: Path) -> Iterator[Notice]:
    """Yield a warning if the class folders contain folders with files, which may be the actual classes."""
    last = max(layout.label, layout.part or 0)
    deep = [place for place in places if len(place) > last + 1]
    if deep:
        classes = sorted({place[layout.label] for place in deep})
        inner = sorted({place[last + 1] for place in deep})
        yield Notice(
            "nested_files",
            len(deep),
            f"{len(deep):,} of {len(places):,} {noun} are in folders within the class folders "
            f"{first_names(classes)}: their class is the outer folder's name, not {first_names(inner)}",
            str(path),
            "If the inner folders are the classes, move them up by one level.",
        )


def _unused_parts(tree: Tree, places: Sequence[Folder], layout: _Layout, noun: str) -> Iterator[Notice]:
    """Yield a warning if folders of parts contain no rows."""
    used = {place[:length] for place in places for length in range(1, len(place) + 1)}
    empty = sorted(
        "/".join(folder)
        for folder in tree.folders - used
        if folder and len(folder) <= len(layout.top) + 1 and part_names(folder[-1:])
    )
    if empty:
        yield Notice(
            "empty_parts",
            len(empty),
            f"no {noun} of any class in the folders of parts {first_names(empty)}",
            str(tree.place),
            f"Add {noun}, or remove the folder.",
        )


def _similar(classes: Sequence[str], path: Path) -> Iterator[Notice]:
    """Yield a warning if classes differ only in case, whitespace or Unicode normalization."""
    forms: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        forms[unicodedata.normalize("NFKC", name).casefold().strip()].append(name)
    alike = [names for names in forms.values() if len(names) > 1]
    if alike:
        pairs = "; ".join(" and ".join(map(repr, names)) for names in alike[:3])
        yield Notice(
            "similar_classes",
            len(alike),
            f"classes differ only in case or whitespace: {pairs}",
            str(path),
            "Rename the folders if they are one class.",
        )


def _empty(tree: Tree, full: Collection[Folder], layout: _Layout) -> list[str]:
    """Return the class folders without files, as paths."""
    if layout.part is not None and layout.part > layout.label:
        length = layout.label + 1
    else:
        length = max(layout.label, layout.part or 0) + 1
    has_files = {place[:length] for place in full}
    classes = {
        folder
        for folder in tree.folders
        if len(folder) == length
        and folder[: len(layout.top)] == layout.top
        and (layout.part is None or layout.part > layout.label or part_of(folder[layout.part]))
    }
    inside = "/" if is_folder(tree.place) else ": "
    return sorted(f"{tree.place}{inside}{'/'.join(folder)}" for folder in classes - has_files)
