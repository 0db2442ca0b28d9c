"""The pretrained models that timm knows, without importing it: `timm_models.csv`, written by this module.

timm imports torch, and to count a model's parameters it has to be built: too long for a list of names. With another
version of timm, `python -m dlcli.models.timm_catalog` writes the file anew.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("timm_models.csv")


@dataclass(frozen=True)
class PretrainedModel:
    """A model with weights to download: its parameters with ImageNet's (or its own) head, and its images' side."""

    name: str
    parameters: int
    input_size: int

    @property
    def architecture(self) -> str:
        """The name without the tag that tells its weights from others."""
        return self.name.partition(".")[0]


def pretrained_models(pattern: str = "*") -> list[PretrainedModel]:
    """Those whose name matches: with wildcards (`resnet*`), or as a part of it."""
    wanted = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    return [model for model in _catalog() if fnmatchcase(model.name.lower(), wanted.lower())]


@cache
def _catalog() -> tuple[PretrainedModel, ...]:
    with _FILE.open(newline="", encoding="utf-8") as file:
        return tuple(
            PretrainedModel(row["name"], int(row["parameters"]), int(row["input_size"]))
            for row in csv.DictReader(file)
        )


def build_catalog() -> Iterable[PretrainedModel]:
    """What the installed timm knows; builds each architecture once, without memory for its weights."""
    import timm
    import torch

    counted: dict[str, int] = {}
    for name in timm.list_pretrained():
        architecture = name.partition(".")[0]
        if architecture not in counted:
            with torch.device("meta"):
                model = timm.create_model(architecture)
            counted[architecture] = sum(parameter.numel() for parameter in model.parameters())
        config = timm.get_pretrained_cfg(name, allow_unregistered=False)
        yield PretrainedModel(name, counted[architecture], config.input_size[-1] if config else 0)


if __name__ == "__main__":
    with _FILE.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow([field.name for field in fields(PretrainedModel)])
        writer.writerows(map(astuple, build_catalog()))
