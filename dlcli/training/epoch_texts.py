"""`samples_by_epoch.jsonl`: texts that a language model generates after epochs, which show the progress of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from dlcli.preprocessing.language import Language
from dlcli.tracking.ledger import atomic_write
from dlcli.training.text_sampling import Sampling, continued_texts

# Few tokens, since a transformer takes about a millisecond for each: a piece of text, or a few lines.
_TEXT = Sampling(tokens=100, temperature=0.8)
_LINES = Sampling(tokens=20, temperature=0.8, samples=5)


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
