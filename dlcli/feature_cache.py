"""Whether a training can go by features that are computed once, and where those are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.paths import display

if TYPE_CHECKING:
    import torch

    from dlcli.datasets.data import Data
    from dlcli.parts import Parts
    from dlcli.preprocessing.base import Preprocessing
    from dlcli.splits.split import Split
    from dlcli.training.features import Features
    from dlcli.training.network import Network

# Below the folder that holds all runs.
FOLDER = ".features"


def cached_features(
    config: Mapping[str, Any],
    network: Network,
    preprocessing: Preprocessing,
    data: Data,
    run_dir: Path,
    device: torch.device,
) -> Features | None:
    """The features of the network's backbone; None where it trains, or where every epoch sees other rows."""
    from dlcli.models.backbone import HasBackbone
    from dlcli.training.features import Features

    asked_for = bool((config.get("finetune") or {}).get("cache"))
    changes = not asked_for or config["augmentation"] or not isinstance(network.model, HasBackbone)
    if changes or data.kind != "image":  # a backbone is handed `x` alone: no lengths, no columns beside it
        return None
    return Features(network, preprocessing, data, run_dir.parents[2] / FOLDER, device)


def with_features(
    config: Mapping[str, Any], parts: Parts, data: Data, split: Split, run_dir: Path
) -> tuple[Parts, dict[str, str]]:
    """The same parts with features in place of rows, where that is possible, and what the panel says of it."""
    from dlcli.inference.evaluate import choose_device

    device = choose_device(config["trainer"]["accelerator"])
    features = cached_features(config, parts.network, parts.preprocessing, data, run_dir, device)
    if features is None:
        return parts, {}

    def replaced(fields: Mapping[str, Any], rows: Any) -> dict[str, Any]:
        others = {name: values for name, values in fields.items() if name != "x"}
        return {"features": features.read(rows), **others}

    train = replaced(parts.train, parts.fitted.rows)
    val = replaced(parts.val, split.val) if parts.val is not None else None
    said = f"{train['features'].shape[1]:,} a row, computed once, kept in {display(features.store.folder)}"
    return replace(parts, train=train, val=val), {"features": said}
