"""A language model killed in the middle of an epoch resumes with the same random windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load_file

from dlcli.datasets.passages import Passages, stream_of
from dlcli.models.gpt import GPT
from dlcli.preprocessing.language import Language
from dlcli.tasks.language_model import LanguageModel
from dlcli.tasks.losses import NextToken
from dlcli.training.fields import as_fields
from dlcli.training.fit import FitResult
from dlcli.training.network import Network
from tests.training import fitting


class Killed(BaseException):
    """Stands in for kill -9: nothing that catches errors sees it."""


class KillInEpoch(Callback):
    def __init__(self, kills: bool) -> None:
        self.kills = kills

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if self.kills and trainer.current_epoch == 1 and batch_idx == 3:
            raise Killed


def rows(text: str) -> Passages:
    codes, _ = stream_of([text])
    starts = np.arange(1, len(codes), 8)
    return Passages(codes, starts, np.minimum(starts + 8, len(codes)))


def train(folder: Path, *, kills: bool = False, earlier: Any = (), heard: Any = None) -> FitResult:
    train, val = rows("the cat sat on the mat. " * 20), rows("the mat sat on the cat. " * 2)
    language = Language().fit(train)
    torch.manual_seed(0)
    task = LanguageModel(**train.facts(np.arange(len(train)), ()), loss=NextToken())
    task.attach(language)
    network = Network(GPT(**language.facts(), hidden=8, layers=1, heads=2, dropout=0.1), finish=task.outputs)
    fields = [as_fields(language.transform(x)) | as_fields({"y": task.encode(x)}) for x in (train, val)]

    def listen(event: Any) -> None:
        if heard is not None and hasattr(event, "metrics"):
            heard.append(dict(event.metrics))

    return fitting.fit_recipe(
        folder,
        network,
        task,
        *fields,
        {"max_epochs": 3},
        make_optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
        callbacks=[KillInEpoch(kills)],
        monitor="val/loss",
        mode="min",
        checkpoint_minutes=1e-9,
        earlier=earlier,
        listen=listen,
    )


def test_the_rest_of_an_epoch_has_the_windows_that_it_would_have_had(tmp_path: Path) -> None:
    whole = train(tmp_path / "a")
    history: list[dict[str, float]] = []
    with pytest.raises(Killed):
        train(tmp_path / "b", kills=True, heard=history)
    resumed = train(tmp_path / "b", earlier=history)
    mine, theirs = (load_file(found.best_weights) for found in (whole, resumed))
    assert all(torch.equal(values, theirs[name]) for name, values in mine.items())
    losses = [[(e["train/loss"], e["val/loss"]) for e in found.history] for found in (whole, resumed)]
    assert losses[0] == losses[1]
    assert losses[0][2][0] < losses[0][0][0]
