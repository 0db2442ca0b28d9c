"""Answers as spans: the official scores, the best span over windows, the loss, and the baselines."""

from __future__ import annotations

import math

import pytest
import torch

from dlcli.datasets.questions.answers import Answers
from dlcli.datasets.questions.questions import Questions
from dlcli.tasks.answer_span import AnswerSpan, question_word
from dlcli.tasks.best_spans import best_spans, span_scores
from dlcli.tasks.sentence_overlap import first_sentence, most_shared_words
from dlcli.tasks.span_losses import SpanLikelihood, tokens_of_answer
from dlcli.tasks.squad_score import answer_f1, exact_match, normalized_answer


@pytest.mark.parametrize(
    ("predicted", "answers", "exact", "f1"),
    [
        ("The Cat.", ["cat"], 1, 1),  # neither articles nor punctuation nor case count
        ("a cat sat", ["the cat"], 0, 2 / 3),
        ("dog", ["cat", "dog"], 1, 1),  # the best of several answers
        ("cat cat", ["cat"], 0, 2 / 3),  # words are counted as often as they occur
        ("U.S.", ["US"], 1, 1),
        ("", ["cat"], 0, 0),
        ("", [], 1, 1),  # no answer to an unanswerable question
        ("cat", [], 0, 0),
        ("the", ["a"], 1, 1),
        ("", ["the", "cat"], 0, 0),  # an answer without a word counts only if no other has one
    ],
)
def test_scores_by_the_definition_of_squad(
    predicted: str, answers: list[str], exact: float, f1: float
) -> None:
    assert exact_match(predicted, answers) == exact
    assert answer_f1(predicted, answers) == pytest.approx(f1)


def test_answers_are_compared_without_articles_and_punctuation() -> None:
    assert normalized_answer("  An  apple, the   Pie!") == "apple pie"
    assert normalized_answer("theory") == "theory"


def outputs(start: list[list[float]], end: list[list[float]], first: list[list[int]]) -> torch.Tensor:
    """Return the outputs of one row, whose tokens are single characters; -1 is a token of the question."""
    places = torch.tensor([first], dtype=torch.float32)
    last = torch.where(places >= 0, places + 1, places)
    return torch.stack([torch.tensor([start]), torch.tensor([end]), places, last], dim=3)


def test_the_best_span_lies_within_one_window_and_is_not_too_long() -> None:
    # The highest start is in the first window, the highest end in the second one.
    start = [[9.0, 5.0, 0.0, 0.0], [9.0, 0.0, 3.0, 0.0]]
    end = [[9.0, 0.0, 0.0, 1.0], [9.0, 0.0, 4.0, 0.0]]
    found = outputs(start, end, [[-1, 0, 1, 2], [-1, 2, 3, 4]])
    assert best_spans(span_scores(found, False), 30, False)[0, 1:].tolist() == [3, 4]
    long = outputs([[0.0, 9.0, 0.0, 0.0]], [[0.0, 0.0, 3.0, 9.0]], [[-1, 0, 1, 2]])
    assert best_spans(span_scores(long, False), 3, False)[0, 1:].tolist() == [0, 3]
    assert best_spans(span_scores(long, False), 2, False)[0, 1:].tolist() == [0, 2]
    probability = best_spans(span_scores(long, False), 3, False)[0, 0]
    assert 0 < float(probability) <= 1


def test_no_answer_is_the_first_token_where_there_may_be_none() -> None:
    found = outputs([[9.0, 1.0, 0.0]], [[9.0, 1.0, 0.0]], [[-1, 0, 1]])
    assert best_spans(span_scores(found, True), 30, True)[0, 1:].tolist() == [-1, -1]
    assert best_spans(span_scores(found, False), 30, False)[0, 1:].tolist() == [0, 1]


def test_the_loss_adds_the_windows_that_contain_the_answer() -> None:
    even = [[0.0] * 3, [0.0] * 3]
    found = outputs(even, even, [[-1, 0, 1], [-1, 1, 2]])
    y = torch.tensor([[1, 1, 2], [1, 2, 3], [1, 1, 3], [0, 65, 66]], dtype=torch.int32)
    losses, targeted = SpanLikelihood()(span_scores(found.expand(4, -1, -1, -1), False), y, False)
    # Four tokens of contexts: character 1 stands in two of them, character 2 in one.
    assert losses[:3].tolist() == pytest.approx([-math.log(2 / 4), -math.log(1 / 4), -math.log(1 / 4)])
    assert targeted.tolist() == [True, True, True, False]
    losses, targeted = SpanLikelihood()(span_scores(found.expand(4, -1, -1, -1), True), y, True)
    assert losses[3].item() == pytest.approx(-math.log(1 / 5))
    assert targeted.all()


