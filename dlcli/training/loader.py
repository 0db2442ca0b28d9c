"""Batches, each read by one index operation, and the order of their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from dlcli.errors import ConfigError
from dlcli.preprocessing.ragged import Ragged
from dlcli.preprocessing.token_windows import TokenWindows
from dlcli.training.fields import Batch, DrawsAnew, Fields, ReadsAhead, Rows
from dlcli.training.token_batches import TokenBatches

# Number of batches in a pool within which rows are sorted by length: large enough for similar lengths in a batch, and
# small enough for batches to differ between epochs.
_POOL = 50

# Last component of the seed of fields that draw their rows in each epoch.
_DRAWS = -1

# Maximum number of bytes of the batches of a chunk that are read at once, so that they stay in the processor's cache.
_AT_ONCE = 1 << 18

# Alignment in bytes of torch's tensors. The routines of MKL may round differently for tensors without it.
_ALIGNMENT = 64

# Maximum number of steps of a bounded batch, including padding to its longest row.
_ROWS, _STEPS = 512, 256


def derive_seed(seed: int, *path: int) -> int:
    """Return a 63-bit seed for one purpose (an epoch, a fold), derived from a seed and a path."""
    digest = hashlib.blake2b(repr((seed, *path)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class BatchLoader:
    """Iterator over batches (dicts of tensors), or over chunks: lists of batches that are read lazily.

    The order of an epoch depends on `seed` and `epoch` only, so that a resumed epoch reads the same batches. Rows of
    different lengths are batched with rows of similar length, so that little padding is needed.

    Args:
        fields: fields with the same number of rows.
        batch_size: rows per batch; the last batch may be smaller.
        shuffle: whether the order changes in each epoch.
        join_single: whether a single remaining row is added to the previous batch, because batch normalization fails
            for a single row. None means the value of `shuffle`.
        seed: seed of the order.
        chunk: batches per item; None yields single batches.
        rank: index of this process's part of each batch, if several processes share it.
        ranks: number of parts, none of which is empty. In training, `rank_weight` is the weight of a part's mean loss,
            by which the mean over ranks equals that of the complete batch.
        bounded: whether batches of long rows have fewer rows, so that a very long row does not require memory for
            hundreds of rows of its length. Only without shuffling.
        tokens: maximum number of tokens of a batch, including padding; `batch_size` then has no effect.

    Raises:
        ConfigError: `tokens` is given, and all rows have the same length.
    """

    def __init__(
        self,
        fields: Fields,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        chunk: int | None = None,
        rank: int = 0,
        ranks: int = 1,
        join_single: bool | None = None,
        bounded: bool = False,
        tokens: int | None = None,
    ) -> None:
        self.fields = fields
        self._draws = shuffle and any(isinstance(values, DrawsAnew) for values in fields.values())
        self._of_epoch: tuple[int, Fields, Fields] | None = None
        self.rows = len(next(iter(fields.values())))
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.join_single = shuffle if join_single is None else join_single
        self.seed = seed
        self.chunk = chunk
        self.rank = rank
        self.ranks = ranks
        self._ends = self._bounded_ends() if bounded and not shuffle and self._differ else None
        self.by_tokens = self._by_tokens(tokens) if tokens else None
        # Epoch, order of its rows, and end of each batch; only with a number of tokens.
        self._division: tuple[int, Tensor, list[int]] | None = None
        self.epoch = 0
        # The items of the epoch that a resumed run skips, and the number of items yielded so far.
        self._skip = 0
        self._handed_out = 0

    def in_order(self) -> BatchLoader:
        """Return a loader of the same batches of all rows, which are not shuffled and have no part for each process."""
        tokens = self.by_tokens.tokens if self.by_tokens else None
        return BatchLoader(self.fields, self.batch_size, join_single=True, tokens=tokens)

    @property
    def batches(self) -> int:
        """The number of batches per epoch."""
        if self.by_tokens is not None:
            return len(self.by_tokens)
        if self._ends is not None:
            return len(self._ends)
        whole, rest = divmod(self.rows, self.batch_size)
        joins = whole > 0 and 0 < rest < max(2 if self.join_single else 1, self.ranks)
        return whole if rest == 0 or joins else whole + 1

    def __len__(self) -> int:
        return -(-self.batches // self.chunk) if self.chunk else self.batches

    def __iter__(self) -> Iterator[Any]:
        order = self.order()
        if order is not None and self._ragged is None:
            order = order.to(self._device)
        first, self._skip = self._skip, 0
        for values in self.fields.values():
            if isinstance(values, ReadsAhead):
                values.expect(self._rows(order, b) for b in range(first * (self.chunk or 1), self.batches))
        for item in range(first, len(self)):
            self._handed_out = item + 1
            if self.chunk is None:
                yield self._read(order, item)
            else:
                start = item * self.chunk
                yield Chunk(self, order, range(start, min(start + self.chunk, self.batches)))

    def order(self) -> Tensor | None:
        """Return the order of this epoch's rows, `(N,)` on the CPU, or None for their own order.

        Without shuffling, the longest rows come first, so that insufficient memory shows immediately.
        """
        if self.by_tokens is not None:
            return self._divided()[0]
        lengths = self._lengths
        if not self.shuffle:
            return None if lengths is None else lengths.argsort(stable=True, descending=True)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
        order = torch.randperm(self.rows, generator=generator)
        if lengths is None:
            return order
        targets = self.fields.get("y")
        if isinstance(targets, Ragged):  # rows of equal length are sorted by the length of their targets
            lengths = lengths * (int(targets.lengths.max()) + 1) + targets.lengths
        # Only rows of complete batches are sorted; the remaining ones are a random sample of any length.
        whole = self.rows // self.batch_size
        sorted_rows, rest = order.split([whole * self.batch_size, self.rows % self.batch_size])
        pools = torch.arange(len(sorted_rows)) // (_POOL * self.batch_size)
        keys = pools * (int(lengths.max()) + 1) + lengths[sorted_rows]
        batches = sorted_rows[keys.argsort(stable=True)].view(whole, self.batch_size)
        return torch.cat([batches[torch.randperm(whole, generator=generator)].flatten(), rest])

    def batch(self, number: int) -> Batch:
        """Return one of this epoch's batches."""
        return self._read(self.order(), number)

    @property
    def _ragged(self) -> Ragged | None:
        """The field with rows of different lengths, or None."""
        return next((field for field in self.fields.values() if isinstance(field, Ragged)), None)

    @property
    def _windows(self) -> TokenWindows | None:
        """The field of windows of different lengths, or None."""
        windows = next((field for field in self.fields.values() if isinstance(field, TokenWindows)), None)
        return None if windows is None or windows.shape[1] else windows

    @property
    def _differ(self) -> bool:
        """Whether rows differ in length, so that batches are padded."""
        return self._ragged is not None or self._windows is not None

    @property
    def _lengths(self) -> Tensor | None:
        """The lengths of rows, if they differ, or differed before their features were computed."""
        ragged, lengths = self._ragged, self.fields.get("lengths")
        if ragged is not None:
            return ragged.lengths
        if lengths is not None:
            return lengths[:].cpu()
        # In training, windows of equal length are drawn.
        return None if self.shuffle or self._windows is None else self._windows.lengths

    @property
    def _device(self) -> torch.device:
        return next(iter(self.fields.values())).device

    def _has_small_batches(self, batches: int) -> bool:
        """Return whether so many batches are read at once: aligned parts of small tensors, of this process alone."""
        fields: list[Any] = list(self.fields.values())
        if (
            self.ranks > 1
            or self.by_tokens is not None
            or any(type(values) is not Tensor for values in fields)
        ):
            return False
        sizes = [values[:1].nbytes * self.batch_size for values in fields]
        return sum(sizes) * batches <= _AT_ONCE and not any(size % _ALIGNMENT for size in sizes)

    def _bounded_ends(self) -> list[int]:
        """Return the end of each batch; the longest rows come first.

        The memory of attention is quadratic in the length of rows. That of token counts is linear.
        """
        lengths = self._lengths
        assert lengths is not None
        longest = lengths.sort(descending=True).values.tolist()
        power = 1 if "counts" in self.fields else 2
        ends: list[int] = []
        while (first := ends[-1] if ends else 0) < self.rows:
            fitting = _ROWS * _STEPS**power // max(1, longest[first]) ** power
            ends.append(min(self.rows, first + max(self.ranks, min(self.batch_size, fitting))))
        if len(ends) > 1 and ends[-1] - ends[-2] < max(2 if self.join_single else 1, self.ranks):
            ends.pop(-2)
        return ends

    def state_dict(self) -> dict[str, int]:
        """Return the number of items yielded in this epoch; Lightning writes it to checkpoints."""
        return {"handed_out": self._handed_out}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Skip the items that were yielded before the checkpoint when the next epoch starts."""
        self._skip = state["handed_out"]

    def _rows(self, order: Tensor | None, batch: int) -> Rows:
        first, end = self._bounds(batch)
        rows = slice(*(first + (end - first) * rank // self.ranks for rank in (self.rank, self.rank + 1)))
        return rows if order is None else order[rows]

    def rows_of(self, batch: int) -> int:
        """Return the number of rows of a batch, of all ranks together."""
        first, end = self._bounds(batch)
        return end - first

    def rows_before(self, batch: int) -> int:
        """Return the number of rows of all batches before one, of all ranks together."""
        return self._bounds(batch - 1)[1] if batch else 0

    def _bounds(self, batch: int) -> tuple[int, int]:
        """Return the first row of a batch (of all ranks together), and the one after its last."""
        ends = self._ends if self.by_tokens is None else self._divided()[1]
        if ends is not None:
            return (ends[batch - 1] if batch else 0), ends[batch]
        last = batch == self.batches - 1
        return batch * self.batch_size, self.rows if last else (batch + 1) * self.batch_size

    def _by_tokens(self, tokens: int) -> TokenBatches:
        lengths, targets = self._lengths, self.fields.get("y")
        if lengths is None:
            raise ConfigError(
                "the rows have no numbers of tokens by which batches can be formed: all are of one shape",
                "dataset.batch_tokens",
                "Use dataset.batch_size, a number of rows.",
            )
        return TokenBatches(
            lengths, targets.lengths if isinstance(targets, Ragged) else None, tokens, self.ranks
        )

    def _divided(self) -> tuple[Tensor, list[int]]:
        """Return the order of this epoch's rows and the end of each batch, for batches of a number of tokens."""
        assert self.by_tokens is not None
        if self._division is None or self._division[0] != self.epoch:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
            divided = self.by_tokens.shuffled(generator) if self.shuffle else self.by_tokens.longest_first()
            self._division = self.epoch, *divided
        return self._division[1:]

    def _drawn(self) -> Fields:
        """Return the fields of this epoch; fields of training rows may draw their values anew."""
        if not self._draws:
            return self.fields
        if self._of_epoch is None or self._of_epoch[0] != self.epoch or self._of_epoch[1] is not self.fields:
            seed = derive_seed(self.seed, self.epoch, _DRAWS)
            drawn = {
                name: values.drawn(seed) if isinstance(values, DrawsAnew) else values
                for name, values in self.fields.items()
            }
            self._of_epoch = self.epoch, self.fields, drawn
        return self._of_epoch[2]

    def _read(self, order: Tensor | None, batch: int) -> Batch:
        rows, fields = self._rows(order, batch), self._drawn()
        if isinstance(rows, slice):
            return {name: values[rows] for name, values in fields.items()}
        # Ragged rows are indexed on the CPU, where their lengths are stored; all other fields on the device.
        on_device = rows.to(self._device, non_blocking=True)
        read = {
            name: values.index_select(0, rows if isinstance(values, Ragged) else on_device)
            for name, values in fields.items()
        }
        if self.shuffle and self.ranks > 1:
            first, end = self._bounds(batch)
            read["rank_weight"] = torch.tensor(
                len(rows) * self.ranks / (end - first), device=on_device.device
            )
        return read


class Chunk:
    """Consecutive batches of an epoch, read one by one."""

    def __init__(self, loader: BatchLoader, order: Tensor | None, batches: range) -> None:
        self._loader = loader
        self._order = order
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def rows(self) -> tuple[Tensor, list[tuple[int, int]]]:
        """Return the numbers of the rows of all batches, and where each batch begins and ends among them."""
        bounds = [self._loader._bounds(batch) for batch in self._batches]
        first, end = bounds[0][0], bounds[-1][1]
        order = torch.arange(self._loader.rows) if self._order is None else self._order
        return order[first:end], [(begin - first, stop - first) for begin, stop in bounds]

    def __iter__(self) -> Iterator[Batch]:
        loader = self._loader
        if self._order is None or not loader._has_small_batches(len(self)):
            return (loader._read(self._order, batch) for batch in self._batches)
        rows, bounds = self.rows()
        rows = rows.to(loader._device)
        fields = {name: values.index_select(0, rows) for name, values in loader.fields.items()}
        # A model may change its batch in place: a detached part does not share its gradients with the others.
        return (
            {name: values[first:end].detach() for name, values in fields.items()} for first, end in bounds
        )
