"""JPEG and PNG files without metadata that bears on their pixels, decoded by Pillow without its reading of the header.

Opening a small image with Pillow takes longer than decoding it, because Pillow keeps all segments and tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any
from zlib import crc32

from PIL import Image

_BITS = 8

# JPEG (ITU-T T.81, table B.1): markers of a start of a frame (baseline, extended, progressive) and of a scan, and of
# segments that change nothing: tables, JFIF, Photoshop's, Adobe's (which libjpeg reads itself) and comments. APP1 may
# hold an orientation, APP2 a list of further pictures.
_FRAMES, _SCAN = frozenset({0xC0, 0xC1, 0xC2}), 0xDA
_SEGMENTS = frozenset({0xC4, 0xDB, 0xDD, 0xE0, 0xED, 0xEE, 0xFE})
_SEGMENT, _FRAME = Struct(">BBH"), Struct(">BHHB")
_CHANNELS = {1: "L", 3: "RGB"}

# PNG (ISO/IEC 15948): the header, colour types, and further chunks that change nothing. Not among them are palettes,
# transparency, frames, and texts, which may hold an orientation.
_SIGNATURE, _HEADER, _CHUNK = b"\x89PNG\r\n\x1a\n", Struct(">II5B"), Struct(">I4s")
_COLOURS = {0: "L", 2: "RGB"}
_CHUNKS = frozenset({b"IHDR", b"IDAT", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs", b"tIME"})


@dataclass(frozen=True, slots=True)
class PlainImage:
    """A file whose image is read as it is: 8 bits, grey or RGB, upright, opaque, the only one.

    Attributes:
        mode: Pillow's mode, L or RGB.
        size: width and height in pixels.
        decoder: Pillow's name of the decoder, with its arguments.
        pixels: the part of the file that the decoder reads.
    """

    mode: str
    size: tuple[int, int]
    decoder: tuple[str, tuple[Any, ...]]
    pixels: bytes

    def image(self) -> Image.Image | None:
        """Return the image, with the pixels that `PIL.Image.open` gives; None if the file is damaged."""
        try:
            return Image.frombytes(self.mode, self.size, self.pixels, *self.decoder)
        except (ValueError, OSError):
            return None


def plain_image(content: bytes) -> PlainImage | None:
    """Return a file as a `PlainImage`; None if it is of another kind, which Pillow has to open.

    The first bytes of a JPEG file are sufficient if they contain its header; a PNG file has to be complete.
    """
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg(content)
    return _png(content) if content.startswith(_SIGNATURE) else None


def _jpeg(content: bytes) -> PlainImage | None:
    found, place, last = None, 2, len(content) - _SEGMENT.size - _FRAME.size
    while place <= last:
        start, marker, length = _SEGMENT.unpack_from(content, place)
        if start != 0xFF or length < 2:
            return None
        if marker == _SCAN:
            return found
        if marker in _FRAMES and found is None:
            bits, height, width, channels = _FRAME.unpack_from(content, place + _SEGMENT.size)
            mode = _CHANNELS.get(channels)
            if mode is None or bits != _BITS or not _usual(width * height):
                return None
            found = PlainImage(mode, (width, height), ("jpeg", (mode, "")), content)
        elif marker not in _SEGMENTS:
            return None
        place += 2 + length
    return None


def _png(content: bytes) -> PlainImage | None:
    place, next_part, headers = len(_SIGNATURE), 0, 0
    parts: list[bytes] = []
    while place + _CHUNK.size <= len(content):
        length, kind = _CHUNK.unpack_from(content, place)
        if kind == b"IEND":
            break
        begin, end = place + _CHUNK.size, place + _CHUNK.size + length
        if kind == b"IDAT":
            if parts and place != next_part:
                return None
            parts.append(content[begin:end])
            next_part = end + 4
        elif kind not in _CHUNKS or not _is_intact(content, begin, end):
            return None
        if kind == b"IHDR":
            headers += 1
            if length != _HEADER.size:
                return None
        place = end + 4
    else:
        return None
    begin = len(_SIGNATURE) + _CHUNK.size
    if content[begin - 4 : begin] != b"IHDR" or headers != 1 or not parts:
        return None
    width, height, bits, colour, *methods = _HEADER.unpack_from(content, begin)
    mode = _COLOURS.get(colour)
    if mode is None or bits != _BITS or any(methods) or not _usual(width * height):
        return None
    return PlainImage(mode, (width, height), ("zip", (mode,)), b"".join(parts))


def _is_intact(content: bytes, begin: int, end: int) -> bool:
    """Return whether the checksum of a chunk is right, whose data are between these places."""
    return crc32(content[begin - 4 : end]).to_bytes(4, "big") == content[end : end + 4]


def _usual(pixels: int) -> bool:
    """Return whether Pillow opens an image of this size without a warning of an attack."""
    return 0 < pixels <= (Image.MAX_IMAGE_PIXELS or pixels)
