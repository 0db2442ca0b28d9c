"""Tokens of language models, their targets, and random windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dlcli.datasets.passages import Passages, stream_of
from dlcli.preprocessing.language import NO_TARGET, Language
from dlcli.training.loader import BatchLoader

TEXT = "the cat sat on the mat, and the dog ran. " * 6


def blocks(text: str, size: int) -> Passages:
    codes, _ = stream_of([text])
    starts = np.arange(1, len(codes), size)
    return Passages(codes, starts, np.minimum(starts + size, len(codes)))


@pytest.mark.parametrize("tokens", ["characters", "bpe"])
def test_targets_are_the_next_tokens(tokens: Any) -> None:
    rows = blocks(TEXT, 16)
    language = Language(tokens).fit(rows)
    fields = language.transform(rows)
    x, y = fields["x"][:], fields["next_tokens"][:]
    for row, text in enumerate(rows.texts()):
        targets = y[row][y[row] != NO_TARGET]
        assert language.decode(targets.tolist()) == text
        assert torch.equal(x[row, 1 : len(targets)], targets[:-1])
        before = "\n" if row == 0 else TEXT[16 * row - 1]
        assert language.decode(x[row, :1].tolist()) == before
    assert int(fields["characters"][:].sum()) == len(TEXT)
    assert int(max(x.max(), y.max())) < language.facts()["vocab_size"]


def test_windows_begin_anywhere_within_the_training_rows() -> None:
    rows = blocks(TEXT, 16)
    some = rows[[0, 1, 2, 3, 8, 9, 10]]  # two runs
    language = Language().fit(some)
    loader = BatchLoader(language.transform(some), 7, shuffle=True, seed=1)
    allowed = ["\n" + TEXT[:64], TEXT[127:176]]
    begins = set()
    for epoch in range(6):
        loader.epoch = epoch
        for batch in loader:
            assert batch["x"].shape == (7, 16)
            for x, y in zip(batch["x"].tolist(), batch["next_tokens"].tolist(), strict=True):
                assert x[1:] == y[:-1]
                window = language.decode([*x, y[-1]])
                assert any(window in run for run in allowed)
                begins.add(window)
    assert len(begins) > 20
    again = BatchLoader(language.transform(some), 7, shuffle=True, seed=1)
    again.epoch = 5
    assert torch.equal(next(iter(again))["x"], batch["x"])


def test_rows_that_are_texts_begin_at_their_beginning() -> None:
    rows = Passages.of(["ann", "bo"], are_documents=True)
    language = Language().fit(rows)
    loader = BatchLoader(language.transform(rows), 2, shuffle=True)
    batch = next(iter(loader))
    assert sorted(language.decode([t for t in row if t >= 0]) for row in batch["next_tokens"].tolist()) == [
        "ann\n",
        "bo\n",
    ]
    assert sorted(batch["lengths"].tolist()) == [3, 4]


def test_unseen_characters_are_counted_and_named() -> None:
    language = Language().fit(blocks("abc", 3))
    assert language.vocabulary() == ["<unk>", "\n", "a", "b", "c"]
    fields, counts = language.transform_and_count(["abz", "zy"])
    assert fields["next_tokens"][:].tolist() == [[2, 3, 0], [0, 0, NO_TARGET]]
    (notice,) = language.notices_of_new(counts)
    assert notice.count == 3
    assert notice.text.startswith("3 of 5 characters do not occur in the training rows ('y', 'z')")
    assert language.notices_of_new(language.transform_and_count(["ab"])[1]) == []
    assert language.decode(language.encode("az")) == "a\ufffd"


@pytest.mark.parametrize("tokens", ["characters", "bpe"])
def test_drawn_windows_have_the_characters_of_their_own_targets(tokens: Any) -> None:
    rows = blocks("Ein schöner Tag für Käse: 😀 und 日本. " * 5, 16)
    language = Language(tokens, vocab_size=280).fit(rows)
    fields = language.transform(rows)
    assert fields["characters"][:].tolist() == rows.characters.tolist()
    for values in (fields, {name: field.drawn(5) for name, field in fields.items()}):
        for row in range(len(rows)):
            targets = values["next_tokens"][row : row + 1][0]
            found = int(values["characters"].index_select(0, torch.tensor([row])))
            whole = language.decode(targets[targets != NO_TARGET].tolist())
            # Drawn windows may begin and end within a character.
            assert abs(found - len(whole.strip("\ufffd"))) <= (2 if values is not fields else 0)


def test_batches_of_long_rows_are_smaller() -> None:
    lengths = [4] * 40 + [3000]
    codes, starts = stream_of(["x" * length for length in lengths])
    rows = Passages(codes, starts, starts + np.array(lengths))
    loader = BatchLoader(Language().fit(rows).transform(rows), 128, bounded=True)
    sizes = [tuple(batch["x"].shape) for batch in loader]
    assert sum(rows for rows, _ in sizes) == 41
    assert max(rows * steps for rows, steps in sizes) < 128 * 3000 // 4
    order = loader.order()
    assert order is not None
    assert int(order[0]) == 40


def test_rows_without_text_are_counted() -> None:
    language = Language().fit(blocks(TEXT, 16))
    fields, counts = language.transform_and_count(["the cat", "", None])
    assert len(fields["x"]) == 3
    (notice,) = language.notices_of_new(counts)
    assert (notice.key, notice.count) == ("empty_rows", 2)
    assert len(language.transform([])["x"]) == 0
