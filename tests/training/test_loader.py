"""Rows of each batch: order, chunks, resumption, ranks, reading ahead."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dlcli.preprocessing.ragged import Ragged
from dlcli.preprocessing.token_windows import TokenWindows
from dlcli.training.loader import BatchLoader, derive_seed


def numbers(rows: int) -> dict[str, Tensor]:
    return {"x": torch.arange(rows)}


def rows_of(items: Any) -> list[list[int]]:
    """Rows of each batch of an iteration, which may be of chunks."""
    batches = []
    for item in items:
        batches += [item] if isinstance(item, dict) else list(item)
    return [batch["x"].tolist() for batch in batches]


def test_derived_seeds_are_fixed() -> None:
    assert derive_seed(0, 0) == 5104172916443561106
    assert derive_seed(7) == 843011692241435484


def test_the_order_follows_from_seed_and_epoch() -> None:
    first = rows_of(BatchLoader(numbers(20), 6, shuffle=True))
    assert first == rows_of(BatchLoader(numbers(20), 6, shuffle=True, seed=0))
    other = BatchLoader(numbers(20), 6, shuffle=True, seed=1)
    assert other.epoch == 0
    assert first != rows_of(other)
    assert rows_of(other) == rows_of(other)
    expected = torch.randperm(20, generator=torch.Generator().manual_seed(derive_seed(1, 3)))
    other.epoch = 3
    assert list(chain(*rows_of(other))) == expected.tolist()


@pytest.mark.parametrize(("rows", "joined", "apart"), [(9, [4, 5], [4, 4, 1]), (10, [4, 4, 2], [4, 4, 2])])
def test_a_single_last_row_joins_the_batch_before_if_asked(
    rows: int, joined: list[int], apart: list[int]
) -> None:
    for shuffle in (False, True):
        for join, expected in ((True, joined), (False, apart), (None, joined if shuffle else apart)):
            loader = BatchLoader(numbers(rows), 4, shuffle=shuffle, join_single=join)
            assert [len(batch) for batch in rows_of(loader)] == expected
            assert loader.batches == len(expected)


@pytest.mark.parametrize(
    ("rows", "chunk", "items"), [(40, 2, 5), (40, 3, 4), (40, 10, 1), (40, 99, 1), (3, 2, 1)]
)
def test_chunks_of_batches(rows: int, chunk: int, items: int) -> None:
    loader = BatchLoader(numbers(rows), 4, chunk=chunk)
    assert len(loader) == len(list(loader)) == items
    assert sum(len(item) for item in loader) == loader.batches
    assert rows_of(loader) == rows_of(BatchLoader(numbers(rows), 4))


@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_a_resumed_epoch_skips_the_batches_before(chunk: int | None) -> None:
    whole = list(BatchLoader(numbers(40), 4, shuffle=True, chunk=chunk))
    for stop in range(len(whole) + 1):
        loader = BatchLoader(numbers(40), 4, shuffle=True, chunk=chunk)
        assert loader.state_dict() == {"handed_out": 0}
        seen = [item for _, item in zip(range(stop), loader, strict=False)]
        assert loader.state_dict() == {"handed_out": stop}
        resumed = BatchLoader(numbers(40), 4, shuffle=True, chunk=chunk)
        resumed.load_state_dict(loader.state_dict())
        rest = list(resumed)
        assert rows_of(seen + rest) == rows_of(whole)
        assert rows_of(list(resumed)) == rows_of(whole)  # the next epoch is complete


class Expecting:
    """A field that records the rows announced to it and the rows read."""

    device = torch.device("cpu")

    def __init__(self, rows: int) -> None:
        self.values = torch.arange(rows)
        self.expected: list[list[int]] = []
        self.read: list[list[int]] = []

    @property
    def shape(self) -> torch.Size:
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice) -> Tensor:
        return self.index_select(0, self.values[rows])

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        self.read.append(index.tolist())
        return self.values[index]

    def to(self, device: torch.device) -> Expecting:
        return self

    def expect(self, batches: Iterator[slice | Tensor]) -> None:
        self.expected = [self.values[rows].tolist() for rows in batches]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("skipped", [0, 1, 2])
def test_the_announced_rows_are_the_rows_read(shuffle: bool, chunk: int | None, skipped: int) -> None:
    field = Expecting(30)
    loader = BatchLoader({"x": field, "y": torch.arange(30)}, 4, shuffle=shuffle, chunk=chunk)
    loader.load_state_dict({"handed_out": skipped})
    for item in loader:
        list(item) if chunk else None
    assert field.read == field.expected
    assert len(field.read) == loader.batches - skipped * (chunk or 1)


def test_a_single_batch_equals_that_of_the_epoch() -> None:
    for shuffle in (False, True):
        loader = BatchLoader(numbers(30), 7, shuffle=shuffle, seed=2)
        loader.epoch = 1
        assert [loader.batch(number)["x"].tolist() for number in range(loader.batches)] == rows_of(loader)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_ranks_share_a_batch(ranks: int, shuffle: bool) -> None:
    whole = rows_of(BatchLoader(numbers(29), 7, shuffle=shuffle, join_single=True))
    parts = [
        list(BatchLoader(numbers(29), 7, shuffle=shuffle, join_single=True, rank=rank, ranks=ranks))
        for rank in range(ranks)
    ]
    for number, batch in enumerate(whole):
        mine = [part[number] for part in parts]
        assert torch.cat([one["x"] for one in mine]).tolist() == batch
        assert max(len(one["x"]) for one in mine) - min(len(one["x"]) for one in mine) <= 1
        for one in mine:
            assert ("rank_weight" in one) == (shuffle and ranks > 1)
            if "rank_weight" in one:
                assert float(one["rank_weight"]) == pytest.approx(len(one["x"]) * ranks / len(batch))


def reference_order(lengths: Tensor, size: int, seed: int, pool: int = 50) -> list[int]:
    """Return shuffled batches of the rows of 50 batches each, which are sorted by length."""
    generator = torch.Generator().manual_seed(derive_seed(seed, 0))
    drawn = torch.randperm(len(lengths), generator=generator).tolist()
    whole = len(drawn) // size
    rest = drawn[whole * size :]
    batches: list[list[int]] = []
    for start in range(0, whole * size, pool * size):
        rows = sorted(
            drawn[start : min(start + pool * size, whole * size)], key=lambda row: int(lengths[row])
        )
        batches += [rows[first : first + size] for first in range(0, len(rows), size)]
    shuffled = torch.randperm(whole, generator=generator).tolist()
    return [*chain(*(batches[number] for number in shuffled)), *rest]


@pytest.mark.parametrize("rows", [3, 4, 203, 1003])
def test_batches_have_rows_of_similar_length(rows: int) -> None:
    lengths = torch.randint(1, 9, (rows,), generator=torch.Generator().manual_seed(1))
    ragged = Ragged(torch.arange(int(lengths.sum())), lengths)
    expected = reference_order(lengths, 4, seed=5)
    for fields in ({"x": ragged}, {"x": torch.arange(rows), "lengths": lengths}):
        order = BatchLoader(fields, 4, shuffle=True, seed=5).order()
        assert order is not None
        assert order.tolist() == expected


def test_without_shuffling_rows_of_equal_length_keep_their_order() -> None:
    lengths = torch.arange(2000) % 3 + 1
    order = BatchLoader({"x": torch.arange(2000), "lengths": lengths}, 4).order()
    assert order is not None
    assert order.tolist() == sorted(range(2000), key=lambda row: -int(lengths[row]))
    assert BatchLoader(numbers(20), 4).order() is None


def ends(loader: BatchLoader) -> list[int]:
    found = [loader.rows_before(number + 1) for number in range(len(loader))]
    assert loader.rows_before(0) == 0
    assert found == np.cumsum([len(batch["y"]) for batch in loader]).tolist()
    return found


def test_bounded_batches_have_few_long_rows() -> None:
    """A batch has the memory of attention over at most 512 rows of 256 tokens; token counts need less."""
    lengths = torch.tensor([100, 6000, 4096, 100, 100, 4096, 100, 0])
    fields: dict[str, Any] = {
        "x": Ragged(torch.zeros(int(lengths.sum())), lengths),
        "y": torch.arange(8),
    }
    make = partial(BatchLoader, fields, 4, bounded=True)
    assert ends(make()) == [1, 3, 7, 8]
    assert ends(make(join_single=True)) == [1, 3, 8]
    shared = make(ranks=2)  # no rank is without a row
    assert [shared.rows_of(number) for number in range(len(shared))] == [2, 2, 4]
    assert ends(BatchLoader(fields, 4)) == ends(
        BatchLoader({**fields, "counts": fields["x"]}, 4, bounded=True)
    )
    assert len(make(shuffle=True)) == 2


def test_windows_of_different_lengths_are_read_from_the_longest_on() -> None:
    lengths = torch.tensor([2, 5, 3])
    windows = TokenWindows(torch.arange(9), torch.tensor([0, 2, 4]), lengths, None, 5)
    order = BatchLoader({"x": windows}, 2).order()
    assert order is not None
    assert order.tolist() == [1, 2, 0]


class Drawn:
    """A field that is drawn anew; it remembers the seeds."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def __len__(self) -> int:
        return 8

    def drawn(self, seed: int) -> Tensor:
        self.seeds.append(seed)
        return torch.full((8,), seed)


