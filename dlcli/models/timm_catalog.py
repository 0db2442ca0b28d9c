"""Catalog of timm's pretrained models, read from `timm_models.csv` without importing timm.

timm imports torch and must build a model to count its parameters, which is too slow for listing names. To update
the file for another version of timm, run `python -m dlcli.models.timm_catalog`.
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
    """A model with downloadable weights.

    Attributes:
        name: timm's name, with a tag if there are several sets of weights.
        parameters: number of parameters, including the head.
        input_size: side of the input images in pixels.
    """

    name: str
    parameters: int
    input_size: int

    @property
    def architecture(self) -> str:
        """Name without the tag of the weights."""
        return self.name.partition(".")[0]


def pretrained_models(pattern: str = "*") -> list[PretrainedModel]:
    """Return the models whose name matches a pattern with wildcards (`resnet*`), or contains it."""
    glob = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    return [model for model in _catalog() if fnmatchcase(model.name.lower(), glob.lower())]


@cache
def _catalog() -> tuple[PretrainedModel, ...]:
    with _FILE.open(newline="", encoding="utf-8") as file:
        return tuple(
            PretrainedModel(row["name"], int(row["parameters"]), int(row["input_size"]))
            for row in csv.DictReader(file)
        )


def build_catalog() -> Iterable[PretrainedModel]:
    """Yield the models of the installed timm; each architecture is built once, on the meta device."""
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
