"""Whether a training can go by features that are computed once, and where those are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.files.paths import display
from dlcli.formatting import REDRAW_SECONDS

if TYPE_CHECKING:
    import numpy as np
    import torch

    from dlcli.assembly.parts import Parts
    from dlcli.datasets.data import Data
    from dlcli.preprocessing.base import Preprocessing
    from dlcli.splits.split import Split
    from dlcli.training.features import Features
    from dlcli.training.fields import Field
    from dlcli.training.network import Network
    from dlcli.training.observer import Observer

# Below the folder that holds all runs.
FOLDER = ".features"

# What a backbone makes features of: other kinds of data have columns beside `x`, or outputs that need `x` itself.
_KINDS = ("image", "tokens")


def cached_features(
    config: Mapping[str, Any],
    network: Network,
    preprocessing: Preprocessing,
    data: Data,
    runs_dir: Path,
    device: torch.device,
    precision: Any = None,
) -> Features | None:
    """The features of the network's backbone; None where it trains, or where every epoch sees other rows.

    `precision` is the trainer's; a trained model is judged in full.
    """
    from dlcli.training.features import Features

    if not _wants_cache(config, network, data) or _obstacle(config):
        return None
    return Features(network, preprocessing, data, runs_dir / FOLDER, device, precision)


def with_features(
    config: Mapping[str, Any], parts: Parts, data: Data, split: Split, runs_dir: Path, observer: Observer
) -> tuple[Parts, dict[str, str]]:
    """The same parts with features in place of rows, where that is possible, and what the panel says of it."""
    import numpy as np

    features = _of_training(config, parts, data, runs_dir)
    if features is None:
        wanted = _wants_cache(config, parts.network, data)
        return parts, {"features": f"computed in each epoch: {_obstacle(config)}"} if wanted else {}

    # Those of the test rows too, of which nothing is learnt: they will judge the model, in full precision.
    judging = split.test if features.in_full else split.test[:0]
    rows = np.concatenate([parts.fitted.rows, split.val, judging])
    features.compute(rows, _telling(observer, len(features.store.missing(rows))))

    said = f"{features.width:,} a row, computed once, kept in {display(features.store.folder)}"
    return _replaced(parts, split, features.read), {"features": said}


def rehearsed(
    config: Mapping[str, Any], parts: Parts, data: Data, split: Split
) -> tuple[Parts, dict[str, Any]]:
    """The same parts with features, made up, where the training would go by features; and what these take.

    That is said in terms of a `Rehearsal`; those that are kept from an earlier training take nothing.
    """
    import numpy as np
    import torch

    from dlcli.training.fields import first_rows
    from dlcli.training.user_errors import blamed_on

    with blamed_on("model", parts.network.model, first_rows(parts.train, 1)):
        features = _of_training(config, parts, data, Path(config["runs_dir"]))
    if features is None:
        return parts, {}

    seconds, nbytes = features.estimate(np.concatenate([parts.fitted.rows, split.val, split.test]))
    made_up = torch.zeros(1, features.width)
    takes = {"features_seconds": seconds, "features_bytes": nbytes}
    return _replaced(parts, split, lambda rows: made_up.expand(len(rows), -1)), takes


def _replaced(parts: Parts, split: Split, features: Callable[[np.ndarray], Field]) -> Parts:
    """The parts with features in place of `x`."""

    def replaced(fields: Mapping[str, Field], rows: np.ndarray) -> dict[str, Field]:
        # Lengths stay: batches are made of similar ones, as they are without features.
        others = {name: values for name, values in fields.items() if name != "x"}
        return {"features": features(rows), **others}

    val = replaced(parts.val, split.val) if parts.val is not None else None
    return replace(parts, train=replaced(parts.train, parts.fitted.rows), val=val)


def _of_training(config: Mapping[str, Any], parts: Parts, data: Data, runs_dir: Path) -> Features | None:
    from dlcli.inference.evaluate import choose_device

    trainer = config["trainer"]
    device = choose_device(trainer["accelerator"])
    network, preprocessing = parts.network, parts.preprocessing
    return cached_features(config, network, preprocessing, data, runs_dir, device, trainer.get("precision"))


def _wants_cache(config: Mapping[str, Any], network: Network, data: Data) -> bool:
    from dlcli.models.layers import HasBackbone

    asked_for = bool((config.get("finetune") or {}).get("cache"))
    return asked_for and isinstance(network.model, HasBackbone) and data.kind in _KINDS


def _obstacle(config: Mapping[str, Any]) -> str:
    """Why features cannot be kept, in words; empty where they can."""
    from dlcli.training.features import can_compute_in

    if config["augmentation"]:
        return "augmentation changes the rows"
    precision = config["trainer"].get("precision")
    return (
        "" if can_compute_in(precision) else f"trainer.precision={precision} changes the backbone's weights"
    )


def _telling(observer: Observer, total: int) -> Callable[[int], None]:
    """Tell the observer of each row that is done, as often as a person can see it."""
    done, next_time = 0, time.monotonic()
    if total:
        observer.computed(0, total)

    def advanced(rows: int) -> None:
        nonlocal done, next_time
        done += rows
        if done == total or time.monotonic() >= next_time:
            next_time = time.monotonic() + REDRAW_SECONDS
            observer.computed(done, total)

    return advanced
