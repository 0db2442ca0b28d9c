"""The task of language models: losses, the stored outputs of a row, metrics, and baselines computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from dlcli.datasets.passages import Passages
from dlcli.preprocessing.language import NO_TARGET
from dlcli.tasks.language_model import LanguageModel
from dlcli.tasks.losses import NextToken
from dlcli.training.scores import Scores

ROWS = Passages.of(["abab", "ba"])


def task() -> LanguageModel:
    return LanguageModel(**ROWS.facts(np.arange(len(ROWS)), ()), loss=NextToken())


def batch() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    logits = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([[1, 2, 0, 4], [3, 3, NO_TARGET, NO_TARGET]])
    return logits, {"next_tokens": targets, "characters": torch.tensor([9, 3])}


def test_the_loss_is_the_mean_over_tokens() -> None:
    logits, fields = batch()
    outputs = task().outputs(logits, fields)
    expected = functional.cross_entropy(
        logits.flatten(0, 1), fields["next_tokens"].flatten(), ignore_index=NO_TARGET
    )
    loss = task().loss(outputs, fields["characters"])
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])
    assert torch.equal(task().outputs(logits, {}), logits)


def test_stored_outputs_and_metrics() -> None:
    logits, fields = batch()
    outputs = task().outputs(logits, fields).detach()
    kept, _ = task().kept(outputs, fields["characters"])
    assert kept[:, 1:].tolist() == [[4, 9], [2, 3]]
    scores = Scores(task())
    scores.update(outputs, fields["characters"])
    found = scores.compute()
    total = float(kept[:, 0].sum())
    assert found["loss"] == pytest.approx(total / 6)
    assert found["perplexity"] == pytest.approx(math.exp(total / 6))
    assert found["bits_per_character"] == pytest.approx(total / 12 / math.log(2))
    table = task().judged(kept, ROWS)
    restored = task().metric_inputs_of(table)
    assert restored is not None
    np.testing.assert_allclose(restored[0].numpy(), kept.numpy(), rtol=1e-6)


def test_members_are_combined_by_their_probabilities() -> None:
    logits, fields = batch()
    other = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1))
    both = torch.stack([task().outputs(one, fields) for one in (logits, other)], dim=1)
    mean = ((logits.softmax(-1) + other.softmax(-1)) / 2).log()
    torch.testing.assert_close(task().combined(both), task().outputs(mean, fields))


def test_baselines_by_hand() -> None:
    kept = torch.tensor([[0.0, 4, 4], [0.0, 2, 2]])
    found = {name: outputs for name, (_, outputs) in task().baselines(ROWS, kept).items()}
    # 3 times a and b each, and one for each of them and for all others.
    assert found[""][:, 0].tolist() == pytest.approx([4 * -math.log(4 / 9), 2 * -math.log(4 / 9)])
    share = 4 / 9
    pairs = {"\na": 1, "\nb": 1, "ab": 2, "ba": 2}
    before = {"\n": 2, "a": 2, "b": 2}

    def loss(pair: str) -> float:
        # The line feed is not one of the characters.
        number, total = (pairs[pair], before[pair[0]])
        return -math.log((number + 5 * share) / (total + 5))

    expected = [loss("\na") + 2 * loss("ab") + loss("ba"), loss("\nb") + loss("ba")]
    assert found["bigram"][:, 0].tolist() == pytest.approx(expected)
    assert torch.equal(found["bigram"][:, 1:], kept[:, 1:])
    unseen = task().baselines(Passages.of(["z"]))[""][1]
    assert unseen.tolist() == [[pytest.approx(math.log(9)), 1, 1]]
