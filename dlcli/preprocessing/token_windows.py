"""`TokenWindows`: a field of windows of a stream of tokens, which are drawn in each epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TokenRuns:
    """A stream of tokens in which consecutive rows of a text form a run.

    Attributes:
        stream: tokens `(S,)`.
        starts: first token of the window of each row `(N,)`.
        begins: first possible token of the window, the start of the row's run `(N,)`.
        ends: position after the last possible token `(N,)`.
    """

    stream: Tensor
    starts: Tensor
    begins: Tensor
    ends: Tensor


@dataclass(frozen=True, eq=False)
class TokenWindows:
    """A `dlcli.training.fields.Field` of windows `(N, T)`, int64, padded to the longest of a batch.

    The inputs and targets of a language model are two fields of one stream, the targets `ahead` by one token.

    Attributes:
        stream: tokens `(S,)`.
        starts: first token of each window `(N,)`, on the device of the stream.
        lengths: number of tokens of each window `(N,)`, on the CPU.
        runs: the stream from which windows are drawn; None for fixed windows.
        width: number of tokens of the longest window.
        ahead: number of tokens by which the values are ahead of the windows.
        padding: padding value after the tokens of a window.
    """

    stream: Tensor
    starts: Tensor
    lengths: Tensor
    runs: TokenRuns | None
    width: int
    ahead: int = 0
    padding: int = 0

    @property
    def shape(self) -> torch.Size:
        """`(N, T)`; T is 0 if windows differ in length."""
        same = len(self) and bool((self.lengths == self.width).all())
        return torch.Size((len(self), self.width if same else 0))

    @property
    def device(self) -> torch.device:
        """Device of the tokens."""
        return self.stream.device

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: slice) -> Tensor:
        """Return consecutive windows."""
        return self.index_select(0, torch.arange(len(self))[rows])

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the windows of an index `(B,)`."""
        lengths = self.lengths[index.cpu()]
        longest = int(lengths.max()) if len(lengths) else 0
        steps = torch.arange(longest, device=self.device)
        places = self.starts[index.to(self.device)].unsqueeze(1) + steps
        if bool((lengths == longest).all()):
            return self.stream[places + self.ahead].long()
        present = steps < lengths.to(self.device).unsqueeze(1)
        batch = self.stream[(places + self.ahead).masked_fill_(~present, 0)].long()
        return batch.masked_fill_(~present, self.padding)

    def to(self, device: torch.device) -> Self:
        """Return the same windows on a device."""
        return replace(self, stream=self.stream.to(device), starts=self.starts.to(device))

    def characters(self, sizes: Tensor | None) -> WindowCharacters:
        """Return the number of characters of each window; each token has `sizes` of them `(V,)`, or one."""
        return WindowCharacters(self, sizes)

    def shifted(self, ahead: int, padding: int) -> Self:
        """Return the tokens that are ahead of those of the windows."""
        return replace(self, ahead=ahead, padding=padding)

    def drawn(self, seed: int) -> Self:
        """Return windows shifted at random by less than their width, within their runs.

        Each has the full width, unless its run is shorter. Over many epochs, windows begin at every token.
        """
        if self.runs is None:
            return self
        generator, runs = torch.Generator().manual_seed(seed), self.runs
        later = torch.randint(self.width, (len(self),), generator=generator)
        first = torch.maximum(torch.minimum(runs.starts + later, runs.ends - self.width), runs.begins)
        lengths = (runs.ends - first).clamp_max(self.width)
        return replace(
            self, stream=runs.stream.to(self.device), starts=first.to(self.device), lengths=lengths
        )


@dataclass(frozen=True, eq=False)
class WindowCharacters:
    """A `dlcli.training.fields.Field` of the number of characters of windows `(N,)`, int64.

    Attributes:
        windows: the windows, which may be drawn.
        sizes: number of characters of each token `(V,)`, on the device of the windows; None if each has one.
    """

    windows: TokenWindows
    sizes: Tensor | None = None

    @property
    def shape(self) -> torch.Size:
        """`(N,)`."""
        return torch.Size((len(self),))

    @property
    def device(self) -> torch.device:
        """Device of the tokens."""
        return self.windows.device

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, rows: slice) -> Tensor:
        """Return the numbers of consecutive windows."""
        return self.index_select(0, torch.arange(len(self))[rows])

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the numbers of the windows of an index `(B,)`."""
        if self.sizes is None:
            return self.windows.lengths[index.cpu()].to(self.device)
        tokens = self.windows.index_select(0, index)
        # Padding is not a token.
        return self.sizes[tokens.clamp_min(0)].masked_fill(tokens == self.windows.padding, 0).sum(dim=1)

    def to(self, device: torch.device) -> Self:
        """Return the same field on a device."""
        sizes = None if self.sizes is None else self.sizes.to(device)
        return replace(self, windows=self.windows.to(device), sizes=sizes)

    def drawn(self, seed: int) -> Self:
        """Return the numbers of windows drawn with the same seed."""
        return replace(self, windows=self.windows.drawn(seed))
