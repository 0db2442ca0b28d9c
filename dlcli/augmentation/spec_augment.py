"""SpecAugment: masking bands and frames of spectrograms (Park et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor

Count = Annotated[int, Ge(0)]


class SpecAugment:
    """Sets bands and frames of spectrograms to 0, their mean after scaling; each row has its own masks.

    Width and position of a mask are uniformly distributed. Time warping is not applied, since the paper found that it
    contributes least. The arguments have the names of `torchaudio.transforms.SpecAugment`.

    Args:
        n_freq_masks: number of masks of neighbouring bands.
        freq_mask_param: maximum number of bands of a mask.
        n_time_masks: number of masks of neighbouring frames.
        time_mask_param: maximum number of frames of a mask.
        p: maximum share of a row's frames in a mask.
    """

    accepts: ClassVar = {"audio"}
    # It takes `x` after the preprocessing's part on the device.
    of_prepared: ClassVar = True

    def __init__(
        self,
        n_freq_masks: Count = 2,
        freq_mask_param: Count = 8,
        n_time_masks: Count = 2,
        time_mask_param: Count = 20,
        p: Annotated[float, Ge(0), Le(1)] = 0.2,
    ) -> None:
        self.n_freq_masks = n_freq_masks
        self.freq_mask_param = freq_mask_param
        self.n_time_masks = n_time_masks
        self.time_mask_param = time_mask_param
        self.p = p

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the batch with masked spectrograms `x`, `(N, T, mels)` or `(N, 1, mels, T)`."""
        x = batch["x"]
        is_image = x.ndim == 4
        bands, frames = (x.shape[2], x.shape[3]) if is_image else (x.shape[2], x.shape[1])
        rows, device = len(x), x.device
        full = torch.full((rows,), frames, device=device)
        lengths = batch["lengths"].to(device) if "lengths" in batch else full
        hidden_bands = torch.zeros(rows, bands, dtype=torch.bool, device=device)
        hidden_frames = torch.zeros(rows, frames, dtype=torch.bool, device=device)
        for _ in range(self.n_freq_masks):
            hidden_bands |= _mask(bands, torch.full_like(full, bands), min(self.freq_mask_param, bands))
        for _ in range(self.n_time_masks):
            most = (self.p * lengths).clamp(max=self.time_mask_param)
            hidden_frames |= _mask(frames, lengths, most)
        if is_image:
            hidden = hidden_bands[:, None, :, None] | hidden_frames[:, None, None, :]
        else:
            hidden = hidden_bands[:, None, :] | hidden_frames[:, :, None]
        return {**batch, "x": x.masked_fill(hidden, 0)}


def _mask(size: int, lengths: Tensor, most: Tensor | int) -> Tensor:
    """Return masks `(N, size)` of up to `most` neighbouring positions within the first `lengths` `(N,)`."""
    rows, device = len(lengths), lengths.device
    width = (torch.rand(rows, device=device) * (most + 1)).long().minimum(lengths)
    first = (torch.rand(rows, device=device) * (lengths - width + 1)).long()
    place = torch.arange(size, device=device)
    return (place >= first[:, None]) & (place < (first + width)[:, None])
