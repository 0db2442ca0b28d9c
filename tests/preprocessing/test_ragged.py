from __future__ import annotations

import torch

from dlcli.preprocessing.ragged import Ragged
from dlcli.training.fields import Field
from dlcli.training.loader import BatchLoader


def ragged(lengths: list[int]) -> Ragged:
    """Return rows, of which row r contains the numbers 100 r + 1, 100 r + 2, ..."""
    rows = [100 * row + 1 + torch.arange(length) for row, length in enumerate(lengths)]
    return Ragged(torch.cat(rows), torch.tensor(lengths))


def test_a_batch_is_as_wide_as_its_longest_row() -> None:
    rows = ragged([2, 1, 3, 1])
    assert isinstance(rows, Field)
    assert rows.shape == (4, 0)
    assert rows[1:4].tolist() == [[101, 0, 0], [201, 202, 203], [301, 0, 0]]
    assert rows.index_select(0, torch.tensor([3, 0])).tolist() == [[301, 0], [1, 2]]
    assert rows[:0].shape == (0, 0)
    assert [row.tolist() for row in rows] == [[1, 2], [101], [201, 202, 203], [301]]


def test_rows_of_vectors_are_padded_with_the_given_value() -> None:
    rows = Ragged(torch.ones(3, 2), torch.tensor([1, 2]), padding=-1)
    assert rows.shape == (2, 0, 2)
    assert rows[:].tolist() == [[[1, 1], [-1, -1]], [[1, 1], [1, 1]]]


def epoch(loader: BatchLoader, number: int) -> list[torch.Tensor]:
    loader.epoch = number
    return [batch["x"] for batch in loader]


def lengths_and_loader(rows: int, batch_size: int, **arguments) -> tuple[torch.Tensor, BatchLoader]:
    lengths = torch.randint(1, 60, (rows,), generator=torch.Generator().manual_seed(0))
    x = ragged(lengths.tolist())
    return lengths, BatchLoader({"y": torch.arange(rows), "x": x}, batch_size, **arguments)


def test_batches_hold_rows_of_similar_length_and_every_row_once() -> None:
    lengths, loader = lengths_and_loader(1003, 10, shuffle=True)
    batches = epoch(loader, 0)
    seen = torch.cat([batch[:, 0] // 100 for batch in batches])
    assert seen.sort().values.tolist() == list(range(1003))
    assert len(batches) == loader.batches == 101
    # In random order, the longest of ten rows would be about twice the mean.
    assert sum(batch.numel() for batch in batches) < 1.05 * lengths.sum()
    widths = torch.tensor([batch.shape[1] for batch in batches[:-1]])
    assert widths.diff().sign().unique().tolist() != [1]  # short and long batches alternate


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    _, loader = lengths_and_loader(95, 10, shuffle=True, seed=1)
    _, again = lengths_and_loader(95, 10, shuffle=True, seed=1)
    first = [epoch(loader, number) for number in (0, 1)]
    second = [epoch(again, number) for number in (1, 0)]
    for one, other in zip(first, reversed(second), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert first[0][0].tolist() != first[1][0].tolist()


def test_all_fields_of_a_batch_are_of_the_same_rows_in_chunks_too() -> None:
    _, loader = lengths_and_loader(57, 7, shuffle=True, chunk=3)
    read = [batch for chunk in loader for batch in chunk]
    assert [len(batch["y"]) for batch in read] == [7] * 7 + [8]  # a remaining row joins the previous batch
    for batch in read:
        assert torch.equal(batch["x"][:, 0] // 100, batch["y"])


def test_without_shuffling_the_longest_come_first() -> None:
    lengths, loader = lengths_and_loader(30, 8)
    order = loader.order()
    assert order is not None
    assert lengths[order].diff().max() <= 0
    assert torch.equal(torch.cat([batch["y"] for batch in loader]), order)


def test_fewer_rows_than_a_batch() -> None:
    _, loader = lengths_and_loader(5, 8, shuffle=True)
    (batch,) = loader
    assert sorted(batch["y"].tolist()) == list(range(5))
