"""Notices about the pixels of images: their kinds and conversions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dlcli.datasets.images.depth import Depth, ImageHeader
from dlcli.datasets.images.image_decoder import Decoder
from dlcli.datasets.notices import Notice
from dlcli.formatting import counted

BITS: Mapping[Depth, str] = {"uint8": "8 bits", "uint16": "16 bits", "float32": "floating-point values"}


def kinds_of(headers: Sequence[ImageHeader]) -> dict[str, int]:
    """Return the number of images of each kind of pixels, such as `grey, 16 bits`, the most frequent first."""
    return dict(Counter(_kind(header) for header in headers).most_common())


def _kind(header: ImageHeader) -> str:
    return ", ".join(
        [header.mode]
        + [BITS[header.depth]] * (header.depth != "uint8")
        + ["transparency"] * header.transparent
    )


def pixel_notices(headers: Sequence[ImageHeader], decoder: Decoder, place: Path) -> Iterator[Notice]:
    """Yield notices of converted pixels."""
    where = str(place)
    if decoder.depth != "uint8":
        yield Notice(
            "deep_images",
            len(headers),
            f"{counted(len(headers), 'image')} read with {BITS[decoder.depth]} per channel",
            where,
            warns=False,
        )
    other = Counter(BITS[header.depth] for header in headers if header.depth != decoder.depth)
    if other:
        yield Notice(
            "other_depth",
            other.total(),
            f"{other.total():,} of {counted(len(headers), 'image')} have {' or '.join(other)} per channel and "
            f"are scaled to {BITS[decoder.depth]} by their full range",
            where,
            "Convert the images to one depth, if white is not the largest possible value in all of them.",
        )
    wanted = "grey" if decoder.grey else "RGB"
    modes = Counter(header.mode for header in headers if header.mode != wanted)
    if modes:
        kinds = ", ".join(f"{mode} {count:,}" for mode, count in modes.most_common())
        yield Notice(
            "converted_images",
            modes.total(),
            f"{counted(modes.total(), 'image')} converted to {wanted}: {kinds}",
            where,
            warns=False,
        )
    how = "read without it" if decoder.background == "ignore" else f"put on {decoder.background}"
    # Key, number of images, description of the conversion, and hint if it is not intended.
    for key, count, done, hint in (
        (
            "transparent_images",
            sum(header.transparent for header in headers),
            f"with transparency {how} (dataset.background)",
            "",
        ),
        (
            "turned_images",
            sum(header.turned for header in headers),
            "turned upright by the orientation in the file",
            "",
        ),
        (
            "first_frames",
            sum(header.paged for header in headers),
            "with several frames or pages; the first one is read",
            "Save the frames as separate images to use them as rows.",
        ),
        (
            "shallow_images",
            sum(header.shallow for header in headers),
            "in colour with more than 8 bits per channel read with 8 bits",
            "Save them as 16-bit .png, which is read in full.",
        ),
    ):
        if count:
            yield Notice(key, count, f"{counted(count, 'image')} {done}", where, hint, warns=bool(hint))


def unseen_kinds(kinds: Mapping[str, int], trained: Mapping[str, int], where: str) -> Iterator[Notice]:
    """Yield a warning if images have kinds of pixels that the training data lacked."""
    new = {kind: count for kind, count in kinds.items() if kind not in trained}
    if trained and new:
        total = sum(kinds.values())
        shown = ", ".join(f"{kind}: {count:,}" for kind, count in new.items())
        yield Notice(
            "unseen_kinds",
            sum(new.values()),
            f"pixels of a kind that the training data lacked in {sum(new.values()):,} of "
            f"{counted(total, 'image')} ({shown}; trained on {', '.join(trained)}), which are converted",
            where,
        )
