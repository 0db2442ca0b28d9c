"""Images or texts that are generated after epochs with fixed draws, as files that show the progress of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import Callback
from torch import nn

from dlcli.preprocessing.language import Language
from dlcli.tasks.base import Task
from dlcli.tasks.language_model import LanguageModel
from dlcli.tasks.pixels import as_pictures
from dlcli.tracking.history import TEXTS_BY_EPOCH
from dlcli.tracking.ledger import atomic_write
from dlcli.training.text_sampling import Sampling, continued_texts

FOLDER = "samples"

# Maximum number of epochs with samples (a few more without a limit of epochs).
_EPOCHS = 20

# Few tokens, since a transformer takes about a millisecond for each: a piece of text, or a few lines.
_TEXT = Sampling(tokens=100, temperature=0.8)
_LINES = Sampling(tokens=20, temperature=0.8, samples=5)


def makes_samples(task: Task) -> bool:
    """Return whether a task's models generate images or texts after epochs."""
    return hasattr(task, "strip") or isinstance(task, LanguageModel)


class EpochSamples(Callback):
    """Callback that writes samples after each epoch, or about twenty times in a long run.

    Images are a strip, `samples/epoch_0001.png`; texts are lines of `samples_by_epoch.jsonl`.

    Args:
        run_dir: the run's folder.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Generate the samples with the network that is validated and saved."""
        epoch = trainer.current_epoch + 1
        if not trainer.is_global_zero or not is_drawn(epoch, trainer.max_epochs):
            return
        module: Any = pl_module
        network, task = module.evaluated, module.task
        training = network.training
        network.eval()
        if isinstance(task, LanguageModel):
            file = self._run_dir / TEXTS_BY_EPOCH
            write_texts(file, epoch, network.model, task.language, task.prompt, module.device)
        else:
            strip = as_strip(task.strip(network).cpu().numpy())
            folder = self._run_dir / FOLDER
            folder.mkdir(exist_ok=True)
            Image.fromarray(strip).save(folder / f"epoch_{epoch:04}.png")
        network.train(training)


def is_drawn(epoch: int, max_epochs: int | None) -> bool:
    """Return whether samples of an epoch, counted from 1, are kept."""
    if max_epochs is None or max_epochs < 0:
        return epoch & (epoch - 1) == 0  # powers of two
    every = -(-max_epochs // _EPOCHS)
    return epoch in (1, max_epochs) or epoch % every == 0


def as_strip(images: np.ndarray) -> np.ndarray:
    """Return images `(N, C, H, W)` from 0 to 255 side by side, bytes `(H, N * W)` or `(H, N * W, 3)`."""
    strip = np.concatenate(list(as_pictures(images)), axis=1)
    return strip


def write_texts(
    file: Path, epoch: int, network: nn.Module, language: Language, prompt: str, device: Any
) -> None:
    """Write the texts of an epoch, an object with epoch, prompt and text in each line.

    The draws have the same seed in each epoch. Lines of later epochs, which a run that is resumed repeats, are removed.
    """
    sampling = _LINES if language.are_documents_ else _TEXT
    texts = continued_texts(network, language, prompt, sampling, device)
    # Not `splitlines`, which also splits at line breaks of Unicode within a text.
    lines = file.read_text(encoding="utf-8").split("\n") if file.is_file() else []
    kept = [line for line in lines if line and json.loads(line)["epoch"] < epoch]
    kept += [
        json.dumps({"epoch": epoch, "prompt": prompt, "text": one.text}, ensure_ascii=False) for one in texts
    ]
    atomic_write(file, "\n".join(kept) + "\n", durable=False)
