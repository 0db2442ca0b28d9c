"""Batches with a limited number of tokens."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import fit_recipe
from hypothesis import given, settings
from hypothesis.strategies import integers, lists, none, tuples
from torch import nn

from dlcli.errors import ConfigError
from dlcli.preprocessing.ragged import Ragged
from dlcli.tasks.tag import NO_WORD, Tag
from dlcli.tasks.tag_losses import TagCrossEntropy
from dlcli.training.loader import BatchLoader
from dlcli.training.network import Network
from dlcli.training.token_batches import TokenBatches


def rows_of(lengths: list[int]) -> Ragged:
    """Return rows of these lengths that consist of the row's number."""
    numbers = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return Ragged(numbers + 1, torch.tensor(lengths))


@settings(max_examples=60)
@given(
    pairs=lists(tuples(integers(1, 12), integers(1, 12)), min_size=1, max_size=40),
    tokens=integers(1, 60),
    fewest=none() | integers(1, 3),
)
def test_batches_hold_at_most_so_many_tokens(pairs: Any, tokens: int, fewest: int | None) -> None:
    sources, targets = map(torch.tensor, zip(*pairs, strict=True))
    found = TokenBatches(sources, targets, tokens, fewest or 1)
    for order, ends in (found.longest_first(), found.shuffled(torch.Generator().manual_seed(tokens))):
        assert sorted(order.tolist()) == list(range(len(pairs)))
        assert len(ends) == len(found)
        for first, end in zip([0, *ends], ends, strict=False):
            rows = order[first:end]
            size = len(rows) * int(torch.maximum(sources[rows], targets[rows]).max())
            # A last batch of fewer rows joins the one before it.
            assert size <= tokens or len(rows) < 2 * (fewest or 1)
            assert len(rows) >= min(fewest or 1, len(pairs))


def test_epochs_exchange_rows_and_a_resumed_epoch_has_the_same_batches() -> None:
    lengths = [3, 5, 3, 4, 5, 3, 4, 3, 9, 3, 5, 4]
    fields: dict[str, Any] = {"x": rows_of(lengths), "y": torch.arange(len(lengths))}
    loader = BatchLoader(fields, 99, shuffle=True, tokens=10)
    epochs = []
    for loader.epoch in range(3):
        batches = [batch["y"].tolist() for batch in loader]
        assert len(batches) == loader.batches
        assert [loader.rows_of(number) for number in range(loader.batches)] == [len(one) for one in batches]
        assert loader.rows_before(2) == len(batches[0]) + len(batches[1])
        epochs.append(batches)
    assert epochs[0] != epochs[1] != epochs[2]
    resumed = BatchLoader(fields, 99, shuffle=True, tokens=10)
    resumed.epoch = 1
    resumed.load_state_dict({"handed_out": 2})
    assert [batch["y"].tolist() for batch in resumed] == epochs[1][2:]
    chunked = BatchLoader(fields, 99, shuffle=True, tokens=10, chunk=3)
    assert [batch["y"].tolist() for chunk in chunked for batch in chunk] == epochs[0]
    assert chunked.by_tokens is not None
    assert chunked.by_tokens.described() == "6 of at most 10 tokens (1 to 3 rows; 2% padding)"
    parts = [BatchLoader(fields, 99, shuffle=True, tokens=20, rank=rank, ranks=2) for rank in (0, 1)]
    for both in zip(*parts, strict=True):
        assert sum(float(part["rank_weight"]) for part in both) == pytest.approx(2)


def test_rows_of_one_shape_have_no_tokens() -> None:
    with pytest.raises(ConfigError, match="no numbers of tokens"):
        BatchLoader({"x": torch.zeros(4, 3), "y": torch.zeros(4)}, 2, tokens=8)


class EachWord(nn.Module):
    """Scores of three tags for each word, from itself alone."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Embedding(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.scores(x)
        return scores


def test_accumulated_batches_of_tokens_have_the_weights_of_their_words(tmp_path: Path) -> None:
    """All batches of an epoch make up one step, which is the mean over all words, in whatever batches they are."""
    lengths = torch.tensor([1, 9, 2, 7, 1, 1, 8, 3, 2, 1, 12, 1, 4, 1, 1, 6, 2])
    words = torch.randint(0, 5, (int(lengths.sum()),), generator=torch.Generator().manual_seed(0))
    fields = {"x": Ragged(words, lengths), "y": Ragged(words % 3, lengths, NO_WORD, 12)}

    def weights_of(folder: Path, **recipe: Any) -> torch.Tensor:
        torch.manual_seed(0)
        names, counts = ["a", "b", "c"], [60, 20, 3]
        task = Tag(names, counts, TagCrossEntropy(names, counts), longest=12)
        network = Network(EachWord())
        trainer = {"max_epochs": 2, "accumulate_grad_batches": 50}
        optimizer = partial(torch.optim.SGD, lr=0.5)
        fit_recipe(folder, network, task, fields, fields, trainer, make_optimizer=optimizer, **recipe)
        return nn.utils.parameters_to_vector(network.parameters()).detach()

    by_tokens = weights_of(tmp_path / "a", batch_size=99, batch_tokens=12)
    torch.testing.assert_close(by_tokens, weights_of(tmp_path / "b", batch_size=17), rtol=0, atol=1e-6)
