"""Images that are decoded without Pillow's reading of the header have the same pixels."""

from __future__ import annotations

import io
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from dlcli.datasets.folders.stored import MemoryEntry
from dlcli.datasets.images import image_decoder
from dlcli.datasets.images.image_decoder import BadImage, Decoder, open_header, read_header
from dlcli.datasets.images.plain_image import PlainImage, plain_image

WAVES = np.add.outer(np.arange(31) * 7, np.arange(23) * 5)
RGB = Image.fromarray((WAVES[..., None] * [1, 2, 3] % 256).astype(np.uint8))
GREY, PALETTE, CMYK = RGB.convert("L"), RGB.quantize(9), RGB.convert("CMYK")
TURNED = Image.Exif()
TURNED[0x0112] = 6
XMP = PngImagePlugin.PngInfo()
XMP.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


PLAIN = {
    "jpeg": encoded(RGB, "JPEG"),
    "grey jpeg": encoded(GREY, "JPEG"),
    "progressive": encoded(RGB, "JPEG", progressive=True, quality=95),
    "halved colours": encoded(RGB, "JPEG", subsampling="4:2:0", comment=b"of the author"),
    "restarts": encoded(RGB, "JPEG", restart_marker_rows=1),
    "without transformation": encoded(RGB, "JPEG", keep_rgb=True),
    "png": encoded(RGB, "PNG", dpi=(96, 96)),
    "grey png": encoded(GREY, "PNG"),
}
OTHER = {
    "turned": encoded(RGB, "JPEG", exif=TURNED),
    "profile": encoded(RGB, "JPEG", icc_profile=b"of colours"),
    "cmyk": encoded(CMYK, "JPEG"),
    "turned png": encoded(RGB, "PNG", exif=TURNED),
    "text": encoded(RGB, "PNG", pnginfo=XMP),
    "palette": encoded(PALETTE, "PNG"),
    "transparent": encoded(GREY, "PNG", transparency=7),
    "opacity": encoded(RGB.convert("RGBA"), "PNG"),
    "one bit": encoded(GREY.convert("1"), "PNG"),
    "frames": encoded(RGB, "PNG", save_all=True, append_images=[GREY.convert("RGB")]),
    "gif": encoded(GREY, "GIF"),
}  # fmt: skip


def both(content: bytes, monkeypatch: pytest.MonkeyPatch, grey: bool = False) -> list[Any]:
    """Return what the decoder makes of a file, with its header, and what it makes if Pillow opens every file."""
    found: list[Any] = []
    for plain in (plain_image, lambda content: None):
        monkeypatch.setattr(image_decoder, "plain_image", plain)
        entry, decoder = MemoryEntry("a file", content), Decoder(None, "crop", grey)
        try:
            header, opened = open_header(entry)
            pixels = decoder.decode(entry)
            assert np.array_equal(decoder.decode(entry, opened), pixels)
            found.append((header, pixels.shape, pixels.tobytes()))
        except BadImage as bad:
            found.append(str(bad))
    return found


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("name", [*PLAIN, *OTHER])
def test_pixels_and_headers_are_those_of_an_opened_file(
    name: str, grey: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {**PLAIN, **OTHER}[name]
    assert isinstance(plain_image(content), PlainImage) == (name in PLAIN)
    ours, opened = both(content, monkeypatch, grey)
    assert ours == opened
    assert not isinstance(ours, str)


@pytest.mark.parametrize("name", ["jpeg", "progressive", "png", "turned"])
def test_damaged_files_are_decoded_or_refused_as_opened_ones_are(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {**PLAIN, **OTHER}[name]
    draw = np.random.default_rng(0)
    results = []
    for _ in range(40):
        damaged = bytearray(content[: draw.integers(len(content) // 2, len(content) + 1)])
        for place in draw.integers(0, len(damaged), draw.integers(0, 3)):
            damaged[place] = draw.integers(256)
        ours, opened = both(bytes(damaged), monkeypatch)
        assert ours == opened
        results.append(isinstance(ours, str))
    assert any(results)


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + crc32(kind + data).to_bytes(4, "big")


def test_chunks_that_pillow_reads_in_another_way_are_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    png = PLAIN["png"]
    header, rest = png[:33], png[33:]
    resolution, time = chunk(b"pHYs", bytes(9)), chunk(b"tIME", bytes(7))
    assert plain_image(header + resolution + rest) is not None
    damaged = bytearray(resolution)
    damaged[10] ^= 1
    begin = rest.index(b"IDAT") + 4
    end = begin + int.from_bytes(rest[begin - 8 : begin - 4], "big")
    pixels = rest[begin:end]
    parted = chunk(b"IDAT", pixels[:20]) + time + chunk(b"IDAT", pixels[20:])
    for content in (
        header + bytes(damaged) + rest,
        header + header[8:] + rest,
        header + rest[: begin - 8] + parted + rest[end + 4 :],
    ):
        assert plain_image(content) is None
        ours, opened = both(content, monkeypatch)
        assert ours == opened


def test_a_size_that_pillow_warns_of_is_left_to_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 23 * 31 - 1)
    assert plain_image(PLAIN["jpeg"]) is plain_image(PLAIN["png"]) is None


def test_the_beginning_of_a_jpeg_file_has_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    content = PLAIN["jpeg"]
    monkeypatch.setattr(image_decoder, "_HEAD", len(content) - 20)
    header, opened = open_header(MemoryEntry("a file", content))
    assert header.size == (31, 23)
    assert opened is None
    assert read_header(MemoryEntry("a file", PLAIN["png"])).mode == "RGB"
