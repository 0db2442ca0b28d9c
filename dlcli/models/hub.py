"""Weights from the Hugging Face hub: told early, and in words, that they cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dlcli.errors import ConfigError, first_line
from dlcli.files.paths import typed

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_SECONDS = 10


def check_cached(
    repository: str | None, name: str, where: str, instead: str = "Or give a file: model.weights=FILE."
) -> None:
    """Make sure that the weights of a hub's repository are cached, or that the hub answers.

    HF_HOME says where the cache is, HF_HUB_OFFLINE=1 that the hub is not to be asked. (The library itself tries for
    most of a minute before it gives up.)

    Raises:
        ConfigError: at `where`: what to fetch, and where to put it.
    """
    import huggingface_hub
    from huggingface_hub import constants

    if not repository:
        raise ConfigError(
            f"the hub has no weights of {name}", where, "Give a file, or null to start at random."
        )
    if any(isinstance(huggingface_hub.try_to_load_from_cache(repository, file), str) for file in _WEIGHTS):
        return
    reason = "HF_HUB_OFFLINE is set"
    if not constants.HF_HUB_OFFLINE:
        try:
            huggingface_hub.model_info(repository, timeout=_SECONDS)
            return
        except Exception as error:  # the hub's, or those of the library that it speaks through
            reason = first_line(error)

    raise ConfigError(
        f"the weights of {name} are not on this machine, and the hub cannot be asked for them ({reason})",
        where,
        f"Where there is a network: hf download {repository}; what that leaves belongs in "
        f"{constants.HF_HUB_CACHE} (HF_HOME moves it). " + instead,
    )


def pretrained_folder(name: str, where: str) -> str:
    """Where transformers finds a model: a folder with its files, or a name on the hub that can be had.

    Raises:
        ConfigError: at `where`: the folder holds no model, or what to fetch from the hub.
    """
    folder = typed(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            hint = "save_pretrained of transformers writes model and tokenizer into one."
            raise ConfigError(f"{folder} holds no config.json", where, hint)
        return str(folder)
    transformers()
    check_cached(name, name, where, f"Or give a folder with its files: {where}=FOLDER.")
    return name


# Keys of a model's description by which transformers fetches and runs code, or other models.
_FETCHED = ("auto_map", "attn_implementation", "experts_implementation", "use_kernels", "quantization_config")


def plain_description(described: Any) -> Any:
    """A model's description (its config.json) without what would have transformers run code from elsewhere."""
    if isinstance(described, list):
        return [plain_description(value) for value in described]
    if not isinstance(described, dict):
        return described
    return {
        key: plain_description(value)
        for key, value in described.items()
        if not any(fetched in key for fetched in _FETCHED)
    }


@contextmanager
def without_bars() -> Iterator[None]:
    """No bar of transformers' own, which shows for a moment where nothing is long; those of a download stay."""
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging

    if not logging.is_progress_bar_enabled() or are_progress_bars_disabled():
        yield
        return
    logging.disable_progress_bar()
    enable_progress_bars()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def transformers() -> Any:
    """The library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise ConfigError("transformers is not installed", "model", "pip install 'dlcli[text]'") from error
    return transformers
