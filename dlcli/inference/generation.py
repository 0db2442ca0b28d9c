"""Generate text with a saved language model, and record samples after training."""

from __future__ import annotations

from pathlib import Path

import torch

from dlcli.errors import InputError
from dlcli.inference.saved_model import SavedModel
from dlcli.preprocessing.language import Language
from dlcli.tasks.language_model import LanguageModel
from dlcli.tracking.ledger import atomic_write
from dlcli.training.text_sampling import Generated, Sampling, continued_texts

SAMPLES = "samples.txt"

# Few enough tokens to take about a second on a CPU.
_TEXTS = Sampling(tokens=300, temperature=0.8, samples=3)
_LINES = Sampling(tokens=60, temperature=0.8, samples=20)


def continue_text(
    model: SavedModel,
    prompt: str,
    sampling: Sampling,
    device: torch.device | str = "cpu",
    *,
    cached: bool = True,
) -> list[Generated]:
    """Return texts that begin with a prompt; see `continued_texts`.

    Raises:
        InputError: the model is no language model.
    """
    language = language_of(model)
    network = model.network.to(device).eval().model
    return continued_texts(network, language, prompt, sampling, device, cached=cached)


def language_of(model: SavedModel) -> Language:
    """Return the preprocessing of a language model.

    Raises:
        InputError: the model is no language model.
    """
    if isinstance(model.preprocessing, Language) and not getattr(model, "members", ()):
        return model.preprocessing
    raise InputError(
        f"continues a text, but the model's task is {model.task.describe()}",
        "--prompt",
        "Name a run of dataset=language.",
    )


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
