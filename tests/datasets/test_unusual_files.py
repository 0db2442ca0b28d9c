"""Unusual images and texts are read without unexpected warnings, and training and evaluation agree on them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dlcli

QUICK = ["model=linear", "trainer.max_epochs=1", "trainer.accelerator=cpu", "tracking.system_metrics=false"]

Draw = np.random.Generator


def colours(draw: Draw) -> Image.Image:
    return Image.fromarray(draw.integers(0, 256, (6, 8, 3)).astype(np.uint8))


def cmyk(draw: Draw, file: Path) -> None:
    colours(draw).convert("CMYK").save(file.with_suffix(".jpg"))


def one_bit(draw: Draw, file: Path) -> None:
    Image.fromarray(draw.random((6, 8)) < 0.5).save(file.with_suffix(".png"))


def palette(draw: Draw, file: Path) -> None:
    colours(draw).convert("P").save(file.with_suffix(".png"), transparency=0)


def float_tiff(draw: Draw, file: Path) -> None:
    Image.fromarray(draw.normal(size=(6, 8)).astype(np.float32)).save(file.with_suffix(".tif"))


def grey_alpha(draw: Draw, file: Path) -> None:
    colours(draw).convert("LA").save(file.with_suffix(".png"))


def turned(draw: Draw, file: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation: turned by 90 degrees
    colours(draw).save(file.with_suffix(".jpg"), exif=exif)


def animated(draw: Draw, file: Path) -> None:
    colours(draw).save(file.with_suffix(".gif"), save_all=True, append_images=[colours(draw)])


PARTS = {"train": 4, "val": 2, "test": 2}

# How the folders are named: their order, the names of the parts, those of the classes; and whether they are zipped.
IMAGES: dict[str, tuple[Callable[[Draw, Path], None], str, tuple[str, ...], tuple[str, str], bool, set[str]]] = {
    "CMYK": (cmyk, "{part}/{label}", ("TRAIN", "Validation", "holdout"), ("\U0001f431", "\U0001f436"), False, set()),
    "1 bit, zipped": (one_bit, "{part}/{label}", ("train", "val", "test"), ("a", "b"), True, set()),
    "palette": (palette, "{label}/{part}", ("train", "dev", "test"), ("a", "b c"), False, set()),
    "float TIFF": (float_tiff, "{part}/{label}", ("training", "valid", "testing"), ("1", "02"), False, set()),
    "grey and alpha": (grey_alpha, "{part}/{label}", ("Train", "Val", "Test"), ("a,b", "c=d"), False, set()),
    "turned": (turned, "{part}/{label}", ("train", "val", "test"), ("a", "b"), False, set()),
    "animated": (animated, "{label}/{part}", ("train", "val", "test"), ("a", "b"), True, {"first_frames"}),
}  # fmt: skip


def evaluated_as_recorded(words: list[str]) -> set[str]:
    """Check, train, evaluate again, and return the keys of the warnings, which check and training give alike."""
    _, profile = dlcli.check(words)
    trained = dlcli.train(words)
    again = dlcli.evaluate(trained.run_dir).values
    recorded = {key: value for key, value in trained.values.items() if key.startswith("test/")}
    assert recorded
    assert {key: again[key] for key in recorded} == pytest.approx(recorded, rel=1e-5, abs=1e-6, nan_ok=True)
    found = [notice for notice in trained.notices if notice["warns"]]
    assert sorted(warning.message for warning in profile.warnings) == sorted(one["text"] for one in found)
    return {notice["key"] for notice in found}


@pytest.mark.parametrize("name", IMAGES)
def test_unusual_images_are_trained_and_evaluated_alike(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write, order, parts, labels, is_zipped, expected = IMAGES[name]
    draw = np.random.default_rng(0)
    for part, count in zip(parts, PARTS.values(), strict=True):
        for label in labels:
            folder = Path("images", order.format(part=part, label=label))
            folder.mkdir(parents=True)
            for number in range(count):
                write(draw, folder / str(number))
    place = "images"
    if is_zipped:
        place = "images.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for file in sorted(Path("images").rglob("*.*")):
                archive.write(file)
    assert evaluated_as_recorded(["dataset=image_folder", f"dataset.path={place}", *QUICK]) == expected


TEXTS: dict[str, tuple[str, list[str]]] = {
    "BOM and CRLF": ("utf-8-sig", []),
    "latin-1": ("latin-1", ["dataset.encoding=latin-1"]),
    "UTF-16": ("utf-16", ["dataset.encoding=utf-16"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_unusual_texts_are_trained_and_evaluated_alike(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blank lines, a text without words and a very long one among others, in every encoding."""
    monkeypatch.chdir(tmp_path)
    encoding, words = TEXTS[name]
    texts = [f"{'gut schön' if row % 2 else 'böse übel'} {row} {row * 37 % 11}" for row in range(40)]
    texts[3], texts[4] = "...", "böse " * 20_000
    lines = [f'"{text}",{"gut" if row % 2 else "böse"}' for row, text in enumerate(texts)]
    lines.insert(9, "")
    Path("t.csv").write_bytes("\r\n".join(["text,label", *lines, "", ""]).encode(encoding))
    given = ["dataset=text", "dataset.path=t.csv", "dataset.target=label", *QUICK]
    assert evaluated_as_recorded([*given, *words]) == {"doubts"}
