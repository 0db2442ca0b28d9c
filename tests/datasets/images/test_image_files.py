"""Pixels of image files: depth, modes, transparency, frames and orientation, compared with numpy."""

from __future__ import annotations

import struct
import tempfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dlcli.datasets.data import Data
from dlcli.datasets.image_folder import load
from dlcli.datasets.images.image_files import ImageFiles
from dlcli.errors import DataError
from dlcli.preprocessing.file_images import FileImages
from dlcli.preprocessing.image import Image as ImagePreprocessing
from tests.exporting.bundle_script import script

H, W = 5, 7


def png16(values: np.ndarray) -> bytes:
    """Return a PNG file of 16 bits per channel `(H, W, C)`, which Pillow cannot write for colours."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def tiff16(values: np.ndarray, order: str, deflated: bool) -> bytes:
    """Return a TIFF file of 16 bits per channel `(H, W, 3)` in a byte order, which Pillow cannot write."""
    pixels = values.astype(f"{order}u2").tobytes()
    pixels = zlib.compress(pixels) if deflated else pixels
    height, width, _ = values.shape
    bits, first = 8, 14  # places of the bits per sample and of the directory
    begin = first + 2 + 9 * 12 + 4
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, bits), (259, 4, 1, 8 if deflated else 1), (262, 4, 1, 2),
        (273, 4, 1, begin), (277, 4, 1, 3), (278, 4, 1, height), (279, 4, 1, len(pixels)),
    ]  # fmt: skip
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, first)
    directory = struct.pack(f"{order}H", len(tags)) + b"".join(
        struct.pack(f"{order}HHII", *tag) for tag in tags
    )
    return head + struct.pack(f"{order}3H", 16, 16, 16) + directory + bytes(4) + pixels


def put(root: Path, name: str, content: bytes | Image.Image | np.ndarray, **options: object) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        image = content if isinstance(content, Image.Image) else Image.fromarray(content)
        image.save(file, **options)
    return root


def told(data: Data) -> dict[str, int | float]:
    return {notice.key: notice.count for notice in data.notices}


def over(colour: np.ndarray, alpha: np.ndarray, white: float) -> np.ndarray:
    """Return colours on a white ground; `alpha` is from 0 to 1."""
    return colour * alpha[..., None] + white * (1 - alpha[..., None])


MODES = (
    "1",
    "L",
    "LA",
    "P",
    "RGB",
    "RGBA",
    "P transparent",
    "CMYK",
    "16",
    "16 LA",
    "16 RGB",
    "16 RGBA",
    "F",
    "I",
)
INTEGERS = MODES[:-2]


def example(mode: str, seed: int) -> tuple[bytes, np.ndarray, float]:
    """Return a file, its pixels on white `(H, W, 3)` as numpy computes them, and the value of white."""
    draw = np.random.default_rng(seed)

    def some(channels: int, most: int = 256) -> np.ndarray:
        return draw.integers(0, most, (H, W, channels))

    def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
        stream = BytesIO()
        image.save(stream, kind, **options)
        return stream.getvalue()

    if mode == "1":
        values = draw.integers(0, 2, (H, W)).astype(bool)
        return encoded(Image.fromarray(values)), np.repeat(values[..., None] * 255, 3, axis=2), 255
    if mode in ("L", "16"):
        values = some(1, 256 if mode == "L" else 4096)
        expected = np.repeat(values, 3, axis=2)
        if mode == "16":
            return png16(values), expected, 65535
        return encoded(Image.fromarray(values[..., 0].astype(np.uint8))), expected, 255
    if mode in ("LA", "RGBA", "RGB"):
        values = some(len(mode))
        content = encoded(Image.fromarray(values.astype(np.uint8), mode))
        colour, alpha = (values, None) if mode == "RGB" else (values[..., :-1], values[..., -1] / 255)
        colour = np.repeat(colour, 3 // colour.shape[2], axis=2)
        return content, colour if alpha is None else over(colour, alpha, 255), 255
    if mode in ("16 LA", "16 RGB", "16 RGBA"):
        values = some({"16 LA": 2, "16 RGB": 3, "16 RGBA": 4}[mode], 4096 if mode == "16 RGB" else 65536)
        colour, alpha = (values, None) if mode == "16 RGB" else (values[..., :-1], values[..., -1] / 65535)
        colour = np.repeat(colour, 3 // colour.shape[2], axis=2)
        return png16(values), colour if alpha is None else over(colour, alpha, 65535), 65535
    if mode.startswith("P"):
        palette, codes = some(3)[:4, 0], draw.integers(0, 4, (H, W))
        image = Image.fromarray(codes.astype(np.uint8), "P")
        image.putpalette(palette.astype(np.uint8).tobytes())
        options = {"transparency": 2} if mode == "P transparent" else {}
        expected = palette[codes]
        if options:
            expected = np.where((codes == 2)[..., None], 255, expected)
        return encoded(image, **options), expected, 255
    if mode == "CMYK":
        values = some(4)
        ink, key = values[..., :3] / 255, values[..., 3:] / 255
        content = encoded(Image.fromarray(values.astype(np.uint8), "CMYK"), "TIFF")
        return content, 255 * (1 - ink) * (1 - key), 255
    numbers = draw.normal(0, 1000, (H, W)).astype(np.float32 if mode == "F" else np.int32)
    return encoded(Image.fromarray(numbers), "TIFF"), np.repeat(numbers[..., None], 3, axis=2), 0


@given(mode=st.sampled_from(MODES), seed=st.integers(0, 1000), in_memory=st.booleans())
@settings(max_examples=40, deadline=None)
def test_pixels_are_those_that_numpy_computes(mode: str, seed: int, in_memory: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = [example(mode, seed), example(mode, seed + 1)]
        ending = "tif" if mode in ("CMYK", "F", "I") else "png"
        for label, (content, _, _) in zip("ab", files, strict=True):
            put(Path(folder), f"{label}/1.{ending}", content)
        data = load(folder, color="rgb", in_memory=in_memory)
        expected = np.stack([pixels for _, pixels, _ in files])
        white = files[0][2]
        assert data.x.dtype == {255: np.uint8, 65535: np.uint16, 0: np.float32}[white]
        assert np.abs(np.asarray(data.x) - expected).max() <= 1
        if mode in ("L", "RGB", "16", "16 RGB", "F", "P", "1"):
            assert np.array_equal(np.asarray(data.x), expected)

        # Preprocessing keeps all values apart, and treats rows in memory and in files alike.
        fitted = ImagePreprocessing("none").fit(data.x)
        x = fitted.transform(data.x)["x"][:]
        batch = fitted.on_device()(torch.as_tensor(x)).numpy()
        values = np.asarray(data.x, np.float64)
        low, high = (0, 255) if white == 255 else (values.min(), values.max())
        np.testing.assert_allclose(batch, ((values - low) / (high - low)).transpose(0, 3, 1, 2), atol=2e-6)
        assert len(np.unique(batch)) == len(np.unique(values))


@given(
    mode=st.sampled_from(INTEGERS),
    trained=st.sampled_from(("L", "RGB", "16", "16 RGB")),
    seed=st.integers(0, 99),
    background=st.sampled_from(("white", "black", "ignore")),
    fit=st.sampled_from(("crop", "stretch")),
    turn=st.integers(1, 8),
)
@settings(max_examples=20, deadline=None)
def test_new_images_are_those_of_training_and_of_bundles(
    mode: str, trained: str, seed: int, background: str, fit: str, turn: int
) -> None:
    """Of other sizes, on any background and turned by EXIF."""
    pytest.importorskip("onnxruntime", reason="the script of bundles imports it")
    with tempfile.TemporaryDirectory() as folder:
        for number, label in enumerate("ab"):
            put(Path(folder), f"train/{label}/1.png", example(trained, number)[0])
        content = example(mode, seed)[0]
        ending = "tif" if mode == "CMYK" else "png"
        if turn > 1 and not mode.startswith("16"):
            exif = Image.Exif()
            exif[0x0112] = turn
            put(Path(folder), f"new/a/1.{ending}", Image.open(BytesIO(content)), exif=exif)
        else:
            put(Path(folder), f"new/a/1.{ending}", content)
        put(Path(folder), f"new/b/1.{ending}", content)
        options: dict[str, Any] = {"background": background, "fit": fit, "size": (4, 3)}
        decoder = load(f"{folder}/train", in_memory=False, **options).x.decoder
        new = ImageFiles(list(_entries(Path(folder) / "new")), decoder).read()
        same = load(
            f"{folder}/new",
            color="grey" if decoder.grey else "rgb",
            depth=16 if "16" in trained else 8,
            **options,
        )
        assert np.array_equal(new, same.x), "rows of training are read as new ones"
        if decoder.depth == "uint8":
            spec = {"size": [4, 3], "grey": decoder.grey, "fit": fit, "background": background}
            decode = script(Path(folder), spec, "read_images.txt")["decode"]
            for row, label in enumerate("ab"):
                file = Path(folder) / f"new/{label}/1.{ending}"
                if mode.startswith("16"):
                    with pytest.raises(ValueError, match="has more than 8 bits per channel"):
                        decode(file)
                    continue
                pixels = decode(file)
                assert np.array_equal(pixels[0] if decoder.grey else pixels.transpose(1, 2, 0), new[row])


@given(
    mode=st.sampled_from(INTEGERS),
    trained=st.sampled_from(("L", "RGB", "16", "16 RGB")),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_new_images_are_converted_to_the_depth_of_training(mode: str, trained: str, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, label in enumerate("ab"):
            put(Path(folder), f"train/{label}/1.png", example(trained, number)[0])
        data = load(f"{folder}/train", color="rgb")
        content, expected, white = example(mode, seed)
        put(Path(folder), f"new/1.{'tif' if mode == 'CMYK' else 'png'}", content)
        new = ImageFiles(
            list(_entries(Path(folder) / "new")),
            load(f"{folder}/train", color="rgb", in_memory=False).x.decoder,
        )
        own = 255 if data.x.dtype == np.uint8 else 65535
        assert np.abs(new.read() - expected * (own / white)).max() <= max(1, own / white)
        fitted = ImagePreprocessing().fit(data.x)
        field = fitted.transform(new)["x"]
        assert isinstance(field, FileImages)
        torch.testing.assert_close(field[:], torch.as_tensor(fitted.transform(new.read())["x"]))


def _entries(folder: Path):
    from dlcli.datasets.folders.tree import tree_of_folder

    return tree_of_folder(folder).files


def test_twelve_bits_in_sixteen_keep_their_levels(tmp_path: Path) -> None:
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    for part in ("train", "test"):
        for number, label in enumerate("ab"):
            put(tmp_path, f"{part}/{label}/1.png", ramp[::-1].copy() if number else ramp)
    data = load(str(tmp_path))
    fitted = ImagePreprocessing("none").fit(data.x[data.parts == "train"])
    values = fitted.on_device()(torch.as_tensor(fitted.transform(data.x)["x"]))
    assert len(values.unique()) == 4096
    assert (float(values.min()), float(values.max())) == (0.0, 1.0)
    assert fitted.notices()[0].text == "pixels from 0 to 4,095 in the training rows become 0 to 1"
    assert told(data)["deep_images"] == 4


def test_the_range_is_that_of_the_training_rows(tmp_path: Path) -> None:
    for label in "ab":
        put(tmp_path, f"train/{label}/1.tif", np.full((4, 4), 255 if label == "a" else 0, np.uint16))
        put(tmp_path, f"test/{label}/1.tif", np.full((4, 4), 510, np.uint16))
    data = load(str(tmp_path))
    fitted = ImagePreprocessing("none").fit(data.x[data.parts == "train"])
    values = fitted.on_device()(torch.as_tensor(fitted.transform(data.x)["x"]))
    assert values[data.parts == "train"].unique().tolist() == [0.0, 1.0]
    assert values[data.parts == "test"].unique().tolist() == [2.0]


@pytest.mark.parametrize(("background", "expected"), [("white", 255), ("black", 0), ("ignore", 77)])
def test_a_key_chooses_what_shows_through(tmp_path: Path, background: str, expected: int) -> None:
    drawing = np.full((4, 4, 4), 77, np.uint8)
    drawing[..., 3] = 0
    deep = np.full((4, 4, 2), 77 * 257, np.uint16)
    deep[..., 1] = 0
    for label in "ab":
        put(tmp_path, f"flat/{label}/1.png", drawing)
        put(tmp_path, f"deep/{label}/1.png", png16(deep))
    data = load(str(tmp_path / "flat"), background=background)
    assert np.unique(data.x).tolist() == [expected]
    assert told(data)["transparent_images"] == 2
    assert np.unique(load(str(tmp_path / "deep"), background=background).x).tolist() == [expected * 257]


def test_a_transparent_value_of_a_deep_image(tmp_path: Path) -> None:
    values = np.array([[0, 1000], [2000, 3000]], np.uint16)
    for label in "ab":
        put(tmp_path, f"{label}/1.png", values, transparency=1000)
    assert load(str(tmp_path)).x[0].tolist() == [[0, 65535], [2000, 3000]]


def test_actions_are_reported(tmp_path: Path) -> None:
    grey, colour = np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8)
    frames = [Image.fromarray(colour + shade) for shade in np.uint8([0, 100])]
    exif = Image.Exif()
    exif[0x0112] = 3
    put(tmp_path, "a/grey.png", grey)
    put(tmp_path, "a/bits.png", grey.astype(bool))
    put(tmp_path, "a/palette.png", Image.fromarray(colour).convert("P"))
    put(tmp_path, "a/ink.jpg", Image.new("CMYK", (4, 4)))
    put(tmp_path, "b/moving.gif", frames[0], save_all=True, append_images=frames[1:])
    put(tmp_path, "b/pages.tif", frames[0], save_all=True, append_images=frames[1:])
    put(tmp_path, "b/moving.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    put(tmp_path, "b/turned.jpg", colour, exif=exif)
    put(tmp_path, "b/clear.png", np.zeros((4, 4, 4), np.uint8))
    data = load(str(tmp_path))
    assert told(data) == {
        "converted_images": 5, "transparent_images": 1, "turned_images": 1, "first_frames": 3,
    }  # fmt: skip
    texts = [notice.text for notice in data.notices]
    assert texts[0] == "5 images converted to RGB: palette 2, 1 bit 1, grey 1, CMYK 1"
    assert "3 images with several frames or pages; the first one is read" in texts
    assert data.kinds["RGB, transparency"] == 1
    assert data.x[5:8].max() == 0  # the first frame of each, not the second


def test_a_mixture_of_depths_is_scaled_by_the_full_range_and_reported(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", np.full((4, 4), 128, np.uint8))
    put(tmp_path, "b/1.png", np.full((4, 4), 128 * 257, np.uint16))
    data = load(str(tmp_path))
    assert np.unique(data.x).tolist() == [128 * 257]
    (notice,) = [notice for notice in data.notices if notice.key == "other_depth"]
    assert notice.text == (
        "1 of 2 images have 8 bits per channel and are scaled to 16 bits by their full range"
    )
    assert np.unique(load(str(tmp_path), depth=8).x).tolist() == [128]
    put(tmp_path, "b/2.tif", np.ones((4, 4), np.float32))
    with pytest.raises(DataError, match=r"b/2\.tif: has floating-point values .* such as a/1\.png"):
        load(str(tmp_path))


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "a/1.tif", np.ones((4, 4), np.float32))
    put(tmp_path, "b/1.tif", np.full((4, 4), np.nan, np.float32))
    with pytest.raises(DataError, match=r"b/1\.tif: has pixels that are not finite numbers"):
        load(str(tmp_path))


@pytest.mark.parametrize("turn", range(1, 9))
def test_deep_images_are_turned_upright_as_others_are(tmp_path: Path, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for label in "ab":
        put(tmp_path, f"flat/{label}/1.png", values, exif=exif)
        put(tmp_path, f"deep/{label}/1.png", values.astype(np.uint16), exif=exif)
        put(tmp_path, f"pages/{label}/1.tif", values.astype(np.uint16), tiffinfo={0x0112: turn})
    flat = load(str(tmp_path / "flat")).x
    assert np.array_equal(load(str(tmp_path / "deep")).x, flat)
    assert np.array_equal(load(str(tmp_path / "pages")).x, flat)


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_deep_colours_of_tiff_files(tmp_path: Path, order: str, deflated: bool) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (H, W, 3))
    for label in "ab":
        put(tmp_path, f"{label}/1.tif", tiff16(values, order, deflated))
    data = load(str(tmp_path))
    assert np.array_equal(data.x[0], values)
    assert "shallow_images" not in told(data)


def test_a_notice_reports_that_deep_colours_of_other_formats_are_read_with_8_bits(tmp_path: Path) -> None:
    for label in "ab":
        ppm = b"P6 4 4 65535\n" + np.zeros((4, 4, 3), ">u2").tobytes()
        put(tmp_path, f"{label}/1.ppm", ppm)
    assert told(load(str(tmp_path)))["shallow_images"] == 2


def test_deep_images_are_resized_without_losing_depth(tmp_path: Path) -> None:
    ramp = np.linspace(0, 4095, 32 * 32).reshape(32, 32).astype(np.uint16)
    for label in "ab":
        put(tmp_path, f"grey/{label}/1.png", ramp)
        put(tmp_path, f"colour/{label}/1.png", png16(np.repeat(ramp[..., None], 3, axis=2)))
    grey, colour = load(str(tmp_path / "grey"), size=16).x, load(str(tmp_path / "colour"), size=16).x
    assert len(np.unique(grey)) > 200
    assert np.abs(grey[0].astype(int) - ramp.reshape(16, 2, 16, 2).mean(axis=(1, 3))).max() < 70
    assert np.array_equal(colour[..., 1], grey)


def test_arrays_of_other_types_are_converted_or_refused() -> None:
    trained = ImagePreprocessing().fit(np.random.default_rng(0).integers(0, 256, (4, 3, 3), np.uint8))
    whole = np.arange(9).reshape(1, 3, 3)
    assert trained.transform(whole)["x"].dtype == np.uint8
    with pytest.raises(DataError, match="the images are float64, but the model was trained on uint8"):
        trained.transform(whole / 9)
    floats = ImagePreprocessing("none").fit(whole / 9)
    assert floats.transform(whole / 9)["x"].max() == pytest.approx(255)
    with pytest.raises(DataError, match="the images are uint8, but the model was trained on float32"):
        floats.transform(whole.astype(np.uint8))


@pytest.mark.parametrize("in_memory", [True, False])
def test_large_files_are_read_although_their_header_is_read_first(tmp_path: Path, in_memory: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 160, 3), dtype=np.uint8)
    for label in "ab":
        put(tmp_path, f"png/{label}/1.png", noise)
        put(tmp_path, f"deep/{label}/1.png", png16(noise.astype(np.uint16) * 257))
        put(tmp_path, f"tif/{label}/1.tif", noise)
        put(tmp_path, f"webp/{label}/1.webp", noise, lossless=True)
    for kind in ("png", "tif", "webp"):
        data = load(str(tmp_path / kind), in_memory=in_memory)
        assert np.array_equal(np.asarray(data.x)[0], noise)
        assert data.notices == ()
    assert np.array_equal(
        np.asarray(load(str(tmp_path / "deep"), in_memory=in_memory).x)[0], noise * np.uint16(257)
    )
