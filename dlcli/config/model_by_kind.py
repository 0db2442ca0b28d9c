"""The default model of datasets whose kind of rows is known only when they are read."""

from __future__ import annotations

from collections.abc import Sequence

from dlcli.config.compose import Composed
from dlcli.config.overrides import named_by
from dlcli.config.set_by_user import set_by_user

# Kind of rows to the model: the defaults of dataset=table, text and image_folder.
MODELS = {"table": "tabm", "tokens": "linear", "image": "vgg"}

# Datasets of several kinds of rows.
_DATASETS = ("hf",)


def follows_from_rows(composed: Composed, words: Sequence[str]) -> bool:
    """Return whether the model follows from the kind of rows: nobody has chosen one or set a key that depends on it.

    Args:
        composed: the configuration, in which the data may have chosen a preprocessing already.
        words: the overrides of the command line.
    """
    named = {*set_by_user(composed) - {"preprocessing"}, *map(named_by, words)}
    return composed.choices["dataset"] in _DATASETS and not any(
        name.split(".")[0] in ("model", "preprocessing", "finetune") for name in named
    )
