"""Bundles for images: the script decodes and resizes them with Pillow, the ONNX graph normalizes the pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as Pixels

from dlcli.datasets.data import take
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.images.formats import image_suffixes
from dlcli.datasets.images.image_decoder import BadImage, Decoder
from dlcli.errors import InputError
from dlcli.exporting.bundled_rows import ROWS, BundledRows, BundleSource, predicted_files
from dlcli.exporting.heads import INSTEAD
from dlcli.files.paths import is_folder, kind_at, typed
from dlcli.prediction.new_files import new_files
from dlcli.prediction.row_reader import RowReader
from dlcli.preprocessing.image import Image


class ImageRows(BundledRows):
    """Images with 8 bits per channel."""

    reader = "read_images.txt"
    packages = ("numpy", "onnxruntime", "PIL")
    card = (
        "`predict.py` decodes images with Pillow, and crops and scales them to the size of the training images; "
        "`model.onnx` accepts their bytes and normalizes them. The predictions were compared with those of the trained "
        "model on image files before this folder was written."
    )

    def __init__(self, source: BundleSource) -> None:
        preprocessing: Any = source.model.preprocessing
        if type(preprocessing) is not Image:
            what = f"a bundle of {type(preprocessing).__name__} cannot be made: only of images of dlcli's own"
            raise InputError(what, "--bundle", INSTEAD)
        if preprocessing.depth_ != "uint8":
            what = f"images of {preprocessing.depth_} are not supported in bundles: only 8 bits per channel"
            raise InputError(what, "--bundle", INSTEAD)
        super().__init__(source)
        self._reader = RowReader(source.opened, source.model)
        channels, height, width = source.model.input_shape
        self._size, self._is_grey = (height, width), channels == 1

    def spec(self) -> dict[str, Any]:
        """Return how the script converts images."""
        settings = self._reader.settings
        return {"label": "file", "size": list(self._size), "grey": self._is_grey, "fit": settings.fit,
                "background": settings.background}  # fmt: skip

    def write_raw(self, folder: Path) -> Path:
        """Write images of the run's data: copies of their files, or PNG files for images in memory."""
        place = folder / "rows"
        place.mkdir()
        path = self.source.dataset.get("path")
        if isinstance(path, str) and kind_at(typed(path)) != "nothing":
            # Of images with masks, without the masks.
            images = typed(path) / "images" if is_folder(typed(path) / "images") else typed(path)
            entries, _ = new_files(
                images, self._reader.settings.image, image_suffixes(), "images", "dataset.image"
            )
            whole = [entry for entry in entries[:: max(1, len(entries) // ROWS)][:ROWS] if _is_whole(entry)]
            for number, entry in enumerate(whole):
                (place / f"{number:04}{Path(entry.name).suffix}").write_bytes(entry.read())
        else:
            _write_pngs(place, np.asarray(take(self.source.data.x, self.source.some())))
        return place

    def write_example(self, folder: Path) -> Path:
        """Write synthetic images: gradients and noise, one of them of another size."""
        place = folder / self.example
        place.mkdir()
        height, width = self._size
        random = np.random.default_rng(0)
        ramp = np.linspace(0, 255, height * width).reshape(height, width)
        noise = random.integers(0, 256, (height, width))
        larger = random.integers(0, 256, (2 * height + 1, 2 * width)).cumsum(axis=1) % 256
        for number, pixels in enumerate((ramp, noise, larger)):
            grey = pixels.astype(np.uint8)
            _write_pngs(
                place,
                (grey if self._is_grey else np.stack([grey, grey[::-1], grey[:, ::-1]], 2))[None],
                number,
            )
        return place

    def predicted(self, place: Path) -> pd.DataFrame:
        """Return the model's predictions of the images in a folder."""
        return predicted_files(self.source, self._reader, place)


def _is_whole(entry: Stored) -> bool:
    """Return whether an image can be decoded; the run may have left out others (`dataset.on_bad=skip`)."""
    try:
        Decoder(None, "crop", grey=False).decode(entry)
    except BadImage:
        return False
    return True


def _write_pngs(place: Path, images: np.ndarray, first: int = 0) -> None:
    """Write images `(N, H, W)` or `(N, H, W, C)` of bytes."""
    for number, pixels in enumerate(images, first):
        plain = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
        Pixels.fromarray(np.ascontiguousarray(plain).astype(np.uint8)).save(place / f"{number:04}.png")
