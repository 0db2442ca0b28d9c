"""Suffixes and formats of image files that the installed Pillow can read."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from PIL import Image, ImageFile

# Formats that Pillow opens under the name of another one: JPEG files with several pictures.
_OPENED_BY = {"MPO": "JPEG"}

# The formats that Pillow tries first by default. Some of the others do not recognize a file by its first bytes.
_FIRST = ("JPEG", "PNG", "BMP", "GIF", "PPM")


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes of all formats that the installed Pillow decodes, in lower case.

    Formats that Pillow only recognizes, videos, and documents (PostScript would be run by another program) are
    excluded. Pillow reads .heic with the package pillow-heif.
    """
    formats = image_formats()
    return frozenset(
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if _OPENED_BY.get(kind, kind) in formats
    )


@cache
def image_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats of files with these suffixes, in the order in which they are tried.

    Pillow detects the format by content: without this list, PostScript in a file named .png would be run.
    """
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(kind for kind in dict.fromkeys((*_FIRST, *Image.ID)) if _decodes(kind))


def _decodes(kind: str) -> bool:
    if kind not in Image.OPEN or not Image.MIME.get(kind, "image/").startswith("image/"):
        return False
    opens = Image.OPEN[kind][0]
    return not (isinstance(opens, type) and issubclass(opens, ImageFile.StubImageFile))
