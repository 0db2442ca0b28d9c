"""Early checks that weights from the Hugging Face hub are available."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dlcli.errors import ConfigError, first_line
from dlcli.files.paths import typed
from dlcli.gate.gate import may_download

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_SECONDS = 10


def check_cached(
    repository: str | None, name: str, where: str, alternative: str = "Or use a file: model.weights=FILE."
) -> None:
    """Check that the weights of a hub repository are cached or can be downloaded.

    HF_HOME sets the location of the cache, and HF_HUB_OFFLINE=1 disables requests to the hub. Without this check, the
    library retries for most of a minute before it fails.

    Raises:
        ConfigError: the weights are not available; reported at `where`, with instructions for the download.
    """
    import huggingface_hub
    from huggingface_hub import constants

    if not repository:
        raise ConfigError(
            f"the hub has no weights of {name}", where, "Give a file, or null for random initial weights."
        )
    if any(isinstance(huggingface_hub.try_to_load_from_cache(repository, file), str) for file in _WEIGHTS):
        return
    if not may_download():
        raise ConfigError(
            f"the weights of {name} are not cached on this machine, and only a run's folder names them",
            where,
            f"Download them: hf download {repository}. Or, if you trust the run, add --trust.",
        )
    reason = "HF_HUB_OFFLINE is set"
    if not constants.HF_HUB_OFFLINE:
        try:
            huggingface_hub.model_info(repository, timeout=_SECONDS)
            return
        except Exception as error:  # the hub client's own errors, or those of its HTTP library
            reason = first_line(error)

    raise ConfigError(
        f"the weights of {name} are not cached on this machine, and the hub cannot be reached ({reason})",
        where,
        f"On a machine with network access run: hf download {repository}; then copy the downloaded files to "
        f"{constants.HF_HUB_CACHE} (set by HF_HOME). " + alternative,
    )


def pretrained_folder(name: str, where: str) -> str:
    """Return the name or path of a model for transformers: a folder with its files, or an available hub model.

    Raises:
        ConfigError: the folder contains no model, or the hub model is not available; reported at `where`.
    """
    folder = typed(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            hint = "Save model and tokenizer there with save_pretrained of transformers."
            raise ConfigError(f"{folder} contains no config.json", where, hint)
        return str(folder)
    transformers()
    check_cached(name, name, where, f"Or give a folder with its files: {where}=FOLDER.")
    return name


# Keys of a model's config.json by which transformers would download and run code, or load other models.
_REMOTE_CODE = (
    "auto_map",
    "attn_implementation",
    "experts_implementation",
    "use_kernels",
    "quantization_config",
)


def plain_description(config: Any) -> Any:
    """Return a model's config.json without keys that make transformers run foreign code."""
    if isinstance(config, list):
        return [plain_description(value) for value in config]
    if not isinstance(config, dict):
        return config
    return {
        key: plain_description(value)
        for key, value in config.items()
        if not any(remote in key for remote in _REMOTE_CODE)
    }


@contextmanager
def without_bars() -> Iterator[None]:
    """Disable the progress bars of transformers for loading weights, but not for downloads."""
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
    """Import and return transformers.

    Raises:
        ConfigError: transformers is not installed.
    """
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise ConfigError("transformers is not installed", "model", "pip install transformers") from error
    return transformers
