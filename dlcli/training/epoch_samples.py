"""Images generated after epochs from fixed noise, as files that show the progress of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import Callback

from dlcli.tasks.pixels import as_pictures

FOLDER = "samples"

# Maximum number of epochs with images (a few more without a limit of epochs).
_EPOCHS = 20


class EpochSamples(Callback):
    """Callback that writes a strip of images, `samples/epoch_0001.png`, after each epoch, or about twenty times in a
    long run.

    Args:
        folder: folder of the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Generate the images with the network that is validated and saved."""
        epoch = trainer.current_epoch + 1
        if not trainer.is_global_zero or not is_drawn(epoch, trainer.max_epochs):
            return
        module: Any = pl_module
        network = module.evaluated
        training = network.training
        strip = as_strip(module.task.strip(network.eval()).cpu().numpy())
        network.train(training)
        self._folder.mkdir(exist_ok=True)
        Image.fromarray(strip).save(self._folder / f"epoch_{epoch:04}.png")


def is_drawn(epoch: int, max_epochs: int | None) -> bool:
    """Return whether images of an epoch, counted from 1, are kept."""
    if max_epochs is None or max_epochs < 0:
        return epoch & (epoch - 1) == 0  # powers of two
    every = -(-max_epochs // _EPOCHS)
    return epoch in (1, max_epochs) or epoch % every == 0


def as_strip(images: np.ndarray) -> np.ndarray:
    """Return images `(N, C, H, W)` from 0 to 255 side by side, bytes `(H, N * W)` or `(H, N * W, 3)`."""
    strip = np.concatenate(list(as_pictures(images)), axis=1)
    return strip
