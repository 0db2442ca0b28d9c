"""Small JPEGs that stay open between their headers and their pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlcli.datasets.folders import file_threads
from dlcli.datasets.folders.file_threads import in_threads
from dlcli.datasets.folders.stored import FileEntry
from dlcli.datasets.images import image_loading
from dlcli.datasets.images.formats import image_formats
from dlcli.datasets.images.image_decoder import BadImage
from dlcli.datasets.images.image_loading import ImageOptions, InMemory, load_images
from dlcli.errors import DataError


def jpegs(folder: Path, count: int, turn: int = 1) -> list[FileEntry]:
    entries = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (9, 12, 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[0x0112] = turn
        file = folder / f"{number}.jpg"
        Image.fromarray(pixels).save(file, exif=exif)
        entries.append(FileEntry(file.name, str(file), 0, file.stat().st_size))
    return entries


@pytest.mark.parametrize("kept", [0, 20_000, 1 << 27])
@pytest.mark.parametrize(
    "options", [ImageOptions(), ImageOptions(color="grey"), ImageOptions(size=7)], ids=str
)
def test_files_that_stay_open_give_the_same_pixels(
    kept: int, options: ImageOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_loading, "_KEPT", kept)
    entries = jpegs(tmp_path, 5, turn=6)
    images = load_images(tmp_path, entries, options)
    assert isinstance(images.x, np.ndarray)
    on_demand = load_images(
        tmp_path, entries, ImageOptions(options.size, color=options.color, in_memory=False)
    )
    np.testing.assert_array_equal(images.x, np.asarray(on_demand.x[np.arange(5)]))
    assert images.content == on_demand.content
    if options.size is None:
        assert images.x.shape[1:3] == (12, 9)  # upright


@pytest.mark.parametrize(("in_memory", "kept"), [("auto", 2), (True, 2), (False, 0)])
def test_few_bytes_stay_in_memory(
    in_memory: InMemory, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_files: list[int] = []
    read = image_loading._read_headers

    def watched(*arguments: Any, **more: Any) -> Any:
        found = read(*arguments, **more)
        open_files.append(sum(file is not None for file in found.opened))
        return found

    monkeypatch.setattr(image_loading, "_read_headers", watched)
    monkeypatch.setattr(
        image_loading, "_KEPT", 20_000
    )  # two files of 400 bytes and what Pillow holds of them
    load_images(tmp_path, jpegs(tmp_path, 5), ImageOptions(in_memory=in_memory))
    assert open_files == [kept]


def test_a_truncated_file_among_opened_ones_is_named_or_left_out(tmp_path: Path) -> None:
    entries = jpegs(tmp_path, 6)
    file = tmp_path / "3.jpg"
    file.write_bytes(file.read_bytes()[:-200])
    entries[3] = FileEntry(file.name, str(file), 0, file.stat().st_size)
    with pytest.raises(DataError, match=r"3\.jpg"):
        load_images(tmp_path, entries, ImageOptions())
    assert load_images(tmp_path, entries, ImageOptions(on_bad="skip")).rows.tolist() == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("count", [1, 3])
def test_results_of_threads_are_in_order(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_threads, "threads", lambda: count)

    def work(number: int) -> int:
        if number % 7 == 3:
            raise BadImage(str(number))
        return number

    found = list(in_threads(work, range(1000)))
    assert [int(str(value)) for value in found] == list(range(1000))
    assert [isinstance(value, BadImage) for value in found] == [number % 7 == 3 for number in range(1000)]
    assert list(in_threads(work, range(0))) == []


def test_formats_with_a_signature_are_tried_first() -> None:
    assert image_formats()[:2] == ("JPEG", "PNG")
    assert len(set(image_formats())) == len(image_formats())
