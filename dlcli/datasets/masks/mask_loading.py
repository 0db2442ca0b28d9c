"""Load masks: check their sizes and values, decide their classes, decode them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.datasets.folders.bad_files import BadFile
from dlcli.datasets.folders.file_threads import in_threads
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.images.image_decoder import Fit, read_header
from dlcli.datasets.images.image_files import ImageFiles
from dlcli.datasets.masks.class_maps import Masks, pixel_counts
from dlcli.datasets.masks.mask_classes import MaskClasses, classes_of_masks
from dlcli.datasets.masks.mask_decoder import MaskDecoder, mask_values, value_counts
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError, Problem
from dlcli.formatting import counted

# Maximum number of files that a message names.
_NAMED = 5


def scan_masks(
    images: Sequence[Stored], masks: Sequence[Stored], *, skip: bool
) -> tuple[list[int], Counter[int], list[Notice]]:
    """Read all masks; return the rows of the valid ones, the number of pixels of each value, and notices of others.

    Raises:
        DataError: a mask is damaged or differs in size from its image; with `skip` it is left out.
    """
    found: Counter[int] = Counter()
    bad: list[tuple[int, str]] = []
    good: list[int] = []
    headers = in_threads(read_header, images)
    for row, (header, scanned) in enumerate(zip(headers, in_threads(_scan, masks), strict=True)):
        if isinstance(scanned, BadFile):
            bad.append((row, str(scanned)))
            continue
        size, values = scanned
        if not isinstance(header, BadFile) and header.size != size:
            own, other = (f"{height} x {width}" for height, width in (size, header.size))
            bad.append((row, f"is {own} pixels, but its image {images[row].name} is {other}"))
            continue
        found.update(values)
        good.append(row)
    if bad and not skip:
        hint = "Repair it, or leave such pairs out: dataset.on_bad=skip."
        problems = [Problem(text, masks[row].where, hint) for row, text in bad[:_NAMED]]
        raise DataError(problems)
    if not good:
        raise DataError("no mask can be used", masks[0].where, f"It {bad[0][1]}.")
    names = [f"{masks[row].name} ({text})" for row, text in bad]
    text = f"{counted(len(bad), 'pair')} with a bad mask left out: {first_names(names)}"
    return good, found, [Notice("bad_masks", len(bad), text)] if bad else []


def _scan(entry: Stored) -> tuple[tuple[int, ...], dict[int, int]]:
    values = mask_values(entry)
    return values.shape, value_counts(values)


def load_masks(
    entries: Sequence[Stored], classes: MaskClasses, size: tuple[int, int], fit: Fit, *, in_memory: bool
) -> Masks:
    """Decode masks and count the pixels of each class.

    Args:
        entries: the files.
        classes: the classes of their values.
        size: height and width to which masks are resized, like their images.
        fit: how they are resized.
        in_memory: whether the codes are held in memory, or decoded again when they are read.

    Raises:
        DataError: a mask has a value without a class.
    """
    files = ImageFiles(entries, _as_decoder(MaskDecoder(size, fit, classes.codes)))
    codes = np.empty((len(entries) if in_memory else 0, *size), np.uint8)
    counts = np.empty((len(entries), len(classes.names)), np.int64)
    digest = hashlib.blake2b(repr((size, fit, classes.names)).encode(), digest_size=16)
    problems = []
    for row, found in enumerate(in_threads(files.decoder.decode, entries)):
        if isinstance(found, BadFile):
            known = ", ".join(str(value) for value in list(classes.codes)[:12])
            hint = (
                f"The classes have the values {known}{', ...' if len(classes.codes) > 12 else ''}: name it in "
                "dataset.classes, or leave its pixels out, such as dataset.ignore=255."
            )
            problems.append(Problem(str(found), entries[row].where, hint))
            if len(problems) == _NAMED:
                break
            continue
        counts[row] = pixel_counts(found[None], len(classes.names))[0]
        digest.update(np.ascontiguousarray(found).data)
        if in_memory:
            codes[row] = found
    if problems:
        raise DataError(problems)
    return Masks(codes if in_memory else files, counts, digest.hexdigest())


def _as_decoder(decoder: MaskDecoder) -> Any:
    """Return a decoder of masks typed as a decoder of images; both have `size`, `grey`, `depth` and `decode`."""
    return decoder


def decided_classes(
    found: Counter[int],
    names: list[tuple[str, int]] | None,
    ignore: int | str | Sequence[int | str] | None,
    place: Path,
) -> MaskClasses:
    """Return the classes of the values that occur; see `classes_of_masks`."""
    several = [] if ignore is None else [ignore] if isinstance(ignore, int | str) else list(ignore)
    return classes_of_masks(found, names, several, str(place))
