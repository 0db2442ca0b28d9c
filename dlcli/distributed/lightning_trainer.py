"""Build Lightning's trainer from the section `trainer`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.device_parser import _select_auto_accelerator
from pytorch_lightning.accelerators import AcceleratorRegistry
from pytorch_lightning.trainer.connectors import callback_connector

from dlcli.config.build import build
from dlcli.errors import ConfigError

_lock = threading.RLock()  # threads of a notebook may train at the same time


def build_trainer(section: Mapping[str, Any], **more: Any) -> pl.Trainer:
    """Return Lightning's trainer for a section `trainer`, with the additional arguments `more`.

    Raises:
        ConfigError: Lightning refuses the arguments.
    """
    if section.get("accelerator", "auto") == "auto" and not more.get("accelerator"):
        section = {**section, "accelerator": _automatic(os.environ.get("CUDA_VISIBLE_DEVICES"))}
    try:
        with _without_installed_callbacks():
            trainer: pl.Trainer = build(section, where="trainer", **more)
    except ConfigError as error:
        raise (_missing_accelerator(str(section.get("accelerator", "auto"))) or error) from error
    return trainer


@lru_cache(maxsize=8)
def _automatic(visible: str | None) -> str:
    """Return the accelerator that Lightning chooses; `visible` is what it depends on within a process.

    Without a GPU, each choice would search for the library of its driver, which takes 2 ms.
    """
    return _select_auto_accelerator()


def _missing_accelerator(asked: str) -> ConfigError | None:
    """Return an error if the accelerator is unknown, or is not in this machine."""
    there = [name for name in ("cpu", "cuda", "mps") if AcceleratorRegistry.get(name).is_available()]
    if asked in (*there, "auto") or (asked == "gpu" and len(there) > 1):
        return None
    is_known = asked in {*AcceleratorRegistry, "gpu"}
    message = f"this machine has no {asked}" if is_known else f"there is no accelerator {asked}"
    hint = f"Use trainer.accelerator={' or '.join(there)}, or auto. dlcli doctor lists the devices."
    return ConfigError(message, "trainer.accelerator", hint)


@contextmanager
def _without_installed_callbacks() -> Iterator[None]:
    """Keep Lightning from adding callbacks of other installed packages.

    They would be missing in the run's configuration. Looking for them also reads the entry points of every package.
    """
    name = "_load_external_callbacks"
    with _lock:
        original = getattr(callback_connector, name)
        setattr(callback_connector, name, lambda group: [])
        try:
            yield
        finally:
            setattr(callback_connector, name, original)
