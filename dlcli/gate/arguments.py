"""Arguments that are not accepted from a run's folder, because they would write files or execute code.

The remaining arguments of an accepted class or function are plain values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlcli.config.reserved_keys import SUPPLIED, supplied_to

# Accepted arguments of Lightning's trainer. Its other arguments name files, plugins and loggers.
_OF_TRAINER = frozenset(
    [
        "accelerator",
        "devices",
        "num_nodes",
        "strategy",
        "precision",
        "max_epochs",
        "min_epochs",
        "max_steps",
        "min_steps",
        "max_time",
        "limit_train_batches",
        "limit_val_batches",
        "overfit_batches",
        "val_check_interval",
        "check_val_every_n_epoch",
        "log_every_n_steps",
        "accumulate_grad_batches",
        "gradient_clip_val",
        "gradient_clip_algorithm",
        "deterministic",
        "benchmark",
        "inference_mode",
        "use_distributed_sampler",
        "detect_anomaly",
        "sync_batchnorm",
        "reload_dataloaders_every_n_epochs",
        "fast_dev_run",
        "profiler",
        "limit_rows",
        "limit_folds",
        "limit_epochs",
    ]
)

# Arguments of timm.create_model that read files or the hub, write files, or replace the model's description.
_OF_TIMM = frozenset(
    [
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "checkpoint_path",
        "cache_dir",
        "features_only",
        "num_classes",
        "in_chans",
        "img_size",
        "global_pool",
        "scriptable",
        "exportable",
        "no_jit",
    ]
)

# An argument that dlcli passes to models but does not record.
_NO_FACTS = frozenset(["restored"])

_PLAIN = (str, int, float, bool)


def refused(place: str, target: str, node: Mapping[str, Any]) -> str | None:
    """Return the first key of a node that is not accepted at a place, or None."""
    supplied = supplied_to(place, SUPPLIED)
    if set_by_dlcli := next((key for key in node if key in supplied), None):
        return set_by_dlcli
    if place == "trainer":
        return next((key for key, value in node.items() if not _trains(key, value)), None)
    if place == "dataset":  # cache_dir is a folder to write to
        return "cache_dir" if node.get("cache_dir") is not None else None
    if target.endswith(".PretrainedImage"):
        options = node.get("arguments") or {}
        return next((f"arguments.{key}" for key in options if key in _OF_TIMM), None)
    return None


def refused_fact(section: str, facts: Mapping[str, Any]) -> str | None:
    """Return the first fact of a saved model that dlcli does not record for a section, or None.

    Facts become arguments like those of the node, so that any other name would be an unchecked argument.
    """
    known = SUPPLIED[section].keys() - _NO_FACTS
    return next((name for name, value in facts.items() if name not in known or not _is_plain(value)), None)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(one) for one in value)
    return value is None or isinstance(value, _PLAIN)


def _trains(key: str, value: Any) -> bool:
    if key.startswith("_"):
        return True
    if key == "profiler":  # a name selects one of Lightning's profilers, which write files
        return value is None or isinstance(value, Mapping)
    if key == "strategy":
        return value is None or (isinstance(value, str) and (value == "auto" or value.startswith("ddp")))
    plain = value is None or isinstance(value, _PLAIN)
    return key in _OF_TRAINER and (plain or key in ("devices", "max_time", "accumulate_grad_batches"))
