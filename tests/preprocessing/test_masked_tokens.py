"""Masked tokens: their shares, and what they depend on; words at the ends of rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcli.datasets.passages import MaskedPassages
from dlcli.errors import ConfigError
from dlcli.preprocessing.masked_tokens import Masking
from dlcli.preprocessing.pretrained_masked import PretrainedMasked
from tests.tiny_bert import save_tiny_bert

MASK = 1


def rows_of(lengths: list[int], seed: int = 0) -> Masking:
    """Return rows of random tokens from 2 to 101; the first and the last of each row are special."""
    tokens = np.random.default_rng(seed).integers(2, 102, sum(lengths))
    ends = np.cumsum(lengths)
    ordinary = np.ones(len(tokens), bool)
    ordinary[ends - 1] = ordinary[ends - lengths] = False
    return Masking(tokens, np.array(lengths), ordinary, 0.15, MASK, np.arange(2, 102))


def test_the_shares_are_those_of_bert() -> None:
    rows = rows_of([102] * 500)
    for seed in (None, 0, 2**63):
        found = rows.drawn(seed)
        read, places, true = (
            found[part].index_select(0, torch.arange(500)) for part in ("x", "places", "masked_tokens")
        )
        assert places.shape == (500, 15)
        assert 1 <= int(places.min()) < int(places.max()) <= 100
        assert all(len(set(row)) == 15 for row in places.tolist())
        there = read.gather(1, places)
        shares = [(there == MASK).float().mean(), (there == true).float().mean()]
        assert shares == pytest.approx([0.8, 0.1], abs=0.02)
        others = there[(there != MASK) & (there != true)]
        assert len(others.unique()) == 100
        whole = torch.from_numpy(rows.tokens).view(500, 102)
        assert torch.equal(read.scatter(1, places, true), whole)


def test_masks_depend_on_the_tokens_and_the_seed_only() -> None:
    lengths = [2, 3, 9, 40, 21]
    rows = rows_of(lengths)
    pieces = np.split(np.arange(len(rows.tokens)), np.cumsum(lengths)[:-1])
    order = [3, 0, 4, 2, 1]
    moved = np.concatenate([pieces[row] for row in order])
    other = replace(
        rows, tokens=rows.tokens[moved], ordinary=rows.ordinary[moved], lengths=rows.lengths[order]
    )
    for seed in (None, 5):
        for part, field in other.drawn(seed).items():
            expected = list(rows.drawn(seed)[part])
            for row, found in zip(order, field, strict=True):
                assert torch.equal(found, expected[row])
    assert [len(row) for row in rows.drawn(5)["places"]] == [0, 1, 1, 6, 3]
    assert not torch.equal(rows.drawn(5)["places"].values, rows.drawn(6)["places"].values)
    field = rows.fields()["places"]
    assert torch.equal(field.drawn(5).values, rows.drawn(5)["places"].values)
    assert torch.equal(field.to(torch.device("cpu")).values, rows.drawn(None)["places"].values)


def test_words_at_the_ends_of_rows_are_whole() -> None:
    text = "one two three " + "x" * 70 + " four\nfive"
    starts = np.arange(1, len(text) + 1, 5)
    rows = MaskedPassages.of([text])
    rows = replace(rows, starts=starts, ends=np.append(starts[1:], len(text) + 1)).whole_words()
    found = list(rows.texts())
    assert "".join(found) == text
    assert found[:3] == ["one two", " three", " " + "x"]
    assert [len(one) for one in found[3:10]] == [5] * 7  # the word is too long to be whole
    assert found[-2:] == ["four\n", "five"]


def test_texts_that_cannot_be_masked_are_reported(tmp_path: Path) -> None:
    folder = str(save_tiny_bert(tmp_path / "bert", ["[MASK]", "a", "b"], positions=6))
    fitted = PretrainedMasked(folder).fit(MaskedPassages.of(["a b", "Q Q", "a b a b a b", "[MASK]"]))
    assert [notice.text for notice in fitted.notices()] == [
        "2 tokens at the ends of training rows are not read: the model reads 6 of a row",
        "2 training rows have no token that can be masked, and no loss",
    ]
    assert fitted.token_counts_[5:].tolist() == [3, 3]
    fields, counts = fitted.transform_and_count(["b b b b b b b", ""])
    assert counts == {"tokens": 8, "cut_tokens": 3, "bare_rows": 1}
    assert fields["lengths"].tolist() == [6, 2]
    plain = str(save_tiny_bert(tmp_path / "plain", ["a"]))
    with pytest.raises(ConfigError, match="has no mask token"):
        PretrainedMasked(plain).fit(MaskedPassages.of(["a"]))
