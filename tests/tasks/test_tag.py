"""The task of tags: losses, tables and baseline, computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dlcli.datasets.words.sentences import Sentences
from dlcli.datasets.words.word_tags import Tags
from dlcli.tasks.tag import Tag
from dlcli.tasks.tag_losses import TagCrossEntropy

CLASSES, COUNTS = ("O", "B-PER", "I-PER"), (5, 3, 2)
ROWS = Sentences.of_words([["Anna", "Lee", "runs"], ["Hi"]])
TAGS = Tags.of([[1, 2, 0], [0]], ROWS)


@pytest.fixture
def task() -> Tag:
    loss = TagCrossEntropy(CLASSES, COUNTS)
    return Tag(CLASSES, COUNTS, loss, longest=3, usual_words=["Anna"], usual_tags=[1])


def perfect(y: Tensor) -> Tensor:
    return 100.0 * functional.one_hot(y.clamp_min(0), 3)


def test_losses_are_means_over_words_and_kept_ones_over_those_of_a_row(task: Tag) -> None:
    y = task.encode(TAGS)[:]
    assert y.shape == (2, 3)
    assert (y >= 0).sum(dim=1).tolist() == [3, 1]
    outputs = perfect(y)
    outputs[0, 0] = 0  # one of four words, one of the three of its row
    assert task.loss(outputs, y).item() == pytest.approx(math.log(3) / 4)
    kept, targets = task.kept(outputs, y)
    assert kept[:, 0].tolist() == pytest.approx([math.log(3) / 3, 0])
    assert targets is y
    assert kept[0, 2:].tolist() == [2, 0]
    assert task.kept_loss(kept, y).item() == pytest.approx(math.log(3) / 4)
    assert task.output_shape(y) == (2, 3, 3)


def test_the_table_of_judged_rows_restores_the_counts(task: Tag) -> None:
    y = task.encode(TAGS)[:]
    kept, _ = task.kept(perfect(y), y)
    table = task.judged(kept, TAGS)
    assert table["tags"].tolist() == table["target"].tolist() == ["B-PER I-PER O", "O"]
    assert table["entities"].tolist() == ['[{"start": 0, "end": 8, "label": "PER"}]', "[]"]
    assert table[["words", "right_words", "given(PER)", "right(PER)"]].sum().tolist() == [4, 4, 1, 1]
    restored = task.metric_inputs_of(table)
    assert restored is not None
    torch.testing.assert_close(restored[0], task.metric_inputs(kept, y)[0].double())
    assert task.metric_inputs_of(table.drop(columns="words")) is None
    (line,) = task.breakdown(kept, TAGS).to_dict("records")
    assert line == {"class": "PER", "f1": 1, "precision": 1, "recall": 1, "entities": 1, "predicted": 1}


def test_the_worst_rows_and_the_baseline_of_usual_tags(task: Tag) -> None:
    y = task.encode(TAGS)[:]
    ((name, (judge, guess)),) = task.baselines(ROWS, torch.zeros(2, 4)).items()
    assert (name, judge) == ("", task)
    assert guess[:, 0].isnan().all()
    assert guess[:, 1:].long().tolist() == [[1, 0, 0], [0, 0, 0]]
    assert task.worst(guess, TAGS) == [(0, "1 of 3 words wrong")]
    assert task.worst(task.kept(perfect(y), y)[0], TAGS) == []
