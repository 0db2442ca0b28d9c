"""`samples.txt`: texts that a language model generates after training."""

from __future__ import annotations

from pathlib import Path

import torch

from dlcli.inference.generation import continue_text
from dlcli.inference.saved_model import SavedModel
from dlcli.tasks.language_model import LanguageModel
from dlcli.tracking.ledger import atomic_write
from dlcli.training.text_sampling import Sampling

SAMPLES = "samples.txt"

# Few enough tokens to take about a second on a CPU.
_TEXTS = Sampling(tokens=300, temperature=0.8, samples=3)
_LINES = Sampling(tokens=60, temperature=0.8, samples=20)


def record_samples(run_dir: Path, model: SavedModel, device: torch.device) -> None:
    """Write texts, if the model is a language model."""
    if not isinstance(model.task, LanguageModel):
        return
    of_lines = model.task.language.are_documents_
    sampling = _LINES if of_lines else _TEXTS
    texts = [one.text for one in continue_text(model, model.task.prompt, sampling, device)]
    between = "\n" if of_lines else "\n---\n"
    head = f"# {sampling.samples} texts, temperature {sampling.temperature}, seed {sampling.seed}\n"
    atomic_write(run_dir / SAMPLES, head + between.join(texts) + "\n")
