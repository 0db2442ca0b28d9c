"""The endings of image files that Pillow can read here."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from PIL import Image, ImageFile

# Formats that Pillow opens by another one's name: JPEG opens files with several pictures.
_OPENED_BY = {"MPO": "JPEG"}


@cache
def image_suffixes() -> frozenset[str]:
    """Return the endings of all formats that this installation of Pillow decodes, in lower case.

    Formats that Pillow only recognizes, videos, and documents (PostScript would be run by another program) are not
    among them. Pillow reads .heic with the package pillow-heif.
    """
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return frozenset(
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if _decodes(_OPENED_BY.get(kind, kind))
    )


def _decodes(kind: str) -> bool:
    if kind not in Image.OPEN or not Image.MIME.get(kind, "image/").startswith("image/"):
        return False
    opens = Image.OPEN[kind][0]
    return not (isinstance(opens, type) and issubclass(opens, ImageFile.StubImageFile))
