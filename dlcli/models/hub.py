"""Weights from the Hugging Face hub: told early, and in words, that they cannot be had."""

from __future__ import annotations

from dlcli.errors import ConfigError

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_SECONDS = 10


def check_cached(repository: str | None, name: str, where: str) -> None:
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
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]

    raise ConfigError(
        f"the weights of {name} are not on this machine, and the hub cannot be asked for them ({reason})",
        where,
        f"Where there is a network: hf download {repository}; what that leaves belongs in "
        f"{constants.HF_HUB_CACHE} (HF_HOME moves it). "
        "Or give a file: model.weights=FILE.",
    )
