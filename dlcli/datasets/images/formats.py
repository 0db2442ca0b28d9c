"""The endings and formats of image files that Pillow can read here."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from PIL import Image, ImageFile

# Formats that Pillow opens by another one's name: JPEG opens files with several pictures.
_OPENED_BY = {"MPO": "JPEG"}

# The formats that Pillow tries first if none are given. Some of the others do not recognise a file by its first bytes.
_FIRST = ("JPEG", "PNG", "BMP", "GIF", "PPM")


@cache
def image_suffixes() -> frozenset[str]:
    """Return the endings of all formats that this installation of Pillow decodes, in lower case.

    Formats that Pillow only recognizes, videos, and documents (PostScript would be run by another program) are not
    among them. Pillow reads .heic with the package pillow-heif.
    """
    formats = image_formats()
    return frozenset(
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if _OPENED_BY.get(kind, kind) in formats
    )


@cache
def image_formats() -> tuple[str, ...]:
    """Return the formats that files with these endings may have: Pillow's names, in the order in which they are tried.

    Pillow goes by the content: without them, a file that is called .png but holds PostScript would be run.
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
