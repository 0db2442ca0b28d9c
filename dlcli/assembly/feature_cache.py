"""Train on cached features of a frozen backbone, if possible."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dlcli.assembly.parts import Parts
from dlcli.datasets.data import Data
from dlcli.events import FeaturesComputed, Listener
from dlcli.files.paths import display
from dlcli.formatting import REDRAW_SECONDS
from dlcli.inference.evaluation import choose_device
from dlcli.models.layers import HasBackbone
from dlcli.preprocessing.protocols import Preprocessing
from dlcli.splits.split import Split
from dlcli.tracking.places import FEATURES_DIR
from dlcli.training.features import Features
from dlcli.training.fields import Field, first_rows
from dlcli.training.network import Network
from dlcli.training.user_errors import blamed_on

# Kinds of data whose features can be cached. Other kinds have fields besides `x`, or outputs that need `x` itself.
FEATURE_KINDS = ("image", "tokens")


def cached_features(
    config: Mapping[str, Any],
    network: Network,
    preprocessing: Preprocessing,
    data: Data,
    runs_dir: Path,
    device: torch.device,
    precision: Any = None,
) -> Features | None:
    """Return the features of the network's backbone, or None if they cannot be cached.

    Features cannot be cached if the backbone is trained, or if augmentation or crops change the rows in every epoch.

    Args:
        config: The run's configuration.
        network: The network with the backbone.
        preprocessing: The fitted preprocessing.
        data: Rows of the dataset.
        runs_dir: Folder of all runs.
        device: Device that computes the features.
        precision: The trainer's precision for training; None (full precision) for evaluation.
    """
    if not _wants_cache(config, network, data) or why_rows_change(config):
        return None
    return Features(network, preprocessing, data, runs_dir / FEATURES_DIR, device, precision)


def with_features(
    config: Mapping[str, Any], parts: Parts, data: Data, split: Split, runs_dir: Path, listen: Listener
) -> tuple[Parts, dict[str, str]]:
    """Return the parts with cached features in place of `x` if possible, and a line for the panel."""
    features = _of_training(config, parts, data, runs_dir)
    if features is None:
        wanted = _wants_cache(config, parts.network, data)
        why = why_rows_change(config)
        return parts, {"features": f"computed in each epoch: {why}"} if wanted and why else {}

    # Features of the test rows are cached as well if the evaluation after training can use them. It uses full
    # precision, so it cannot use features of another precision.
    test_rows = split.test if features.in_full else split.test[:0]
    rows = np.concatenate([parts.fitted.rows, split.val, test_rows])
    features.compute(rows, report_progress(listen, len(features.store.missing(rows))))

    line = f"{features.width:,} per row, computed once, cached in {display(features.store.folder)}"
    return _replaced(parts, split, features.read), {"features": line}


def rehearsed(
    config: Mapping[str, Any], parts: Parts, data: Data, split: Split
) -> tuple[Parts, dict[str, Any]]:
    """Return the parts with placeholder features if training would use cached features, and their cost.

    The cost has the field names of a `Rehearsal`: `features_seconds` and `features_bytes`. Features that an earlier
    run has cached cost nothing.
    """
    with blamed_on("model", parts.network.model, first_rows(parts.train, 1)):
        features = _of_training(config, parts, data, Path(config["runs_dir"]))
    if features is None:
        return parts, {}

    seconds, nbytes = features.estimate(np.concatenate([parts.fitted.rows, split.val, split.test]))
    made_up = torch.zeros(1, features.width)
    takes = {"features_seconds": seconds, "features_bytes": nbytes}
    return _replaced(parts, split, lambda rows: made_up.expand(len(rows), -1)), takes


def _replaced(parts: Parts, split: Split, features: Callable[[np.ndarray], Field]) -> Parts:
    """Return the parts with features in place of `x`."""

    def replaced(fields: Mapping[str, Field], rows: np.ndarray) -> dict[str, Field]:
        # Lengths are kept, because batches group rows of similar length, as without cached features.
        others = {name: values for name, values in fields.items() if name != "x"}
        return {"features": features(rows), **others}

    val = replaced(parts.val, split.val) if parts.val is not None else None
    return replace(parts, train=replaced(parts.train, parts.fitted.rows), val=val)


def _of_training(config: Mapping[str, Any], parts: Parts, data: Data, runs_dir: Path) -> Features | None:
    trainer = config["trainer"]
    device = choose_device(trainer["accelerator"])
    network, preprocessing = parts.network, parts.preprocessing
    return cached_features(config, network, preprocessing, data, runs_dir, device, trainer.get("precision"))


def _wants_cache(config: Mapping[str, Any], network: Network, data: Data) -> bool:
    asked_for = bool((config.get("finetune") or {}).get("cache"))
    # In each epoch, blocks begin elsewhere and other tokens are masked; states of a decoder follow from the target.
    draws = data.target_kind in ("language_model", "masked_language_model", "seq2seq")
    return asked_for and isinstance(network.model, HasBackbone) and data.kind in FEATURE_KINDS and not draws


def report_progress(listen: Listener, total: int) -> Callable[[int], None]:
    """Return a callback that sends the number of finished rows, at most once per redraw of the terminal."""
    done, next_time = 0, time.monotonic()
    if total:
        listen(FeaturesComputed(0, total))

    def advanced(rows: int) -> None:
        nonlocal done, next_time
        done += rows
        if done == total or time.monotonic() >= next_time:
            next_time = time.monotonic() + REDRAW_SECONDS
            listen(FeaturesComputed(done, total))

    return advanced


def why_rows_change(config: Mapping[str, Any]) -> str:
    """Return what changes the rows in every epoch; "" if nothing does."""
    if config["augmentation"]:
        return "augmentation changes the rows"
    return "crops of the rows are drawn" if config["task"].get("tile") else ""
