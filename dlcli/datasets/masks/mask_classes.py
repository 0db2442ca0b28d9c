"""Map the pixel values of masks to classes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlcli.config.pasted import pasted
from dlcli.config.suggest import choices
from dlcli.datasets.evaluation_only import evaluation_targets
from dlcli.datasets.masks.class_maps import IGNORED
from dlcli.datasets.masks.mask_decoder import COLOURS, packed_colour, value_in_words
from dlcli.datasets.notices import Notice
from dlcli.errors import DataError
from dlcli.files.paths import is_file

# The file of class names in a dataset's folder.
CLASSES_FILE = "classes.txt"

# Names that usually denote pixels without a class.
_WITHOUT = {"void", "ignore", "ignored", "unlabeled", "unlabelled", "unlabel", "unknown", "dontcare"}

_COLOUR = re.compile(r"^(?P<name>.*?)[\s,;]+(?P<r>\d{1,3})[\s,;]+(?P<g>\d{1,3})[\s,;]+(?P<b>\d{1,3})$")


@dataclass(frozen=True)
class MaskClasses:
    """The classes of masks.

    Attributes:
        names: names of the classes, in the order of their codes.
        codes: pixel value to class code, `IGNORED` for values without a class.
        notices: reports of decisions.
    """

    names: tuple[str, ...]
    codes: Mapping[int, int]
    notices: tuple[Notice, ...] = ()


def read_names(given: Sequence[str] | str | None, folder: Path) -> list[tuple[str, int]] | None:
    """Return names of classes with their pixel values; None if no names are given.

    Args:
        given: a list of names, or a file with a name per line, in the order of the values from 0 on. A line may end
            with a colour, `road 128 64 128`.
        folder: the dataset's folder, which may contain `classes.txt` and to which a file may be relative.

    Raises:
        DataError: there is no such file, or a name is missing or occurs twice.
    """
    if given is None:
        if not is_file(folder / CLASSES_FILE):
            return None
        given = CLASSES_FILE
    if not isinstance(given, str):
        names = [(str(name), value) for value, name in enumerate(given)]
        return _checked(names, "dataset.classes")
    file = Path(given) if is_file(Path(given)) else folder / given
    if not is_file(file):
        raise DataError(
            f"there is no file {given}", "dataset.classes", "Give a list: dataset.classes=[sky,road]."
        )
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    found = []
    for value, line in enumerate(lines):
        match = _COLOUR.match(line)
        colour = packed_colour(*(int(match[c]) for c in "rgb")) if match else value
        found.append((match["name"] if match else line, int(colour)))
    return _checked(found, str(file))


def _checked(names: list[tuple[str, int]], where: str) -> list[tuple[str, int]]:
    for place, what in ((0, "name"), (1, "colour")):
        seen = [pair[place] for pair in names]
        if twice := next((one for one in seen if seen.count(one) > 1), None):
            shown = value_in_words(twice) if isinstance(twice, int) else twice
            raise DataError(f"two classes have the {what} {shown}", where, "Give each class a unique one.")
    return names


def classes_of_masks(
    found: Mapping[int, int],
    names: list[tuple[str, int]] | None,
    ignore: Sequence[int | str],
    place: str,
) -> MaskClasses:
    """Decide which classes the pixel values of all masks denote.

    Evaluation masks may lack classes of the model: one class suffices, and 255 is a class if the model has it.

    Args:
        found: number of pixels of each value, over all masks.
        names: names of the classes with their values; None takes the values themselves as names.
        ignore: values or names of pixels without a class.
        place: the dataset, for messages.

    Raises:
        DataError: values are ambiguous, there are too few or too many classes, or `ignore` names an unknown class.
    """
    notices: list[Notice] = []
    fewest = 2 if evaluation_targets() is None else 1
    if names is None:
        names = [(value_in_words(value), value) for value in _unnamed(found, ignore, place, notices)]
    known = dict(names)
    without: set[int] = set()
    for one in ignore:
        if isinstance(one, str) and one not in known:
            raise DataError(f"there is no class {one} to ignore", "dataset.ignore", choices(list(known)))
        without.add(known[one] if isinstance(one, str) else one)
    classes = [(name, value) for name, value in names if value not in without]
    if not fewest <= len(classes) <= IGNORED:
        what = "one class" if len(classes) == 1 else f"{len(classes)} classes"
        raise DataError(
            f"the masks have {what}, but {fewest} to {IGNORED} are required",
            place,
            "The class of a pixel is its grey level or its position in the palette.",
        )
    codes = {value: code for code, (_, value) in enumerate(classes)} | dict.fromkeys(without, IGNORED)
    notices += _told(found, classes, without, place)
    return MaskClasses(tuple(name for name, _ in classes), codes, tuple(notices))


def _unnamed(
    found: Mapping[int, int], ignore: Sequence[int | str], place: str, notices: list[Notice]
) -> list[int]:
    """Return the values that are classes if no names are given."""
    values = sorted(value for value in found if value not in ignore)
    if evaluation_targets() is not None:  # decided in training: other values are unknown to the model
        return values
    if values and values[0] < COLOURS <= values[-1]:
        raise DataError(
            f"some masks are grey or palette images and others are in colour, with the values {_listed(values)}",
            place,
            "Save all masks in one of these forms.",
        )
    if IGNORED in values and len(values) > 2:
        raise DataError(
            f"pixels have the values {_listed(values)}: 255 may be a class, or denote pixels without a class",
            place,
            "Set dataset.ignore=255 for pixels without a class, or dataset.ignore=[] with dataset.classes for a class.",
        )
    if values == [0, IGNORED]:
        text = "the masks' values 0 and 255 are two classes (dataset.ignore=255: pixels of 255 have no class)"
        notices.append(Notice("mask_values", 2, text, place, warns=False))
    return values


def _told(
    found: Mapping[int, int], classes: Sequence[tuple[str, int]], without: set[int], place: str
) -> Iterator[Notice]:
    pixels = sum(found.values())
    ignored = sum(count for value, count in found.items() if value in without)
    if ignored:
        text = f"{ignored / pixels:.1%} of the masks' pixels are ignored"
        yield Notice("ignored_pixels", ignored / pixels, text, place, warns=False)
    lacking = [name for name, value in classes if not found.get(value)]
    if lacking:
        some = ", ".join(lacking[:3]) + (", ..." if len(lacking) > 3 else "")
        text = f"{len(lacking)} of {len(classes)} classes do not occur in any mask: {some}"
        yield Notice("absent_classes", len(lacking), text, place)
    named = [name for name, _ in classes if name.casefold() in _WITHOUT]
    if named:
        text = f"the class {named[0]} is learned like any other class"
        hint = f"If its pixels have no class: {pasted('dataset.ignore', named[0])}."
        yield Notice("learned_void", 1, text, "dataset.ignore", hint)


def _listed(values: Sequence[int]) -> str:
    words = [value_in_words(value) for value in values]
    return ", ".join(words if len(words) < 8 else [*words[:5], "...", words[-1]])
