"""MyAugmentation: a custom augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor


class MyAugmentation:
    """Adds normal noise to the inputs of each training batch.

    Args:
        noise: Standard deviation of the noise, in units of the preprocessed inputs.
    """

    # Kinds of data: table, image, sequence, tokens.
    accepts: ClassVar = {"table", "sequence"}

    def __init__(self, noise: Annotated[float, Ge(0)] = 0.05) -> None:
        self.noise = noise

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return a changed batch with as many rows; `batch` has the fields `x`, `y` and others, on the device.

        Random numbers are those of torch, which dlcli seeds for each epoch.
        """
        return {**batch, "x": batch["x"] + self.noise * torch.randn_like(batch["x"])}
