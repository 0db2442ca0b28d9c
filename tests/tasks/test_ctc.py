"""Connectionist temporal classification: error rates, loss, decoding, and the stored outputs of a row."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor
from torchmetrics.text import CharErrorRate, WordErrorRate

from dlcli.datasets.text_rows import Texts
from dlcli.datasets.transcripts import Transcripts
from dlcli.statistics.edit_distance import edit_distances
from dlcli.tasks.ctc import CTC, Units
from dlcli.tasks.ctc_decoding import best_paths, prefix_search
from dlcli.tasks.ctc_loss import CTCLoss, alignable, log_likelihoods
from dlcli.tasks.text_scores import TextScore, TextScoreKind, text_counts

TRUE = ["the cat sat", "a", "on the mat", "one two three", "x y"]
GUESSES = ["the cats at", "", "on mat the", "one two three", "y"]


def transcripts(texts: list[str]) -> Transcripts:
    return Transcripts(pa.array(texts), Texts.of([f"{row}.wav" for row in range(len(texts))]))


def facts_of(rows: Transcripts) -> dict[str, Any]:
    return rows.facts(np.arange(len(rows)), ())


def probabilities(rows: int, steps: int, outputs: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(rows, steps, outputs, generator=generator)).log_softmax(dim=2)


def test_error_rates_are_those_of_torchmetrics() -> None:
    counts = text_counts(GUESSES, TRUE, ["cer", "wer"])
    kinds: tuple[tuple[TextScoreKind, Any], ...] = (("cer", CharErrorRate()), ("wer", WordErrorRate()))
    for kind, reference in kinds:
        metric = TextScore(kind)
        metric.update(counts[:2], torch.empty(2, 0))
        metric.update(counts[2:], torch.empty(3, 0))
        assert float(metric.compute()) == pytest.approx(float(reference(GUESSES, TRUE)))
        assert metric.higher_is_better is False
    assert math.isnan(float(TextScore("cer").compute()))


def test_edit_distances_of_random_strings() -> None:
    draw = np.random.default_rng(0)
    pairs = [["".join(draw.choice(list("abc"), draw.integers(0, 9))) for _ in range(2)] for _ in range(60)]
    first, second = zip(*pairs, strict=True)

    def slow(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(slow(a[1:], b) + 1, slow(a, b[1:]) + 1, slow(a[1:], b[1:]) + (a[0] != b[0]))

    short = [row for row in range(60) if len(first[row]) + len(second[row]) < 11]
    found = edit_distances(first, second)
    assert [found[row] for row in short] == [slow(first[row], second[row]) for row in short]


def texts_of(values: Tensor) -> dict[tuple[int, ...], float]:
    """Return the probability of each text of one row `(T, C)`, by adding those of all alignments."""
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(values.shape[1]), repeat=len(values)):
        text = tuple(code for code, _ in itertools.groupby(path) if code)
        share = math.exp(sum(float(values[step, code]) for step, code in enumerate(path)))
        found[text] = found.get(text, 0.0) + share
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_most_likely_text(seed: int) -> None:
    values, steps = probabilities(2, 5, 3, seed), torch.tensor([5, 4])
    found = prefix_search(values, steps, 200)
    for row in range(2):
        every = texts_of(values[row, : steps[row]])
        best = max(every, key=lambda text: every[text])
        assert tuple(code for code in found[row].tolist() if code) == best
        likelihood = log_likelihoods(values[row : row + 1], steps[row : row + 1], found[row : row + 1])
        assert float(likelihood.exp()) == pytest.approx(every[best], rel=1e-5)


def test_the_best_path_merges_repetitions_and_drops_blanks() -> None:
    path = torch.tensor([[0, 1, 1, 0, 1, 2], [2, 2, 0, 2, 1, 1]])
    values = torch.nn.functional.one_hot(path, 3).float().mul(9).log_softmax(dim=2)
    assert best_paths(values, torch.tensor([6, 4])).tolist() == [[1, 1, 2, 0, 0, 0], [2, 2, 0, 0, 0, 0]]


def test_a_transcript_without_an_alignment_costs_nothing() -> None:
    y, steps = torch.tensor([[1, 1, 0], [1, 2, 1], [2, 0, 0]]), torch.tensor([2, 3, 3])
    assert alignable(steps, y).tolist() == [False, True, True]
    losses = CTCLoss()(probabilities(3, 3, 3).requires_grad_(), steps, y, torch.tensor([2, 3, 1]))
    assert losses[0] == 0 and (losses[1:] > 0).all()


def test_facts_are_those_of_the_training_rows() -> None:
    facts = transcripts(["one two", "one", "one one"]).facts(np.array([1, 2]), ())
    assert facts["words"] == ["one"] and facts["word_counts"] == [3]
    assert facts["characters"] == [" ", "e", "n", "o"] and facts["character_counts"] == [1, 3, 3, 3]
    assert facts["typical_text"] == "one" and facts["transcripts"] == 2


@pytest.mark.parametrize("units", ["characters", "words"])
def test_stored_outputs_restore_texts_and_metrics(units: Units) -> None:
    rows = transcripts(["ab ab", "b", "ab"])
    task = CTC(CTCLoss(), **facts_of(rows), units=units)
    y = task.encode(rows)[:]
    lengths = [len(text if units == "characters" else text.split()) for text in rows]
    outputs = torch.zeros(3, 4 + 7)
    outputs[:, :4] = torch.tensor([[6.0, 5, 7, -1], [0, 0, 2, -2], [2, 2, 7, -3]])
    outputs[:, 4 : 4 + y.shape[1]] = y
    outputs[2, 4:] = 0
    kept, _ = task.kept(outputs, y)
    table = task.judged(kept, rows)
    assert table["prediction"].tolist() == ["ab ab", "b", ""]
    assert table["file"].tolist() == ["0.wav", "1.wav", "2.wav"]
    assert table["cer"].tolist() == [0, 0, 1]
    assert table["loss"].isna().tolist() == [False, True, False]
    assert float(task.kept_loss(kept, y)) == pytest.approx(8 / 7)
    lines = task.breakdown(kept, rows)  # the row without an alignment is the shortest one, or among them
    assert (int(lines["rows"].sum()), lines["symbols"].tolist()) == (3, [f"{min(lengths)} to {max(lengths)}"])
    (notice,) = task.left_out_of_loss(kept, "test")
    assert (notice.count, notice.text[:22]) == (1, "1 of 3 test recordings")
    kept[1:, :2] = kept[:1, :2] = 0
    assert task.breakdown(kept, rows)["loss"].isna().all()
    kept[:, :2] = outputs[:, :2]
    restored = task.metric_inputs_of(table)
    assert restored is not None
    assert torch.equal(restored[0], task.metric_inputs(kept, y)[0])
    baseline = task.baselines(None, kept, rows)[""][1]
    assert baseline.shape == (3, kept.shape[1] - 7)
    assert (baseline[1:, 0] > 0).all()


def test_unseen_symbols_are_counted_and_left_out() -> None:
    task = CTC(CTCLoss(), **facts_of(transcripts(["ab", "ba"])))
    new = transcripts(["abc", "cd", "a"])
    assert task.encode(new).lengths.tolist() == [2, 0, 1]
    (notice,) = task.unseen_targets(new, "rows")
    assert notice.count == 3
    assert "3 characters of the 3 rows do not occur in training" in notice.text
    assert "'c', 'd'" in notice.text
