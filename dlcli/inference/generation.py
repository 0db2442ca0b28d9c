"""Generate text with a saved language model."""

from __future__ import annotations

import torch

from dlcli.errors import InputError
from dlcli.inference.saved_model import SavedModel
from dlcli.preprocessing.language import Language
from dlcli.training.text_sampling import Generated, Sampling, continued_texts


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
