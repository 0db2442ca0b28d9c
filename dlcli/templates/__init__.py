"""Templates of `dlcli new`. The files are runnable; names such as `mynet` and `MyNet` are replaced."""

from __future__ import annotations

from typing import Literal

# What `dlcli new` writes.
Kind = Literal[
    "model",
    "dataset",
    "metric",
    "loss",
    "optimizer",
    "scheduler",
    "callback",
    "augmentation",
    "preprocessing",
    "split",
    "experiment",
    "project",
]
