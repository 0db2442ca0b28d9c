"""Counts and metrics of entities, compared with seqeval and a simple decoding of tags."""

from __future__ import annotations

import numpy as np
import torch

from dlcli.datasets.words.schemes import entities_of
from dlcli.tasks.entities import EntityTypes
from dlcli.tasks.entity_metrics import EntityScore, entity_figures

TAGS = ("O", "B-PER", "I-PER", "B-MISC", "I-MISC")


def padded(rows: list[list[str]], tags: tuple[str, ...] = TAGS) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*map(tags.index, row), *[-100] * (width - len(row))] for row in rows])


def test_the_example_of_seqeval() -> None:
    """Its documentation gives precision, recall and F1 of 0.5 for these tags, and F1 0 for MISC and 1 for PER."""
    true = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    found = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    types = EntityTypes(TAGS)
    counts = types.counts(padded(found), padded(true))
    assert types.names == ("PER", "MISC")
    assert counts.sum(dim=0).tolist() == [[1, 1], [1, 1], [1, 0]]
    words = torch.tensor([[7.0, 7.0, 6.0], [3.0, 3.0, 3.0]], dtype=torch.float64)
    inputs = torch.cat([counts, words.unsqueeze(2)], dim=2)
    for kind, value in (
        ("precision", 0.5),
        ("recall", 0.5),
        ("f1", 0.5),
        ("macro_f1", 0.5),
        ("accuracy", 0.9),
    ):
        metric = EntityScore(kind, 2)
        metric.update(inputs, torch.empty(2, 0))
        assert float(metric.compute()) == value


def test_counts_are_those_of_a_plain_reading() -> None:
    random = np.random.default_rng(0)
    rows = [
        [[TAGS[code] for code in random.integers(0, 5, length)] for length in random.integers(1, 12, 200)]
        for _ in range(2)
    ]
    rows[1] = [
        row[: len(other)] + ["O"] * (len(other) - len(row))
        for row, other in zip(rows[1], rows[0], strict=True)
    ]
    types = EntityTypes(TAGS)
    counts = types.counts(padded(rows[1]), padded(rows[0]))
    for row, (true, found) in enumerate(zip(*rows, strict=True)):
        sets = [{*entities_of(tags)} for tags in (true, found)]
        for place, name in enumerate(types.names):
            own = [{entity for entity in one if entity[2] == name} for one in sets]
            assert counts[row, :, place].tolist() == [len(own[0]), len(own[1]), len(own[0] & own[1])]


def test_nothing_predicted_and_nothing_given_count_as_0() -> None:
    figures = entity_figures(torch.tensor([[0.0, 2.0, 2.0], [1.0, 0.0, 4.0], [0.0, 0.0, 1.0]]))
    assert figures["precision"].tolist() == [0, 0, 0.25]
    assert figures["recall"].tolist() == [0, 0, 0.5]
    assert figures["f1"].tolist()[:2] == [0, 0]
    assert abs(figures["f1"].tolist()[2] - 1 / 3) < 1e-12


def test_words_with_plain_tags_are_entities_by_themselves() -> None:
    tags = ("NOUN", "VERB")
    counts = EntityTypes(tags).counts(padded([["NOUN", "NOUN"]], tags), padded([["NOUN", "VERB"]], tags))
    assert counts.tolist() == [[[1, 1], [2, 0], [1, 0]]]
