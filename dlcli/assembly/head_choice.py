"""Choose `finetune.head=auto`: a head that is solved on cached features, or one that is trained by steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dlcli.assembly.batch_rows import takes_all_rows
from dlcli.assembly.feature_cache import FEATURE_KINDS, why_rows_change
from dlcli.assembly.starting_weights import starting_weights
from dlcli.config.build import TARGET, locate
from dlcli.datasets.data import Data

SOLVED, STEPS = "solved", "steps"

# Groups that are empty by default, and whose options change steps.
GROUPS_OF_STEPS = ("scheduler", "weight_averaging", "finder")

# Sections and keys of steps: those who set them want steps.
_OF_STEPS = (
    "optimizer",
    "dataset.batch_size",
    "dataset.batch_tokens",
    "trainer.accumulate_grad_batches",
    "trainer.gradient_clip_val",
)

# Limits of the length. In a file of an experiment or project, they are no choice of this run; a solved head keeps them.
_LENGTHS = ("trainer.max_epochs", "trainer.max_steps")


def automatic_head(
    config: Mapping[str, Any], data: Data, set_by_user: Collection[str], commanded: Collection[str]
) -> tuple[str, str]:
    """Return the value of `finetune.head=auto` for a frozen backbone, and the reason for it.

    Args:
        config: the configuration, with the augmentation that is used.
        data: the dataset.
        set_by_user: groups and keys that the user or an experiment has set.
        commanded: those of them that the command line has set.
    """
    if found := why_unsolvable(config, data):
        return STEPS, f"as {found[1]}"
    if why := why_rows_change(config):
        return STEPS, f"as {why}"
    if starting_weights(config) is not None:
        return STEPS, "as training continues from the head of model.weights"
    if takes_all_rows(config):
        return STEPS, "of the solver, one for each penalty"
    named = [group for group in GROUPS_OF_STEPS if config[group]]
    named += keys_of_steps(set_by_user, commanded)
    if config["model"].get("dropout") and "model.dropout" in set_by_user:
        named.append("model.dropout")
    if named:
        return STEPS, f"as {' and '.join(named[:2])} {'is' if len(named) == 1 else 'are'} set"
    limits = [key for key in _LENGTHS if key in set_by_user]
    only = f" but {' and '.join(limits)}, which is not of the command line," if limits else ""
    return SOLVED, f"as no setting of steps{only} is given (finetune.head=steps trains it by steps)"


def keys_of_steps(named: Collection[str], commanded: Collection[str]) -> list[str]:
    """Return the sections and keys of steps that some keys belong to, and the limits that the command line sets."""
    found = [key for key in _OF_STEPS if any(f"{name}.".startswith(f"{key}.") for name in named)]
    return [*found, *(key for key in _LENGTHS if key in commanded)]


def why_unsolvable(config: Mapping[str, Any], data: Data) -> tuple[str, str] | None:
    """Return the key and the reason why the head of a model with a backbone cannot be solved; None if it can."""
    model, task = locate(config["model"][TARGET]), locate(config["task"][TARGET])
    per_row = getattr(task, "outputs_of", "row") == "row"
    if not hasattr(model, "linear_head") or data.kind not in FEATURE_KINDS or not per_row:
        return "finetune", "only a linear head on features of whole images or texts can be solved"
    if config["model"].get("hidden"):
        return "model.hidden", "the head has a dense layer, and cannot be solved"
    if config["finetune"].get("cache") is False:
        return "finetune.cache", "the features are computed in each epoch"
    return None


def solves_head(config: Mapping[str, Any]) -> bool:
    """Return whether a linear head is solved before the first epoch."""
    section = config["finetune"] or {}
    return section.get("head") == SOLVED or (
        TARGET in section and getattr(locate(section[TARGET]), "solves_head", False)
    )