def test_an_answer_outside_all_windows_is_not_used_for_training() -> None:
    even = torch.zeros(1, 2, 3)
    found = outputs(even[0].tolist(), even[0].tolist(), [[-1, 0, 1], [-1, 2, 3]]).requires_grad_()
    y = torch.tensor([[1, 1, 3]], dtype=torch.int32)
    task = AnswerSpan(SpanLikelihood())
    loss = task.loss(found, y)
    loss.backward()
    assert loss.item() == 0
    assert found.grad is not None and torch.isfinite(found.grad).all()
    assert not found.grad.any()


def test_answers_longer_than_the_maximum_are_reported() -> None:
    context = "abcdef"
    answers = Answers.of([[(0, 4)], [(2, 4)], []], Questions.of([("?", context)] * 3))
    values, lengths = answers.records()
    y = torch.nn.utils.rnn.pad_sequence(values.split(lengths.tolist()), batch_first=True, padding_value=-1)
    zeros = [[0.0] * 4] * 2
    one = outputs(zeros, zeros, [[-1, 0, 1, 2], [-1, 1, 2, 3]])
    scores = span_scores(one.repeat(3, 1, 1, 1), False)
    assert tokens_of_answer(scores, y).tolist() == [3, 2, 0]
    offsets = torch.tensor([[[0, 0], [0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]])[None].repeat(3, 1, 1, 1)
    task = AnswerSpan(SpanLikelihood(), max_answer=3)
    told = {notice.key: notice.count for notice in task.lost_targets({"y": y, "offsets": offsets})}
    assert told == {"cut_answers": 1, "long_answers": 1}


def test_sentences_are_the_baselines() -> None:
    context = 'Ada lived in Rome. "Bob lived in Oslo!" Eve left.'
    question = "Where did Bob live in Oslo?"
    chosen = most_shared_words(question, context)
    assert context[slice(*chosen)] == '"Bob lived in Oslo!"'
    assert context[slice(*first_sentence(question, context))] == "Ada lived in Rome."
    rows = Questions.of_pairs([question], [context])
    first = context.index("Oslo")
    y = Answers.of([[(first, first + 4)]], rows)
    found = AnswerSpan(SpanLikelihood()).baselines(rows, torch.zeros(1, 6), y)
    assert found[""][1][0, 1] == 0
    assert 0 < found[""][1][0, 2] < 1
    assert found["first_sentence"][1][0, 2] == 0


def test_the_question_word_of_a_question() -> None:
    asked = ("In what year?", "Whom did he see?", "Name it.", "How many?")
    assert [question_word(question) for question in asked] == ["what", "who", "other", "how"]


def test_the_table_of_judged_questions_restores_the_scores() -> None:
    context = "It rained in Rome. Nobody came."
    rows = Questions.of_pairs(["Where did it rain?", "Who came?"], [context, context])
    y = Answers.of([[(13, 17)], []], rows)
    task = AnswerSpan(SpanLikelihood(), unanswerable=True)
    kept = torch.tensor([[0.1, 1, 1, 0.75, 13, 17], [0.2, 1, 1, 0.5, -1, -1]])
    table = task.judged(kept, y)
    assert table["prediction"].tolist() == ["Rome", ""]
    assert table[["score", "start", "end"]].to_numpy().tolist() == [[0.75, 13, 17], [0.5, -1, -1]]
    restored = task.metric_inputs_of(table)
    assert restored is not None
    assert restored[0].tolist() == [[1, 1], [1, 1]]
    assert task.metric_inputs_of(table.drop(columns="answers")) is None
    lines = task.breakdown(kept, y)
    assert {"where", "who"} <= set(lines.iloc[:, 0]) | set(lines.iloc[:, 1])
    assert {"none"} <= {str(cell) for cell in lines.to_numpy().ravel()}
    assert task.loss(outputs([[0.0, 1.0]], [[0.0, 1.0]], [[0, 13]]), task.encode(y)[:1]).ndim == 0
