"""Arguments that no run's folder may give: those that would write somewhere, or run something.

What is left of an allowed class or function is plain values, which it takes as numbers and names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of Lightning's trainer, what says how it is trained. What else it takes names files, plugins and loggers.
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

# Arguments of timm.create_model that read files or the hub, write, or replace what describes the model.
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

_PLAIN = (str, int, float, bool)


def refused(place: str, target: str, node: Mapping[str, Any]) -> str | None:
    """The key of a node that may not be given there, or None."""
    from dlcli.config.reserved_keys import SUPPLIED, supplied_to

    supplied = supplied_to(place, SUPPLIED)
    if set_by_dlcli := next((key for key in node if key in supplied), None):
        return set_by_dlcli
    if place == "trainer":
        return next((key for key, value in node.items() if not _trains(key, value)), None)
    if place == "dataset":  # a folder to write into
        return "cache_dir" if node.get("cache_dir") is not None else None
    if target.endswith(".PretrainedImage"):
        options = node.get("arguments") or {}
        return next((f"arguments.{key}" for key in options if key in _OF_TIMM), None)
    return None


def _trains(key: str, value: Any) -> bool:
    if key.startswith("_"):
        return True
    if key == "profiler":  # by a name, Lightning's own, which write where they like
        return value is None or isinstance(value, Mapping)
    if key == "strategy":
        return value is None or (isinstance(value, str) and (value == "auto" or value.startswith("ddp")))
    plain = value is None or isinstance(value, _PLAIN)
    return key in _OF_TRAINER and (plain or key in ("devices", "max_time", "accumulate_grad_batches"))
