"""Models of sequence-to-sequence learning, and decoding."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dlcli.models.seq2seq_rnn import Seq2SeqRNN
from dlcli.models.seq2seq_transformer import Seq2SeqTransformer
from dlcli.preprocessing.subwords import END, START
from dlcli.tasks.decoding import Decodes, beam_search, greedy

SOURCES = torch.tensor([[5, 6, 7, 8, 2], [9, 4, 2, 0, 0]])
LENGTHS = torch.tensor([5, 3])


def transformer() -> Seq2SeqTransformer:
    return Seq2SeqTransformer(30, 20, hidden=16, heads=2, encoder_layers=2, decoder_layers=2, feedforward=16)


MODELS = {
    "transformer": transformer,
    "lstm": lambda: Seq2SeqRNN(30, 20, embedding=8, hidden=12, layers=2),
    "gru": lambda: Seq2SeqRNN(30, 20, cell="gru", attention="none", embedding=8, hidden=12),
    "shared": lambda: Seq2SeqRNN(20, 20, shares_vocabulary=True, cell="gru", embedding=8, hidden=12),
}


@pytest.mark.parametrize("name", MODELS)
def test_decoding_token_by_token_gives_the_logits_of_teacher_forcing(name: str) -> None:
    torch.manual_seed(0)
    model: Any = MODELS[name]().eval()
    assert isinstance(model, Decodes)
    y = torch.randint(3, 20, (2, 6))
    with torch.no_grad():
        expected = model(SOURCES, LENGTHS, y)
        memory, state = model.encode(SOURCES, LENGTHS)
        token = torch.full((2,), START)
        for step in range(6):
            logits, state = model.decode(token, memory, state)
            torch.testing.assert_close(logits, expected[:, step], rtol=1e-4, atol=1e-5)
            token = y[:, step]


@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    model: Any = MODELS[name]().eval()
    y = torch.tensor([[5, 6, 7, 2], [8, 2, 0, 0]])
    with torch.no_grad():
        both = model(SOURCES, LENGTHS, y)
        alone = model(SOURCES[1:, :3], LENGTHS[1:], y[1:, :2])
    torch.testing.assert_close(both[1:, :2], alone, rtol=1e-4, atol=1e-5)


def test_attention_is_a_share_of_the_source() -> None:
    torch.manual_seed(0)
    for name in ("transformer", "lstm"):
        model: Any = MODELS[name]().eval()
        weights = model.attention(SOURCES, LENGTHS, torch.full((2, 4), 5)).detach()
        assert weights.shape == (2, 4, 5)
        torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 4))
        assert float(weights[1, :, 3:].abs().max()) == 0
    assert MODELS["gru"]().attention(SOURCES, LENGTHS, torch.full((2, 4), 5)) is None


def test_rows_longer_than_the_table_of_positions() -> None:
    model = transformer().eval()
    x = torch.full((1, 300), 5)
    assert model(x, torch.tensor([300]), torch.full((1, 290), 5)).shape == (1, 290, 20)


class Chain:
    """A model whose next token depends on the last one only."""

    def __init__(self, chances: dict[int, dict[int, float]], size: int = 16) -> None:
        table = torch.full((size, size), 1e-9)
        for token, following in chances.items():
            for next_token, chance in following.items():
                table[token, next_token] = chance
        self.logits = table.log()

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        return (), (torch.zeros(len(x), 1),)

    def decode(self, tokens: Tensor, memory: Any, state: Any) -> tuple[Tensor, Any]:
        return self.logits[tokens].clone(), (state[0] + 1,)


# The likeliest first token, 3, leads nowhere: 4 and then 6 is the likeliest text.
GARDEN = Chain(
    {
        START: {3: 0.6, 4: 0.4},
        3: {5: 0.35, 6: 0.33, 7: 0.32},
        4: {6: 1.0},
        5: {END: 1},
        6: {END: 1},
        7: {END: 1},
    }
)


def test_beam_search_finds_what_greedy_decoding_misses() -> None:
    x, lengths = torch.zeros(3, 2, dtype=torch.int64), torch.full((3,), 2)
    found = greedy(GARDEN, x, lengths, 5)
    assert found.tokens.tolist() == [[3, 5, 0, 0, 0]] * 3
    assert found.lengths.tolist() == [3] * 3
    torch.testing.assert_close(found.scores, torch.full((3,), math.log(0.6 * 0.35)), rtol=1e-4, atol=1e-4)
    found = beam_search(GARDEN, x, lengths, 5, 3, 1.0)
    assert found.tokens.tolist() == [[4, 6, 0, 0, 0]] * 3
    assert bool(found.is_ended.all())
    torch.testing.assert_close(found.scores, torch.full((3,), math.log(0.4)), rtol=1e-4, atol=1e-4)


def test_the_length_penalty_prefers_long_texts() -> None:
    chain = Chain({START: {END: 0.5, 3: 0.5}, 3: {4: 0.9}, 4: {5: 0.9}, 5: {END: 0.9}})
    x, lengths = torch.zeros(1, 2, dtype=torch.int64), torch.tensor([2])
    assert beam_search(chain, x, lengths, 6, 2, 0.0).tokens.sum() == 0
    assert beam_search(chain, x, lengths, 6, 2, 1.0).tokens.tolist() == [[3, 4, 5, 0, 0, 0]]


def test_texts_without_an_end_are_stopped() -> None:
    chain = Chain({START: {3: 1.0}, 3: {3: 1.0}})
    x, lengths = torch.zeros(2, 2, dtype=torch.int64), torch.full((2,), 2)
    for found in (greedy(chain, x, lengths, 4), beam_search(chain, x, lengths, 4, 2, 1.0)):
        assert found.tokens.tolist() == [[3, 3, 3, 3]] * 2
        assert not bool(found.is_ended.any())
        assert found.lengths.tolist() == [4, 4]


@pytest.mark.parametrize("name", ["transformer", "lstm"])
def test_a_beam_of_a_batch_is_that_of_each_row(name: str) -> None:
    torch.manual_seed(1)
    model: Any = MODELS[name]().eval()
    with torch.no_grad():
        both = beam_search(model, SOURCES, LENGTHS, 8, 3, 1.0)
        alone = beam_search(model, SOURCES[1:, :3], LENGTHS[1:], 8, 3, 1.0)
        single = beam_search(model, SOURCES, LENGTHS, 8, 1, 1.0)
        likely = greedy(model, SOURCES, LENGTHS, 8)
    assert both.tokens[1].tolist() == alone.tokens[0].tolist()
    torch.testing.assert_close(both.scores[1:], alone.scores, rtol=1e-4, atol=1e-4)
    assert bool((both.scores / both.lengths >= likely.scores / likely.lengths - 1e-4).all())
    assert single.tokens.shape == likely.tokens.shape
