"""Sequence-to-sequence learning: metrics, losses, the stored outputs of rows, and baselines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from dlcli.datasets.pair_texts import PairTexts
from dlcli.datasets.text_rows import Texts
from dlcli.models.seq2seq_rnn import Seq2SeqRNN
from dlcli.preprocessing.pairs import PairSubwords
from dlcli.tasks.seq2seq import Seq2Seq
from dlcli.tasks.text_scores import WIDTH, TextScore, text_counts
from dlcli.tasks.token_losses import TokenCrossEntropy
from dlcli.training.network import Network
from dlcli.training.scores import Scores
from tests.pairs_of_sentences import sentences

metrics = pytest.importorskip("sacrebleu.metrics")

KINDS = ("bleu", "chrf", "sequence_accuracy", "unfinished")
GUESSES = ["the cat sat on the mat .", "A dog.", "", "Two red balls are here now!"]
TRUE = ["the cat is on the mat .", "A dog.", "Nothing", "Two red balls are here."]


def pairs(rows: int = 30) -> tuple[PairTexts, PairTexts]:
    source, target = zip(*sentences(rows), strict=True)
    return PairTexts.both(Texts.of(list(source), "de"), Texts.of(list(target), "en"))


def test_scores_are_those_of_sacrebleu_over_batches() -> None:
    expected = {
        "bleu": metrics.BLEU(force=True).corpus_score(GUESSES, [TRUE]).score,
        "chrf": metrics.CHRF().corpus_score(GUESSES, [TRUE]).score,
        "sequence_accuracy": 0.25,
        "unfinished": 0.75,
    }
    counts = text_counts(GUESSES, TRUE, KINDS, [True, False, True, True])
    for kind in KINDS:
        metric = TextScore(kind)  # type: ignore[arg-type]
        metric.update(counts[:1], torch.empty(1, 0))
        metric.update(counts[1:], torch.empty(3, 0))
        assert float(metric.compute()) == pytest.approx(expected[kind])


def test_the_loss_of_tokens_is_smoothed_and_ignores_padding() -> None:
    logits, y = torch.randn(2, 3, 5), torch.tensor([[3, 4, 2], [1, 2, 0]])
    losses = TokenCrossEntropy(0.1)(logits, y)
    expected = functional.cross_entropy(logits[0], y[0], label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(losses[0], expected)
    assert float(losses[1, 2]) == 0
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4])
    constant = functional.cross_entropy(
        shares.log().expand(4, 4), torch.arange(4), label_smoothing=0.1, reduction="none"
    )
    torch.testing.assert_close(TokenCrossEntropy(0.1).of_constant(shares), constant)


def fitted(shared: bool = True, **settings: Any) -> tuple[Seq2Seq, Network, PairSubwords]:
    x, _ = pairs()
    subwords = PairSubwords(vocab_size=290, shared=shared, **settings).fit(x)
    task = Seq2Seq(TokenCrossEntropy(), beam=2)
    task.attach(subwords)
    facts = subwords.facts()
    torch.manual_seed(0)
    return task, Network(Seq2SeqRNN(**facts, embedding=8, hidden=8, dropout=0.0)), subwords


@pytest.mark.parametrize("shared", [True, False])
def test_targets_are_encoded_without_loss(shared: bool) -> None:
    task, _, subwords = fitted(shared)
    x, y = pairs()
    assert subwords.target_subwords.decode([row.numpy() for row in task.encode(y)]) == list(y)
    assert subwords.facts()["shares_vocabulary"] is shared
    assert (subwords.source_ == subwords.target_) is shared
    fields = subwords.transform(Texts.of(list(x)))  # new rows have no targets
    assert fields["lengths"].tolist() == subwords.transform(x)["lengths"].tolist()
    assert "longest source of" in subwords.notices()[0].text


def test_long_texts_are_cut_and_reported() -> None:
    x, _ = pairs()
    task, _, subwords = fitted(max_length=8)
    assert int(subwords.transform(x)["lengths"].max()) == 8
    assert "are cut at 8 tokens" in subwords.notices()[0].text
    fields, counts = subwords.transform_and_count(
        Texts.of(["Der Hund.", " ", "Der kleine Hund sieht 12 alte Hunde."])
    )
    assert len(fields["x"]) == 3
    assert [notice.key for notice in subwords.notices_of_new(counts)] == ["cut_texts", "empty_texts"]
    assert int(task.encode(pairs()[1]).lengths.max()) > 8  # references stay whole


def test_stored_outputs_give_the_metrics_of_the_texts() -> None:
    task, network, subwords = fitted()
    x, y = pairs(10)
    fields = subwords.transform(x)
    batch = {"x": fields["x"][:], "lengths": fields["lengths"]}
    tokens = task.encode(y)[:]
    network.eval()
    with torch.no_grad():
        outputs, nothing = task.kept(task.evaluated(network, batch, tokens), tokens)
        logits = network({**batch, "y": tokens})
    loss = functional.cross_entropy(logits.flatten(0, 1), tokens.flatten(), ignore_index=0)
    assert outputs.shape == (10, 2 + WIDTH + 128)
    assert nothing.shape == (10, 0)
    torch.testing.assert_close(task.kept_loss(outputs, nothing).float(), loss)
    scores = Scores(task)
    scores.add(outputs, nothing)
    found = scores.compute()
    table = task.judged(outputs, y)
    assert table["target"].tolist() == list(y)
    assert table["source"].tolist() == list(x)
    expected = metrics.CHRF().corpus_score(table["prediction"].tolist(), [list(y)]).score
    assert found["chrf"] == pytest.approx(expected)
    restored = task.metric_inputs_of(table)
    assert restored is not None
    torch.testing.assert_close(restored[0], task.metric_inputs(outputs, nothing)[0])
    assert table["loss"].mean() == pytest.approx(float((outputs[:, 0] / outputs[:, 1]).mean()))
    groups = task.breakdown(outputs, y)
    assert groups["rows"].sum() == 10
    worst = task.worst(outputs, y)
    assert worst[0][0] == int(np.argmax(table["loss"]))
    # A training step keeps the same losses, and a validation batch of no metric generates nothing.
    step_loss, of_rows = task.step(network, {**batch, "y": tokens})
    torch.testing.assert_close(step_loss.detach(), loss)
    torch.testing.assert_close(of_rows, outputs[:, :2])
    with torch.no_grad():
        assert float(task.evaluated(network, batch, tokens, metrics=["loss"])[:, 2:].abs().sum()) == 0


def test_new_texts_have_a_probability() -> None:
    task, network, subwords = fitted()
    fields = subwords.transform(Texts.of(["Der alte Hund."]))
    with torch.no_grad():
        outputs = task.evaluated(network.eval(), {"x": fields["x"][:], "lengths": fields["lengths"]})
    table = task.predictions(task.predicted(outputs))
    assert list(table.columns) == ["prediction", "log_probability", "tokens", "unfinished"]
    assert float(table["log_probability"].iloc[0]) < 0
    fields = subwords.transform(Texts.of(["Der alte Hund.", "", " "]))
    with torch.no_grad():
        outputs = task.evaluated(network, {"x": fields["x"][:], "lengths": fields["lengths"]})
    again = task.predictions(outputs)
    assert again["prediction"].isna().tolist() == [False, True, True]
    assert again["tokens"].tolist() == [table["tokens"].iloc[0], 0, 0]
    assert task.counts_of_new(outputs)["unfinished"] == int(again["unfinished"].iloc[0])


def test_losses_of_long_targets_are_computed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    task, network, subwords = fitted()
    sources, targets = ["Hund.", "Der alte Hund.", "Ball."], ["dog.", "The old dog. " * 20, "ball."]
    fields, tokens = subwords.transform(Texts.of(sources)), task.encode(targets)[:]
    batch = {"x": fields["x"][:], "lengths": fields["lengths"]}
    with torch.no_grad():
        expected = task.evaluated(network.eval(), batch, tokens, metrics=["loss"])
        monkeypatch.setattr("dlcli.tasks.seq2seq._LOGITS", 50 * task.num_outputs)
        found = task.evaluated(network, batch, tokens, metrics=["loss"])
    assert int(tokens.ne(0).sum(dim=1).max()) > 100
    torch.testing.assert_close(found, expected)


def test_texts_without_an_end_are_counted() -> None:
    task, _, _ = fitted(max_length=8)
    tokens = torch.full((3, 8), 5.0)
    tokens[0, 7] = 0  # the last token was the end
    outputs = torch.cat([torch.tensor([[-1.0, 8.0]]).expand(3, 2), tokens], dim=1)
    counts = task.counts_of_new(outputs)
    assert counts == {"generated": 3, "unfinished": 2}
    assert task.predictions(outputs)["unfinished"].tolist() == [False, True, True]
    (notice,) = task.notices_of_new(counts)
    assert notice.text == "2 of 3 predictions were truncated at 8 tokens"
    assert (notice.where, notice.warns) == ("preprocessing.max_length", True)
    assert task.notices_of_new({"generated": 3}) == []
    kept, nothing = task.kept(outputs, torch.full((3, 2), 5))
    scores = Scores(task)
    scores.add(kept, nothing)
    assert scores.compute()["unfinished"] == pytest.approx(2 / 3)
    assert task.judged(kept, pairs(3)[1])["unfinished"].tolist() == [False, True, True]


def test_baselines_repeat_the_most_frequent_target_or_the_source() -> None:
    x, y = PairTexts.both(Texts.of(["a b c d e", "u", "v"], "s"), Texts.of(["a b c d e", "z", "z"], "t"))
    subwords = PairSubwords(vocab_size=260).fit(x)
    task = Seq2Seq(TokenCrossEntropy())
    task.attach(subwords)
    found = task.baselines(x, torch.empty(3, 0))
    assert set(found) == {"", "copy"}
    values = {}
    for name, (judge, outputs) in found.items():
        scores = Scores(judge)
        scores.add(outputs, torch.empty(3, 0))
        values[name] = scores.compute()
    assert values[""]["sequence_accuracy"] == pytest.approx(2 / 3)
    assert values["copy"]["sequence_accuracy"] == pytest.approx(1 / 3)
    assert 0 < values[""]["loss"] < math.log(260)
    assert list(y.other) == list(x)


def test_a_table_without_texts_restores_nothing() -> None:
    assert Seq2Seq(TokenCrossEntropy()).metric_inputs_of(pd.DataFrame({"target": ["a"]})) is None