def test_fields_are_drawn_once_in_each_epoch() -> None:
    field = Drawn()
    loader = BatchLoader({"x": field}, 2, shuffle=True, seed=3)  # type: ignore[dict-item]
    for epoch in (0, 1):
        loader.epoch = epoch
        assert {int(value) for batch in loader for value in batch["x"]} == {derive_seed(3, epoch, -1)}
    assert len(field.seeds) == 2


def test_a_chunk_names_its_rows() -> None:
    for shuffle in (False, True):
        loader = BatchLoader(numbers(11), 3, shuffle=shuffle, chunk=2)
        for chunk in loader:
            rows, bounds = chunk.rows()
            assert [rows[first:end].tolist() for first, end in bounds] == rows_of([chunk])


@pytest.mark.parametrize(("rows", "columns"), [(40, 4), (37, 4), (40, 3)])
def test_batches_that_are_read_at_once_equal_those_read_one_by_one(
    rows: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"x": torch.arange(rows * columns).float().view(rows, columns), "y": torch.arange(rows)}
    at_once = [list(chunk) for chunk in BatchLoader(fields, 8, shuffle=True, chunk=3)]
    is_aligned = columns * 8 * 4 % 64 == 0  # only then are batches parts of one tensor
    assert (at_once[0][1]["x"].storage_offset() > 0) == is_aligned
    monkeypatch.setattr(BatchLoader, "_has_small_batches", lambda *_: False)
    one_by_one = [list(chunk) for chunk in BatchLoader(fields, 8, shuffle=True, chunk=3)]
    for ours, theirs in zip(at_once, one_by_one, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_batch_that_is_read_with_others_may_be_changed_in_place() -> None:
    (chunk,) = BatchLoader({"x": torch.ones(32, 4)}, 8, shuffle=True, chunk=4)
    assert chunk._loader._has_small_batches(len(chunk))
    scale = torch.full((1,), 2.0, requires_grad=True)
    batches = list(chunk)
    for batch in batches:
        batch["x"] *= scale
        batch["x"].sum().backward()
    assert float(scale.grad) == 4 * 32  # type: ignore[arg-type]
