"""Windows over long contexts: tokens, offsets of characters, overlaps, and truncation."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from dlcli.datasets.questions.questions import Questions
from dlcli.datasets.words.sentences import Sentences
from dlcli.errors import ConfigError
from dlcli.preprocessing.pretrained_questions import PretrainedQuestions
from dlcli.preprocessing.pretrained_words import PretrainedWords
from dlcli.preprocessing.ragged import NestedRagged, Ragged
from dlcli.preprocessing.words import WordCodes
from tests.tiny_bert import save_tiny_bert

WORDS = [f"w{number}" for number in range(30)]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_bert(tmp_path_factory.mktemp("bert"), ["who", *WORDS]))


def test_rows_of_several_sequences_are_padded_to_the_most_and_the_longest() -> None:
    lengths = torch.tensor([2, 1, 3])
    field = NestedRagged(Ragged(torch.arange(6), lengths, padding=-1), torch.tensor([2, 1]))
    assert field.lengths.tolist() == [3, 3]
    assert field[:1].tolist() == [[[0, 1], [2, -1]]]
    assert field.index_select(0, torch.tensor([1, 0])).tolist() == [
        [[3, 4, 5], [-1, -1, -1]],
        [[0, 1, -1], [2, -1, -1]],
    ]
    assert field.to(torch.device("cpu")).shape == (2, 0, 0)


def test_windows_repeat_the_end_of_the_one_before(bert: str) -> None:
    rows = Questions.of_pairs(["who", "who"], [" ".join(WORDS), "w1"])
    fitted = PretrainedQuestions(bert, max_length=16, stride=4, max_question=4).fit(rows)
    fields = fitted.transform(rows)
    x, segments, offsets = (fields[name][:] for name in ("x", "segments", "offsets"))
    context = " ".join(WORDS)
    read = [[context[first:end] for first, end in window if end > first] for window in offsets[0].tolist()]
    assert read[0] == WORDS[:12]
    assert all(before[-4:] == after[:4] for before, after in pairwise(read))
    assert read[-1][-1] == WORDS[-1]
    assert x[0, 0, :3].tolist() == [2, 4, 3]
    assert segments[0, 0].tolist() == [0, 0, 0] + [1] * 13
    assert (segments[1, 0, 5:] == -1).all() and (segments[1, 1:] == -1).all()
    notices = {notice.key: notice.text for notice in fitted.notices()}
    assert "the contexts of 1 of 2 training questions are longer than a window" in notices["split_contexts"]


def test_long_questions_are_cut_and_reported(bert: str) -> None:
    rows = Questions.of_pairs([" ".join(WORDS)], ["w1 w2"])
    fitted = PretrainedQuestions(bert, max_length=32, max_question=5).fit(rows)
    assert (fitted.transform(rows)["segments"][:] == 0).sum() == 7
    assert fitted.notices()[0].text == "1 training questions are longer than 5 tokens, and are cut there"
    _, counts = fitted.transform_and_count([{"question": "who", "context": "w1"}])
    assert counts["cut_questions"] == 0
    assert fitted.notices_of_new(counts) == []


def test_windows_without_room_are_refused(bert: str) -> None:
    rows = Questions.of_pairs(["who"], ["w1 w2"])
    with pytest.raises(ConfigError, match="but overlap by 40"):
        PretrainedQuestions(bert, max_length=32, stride=40).fit(rows)
    with pytest.raises(ConfigError, match="accepts at most 64 tokens"):
        PretrainedQuestions(bert, max_length=100).fit(rows)


def test_the_first_token_of_each_word_and_words_that_are_cut(bert: str) -> None:
    rows = Sentences.of_words([["w1", "w2,w3", "w4"], WORDS])
    fitted = PretrainedWords(bert, max_length=12).fit(rows)
    fields = fitted.transform(rows)
    # [CLS] w1 | w2 , w3 | w4 [SEP]
    assert next(iter(fields["firsts"])).tolist() == [1, 2, 5]
    assert list(fields["firsts"])[1].tolist() == list(range(1, 11))
    (notice,) = fitted.notices()
    assert "1 training sentences are longer than 12 tokens: 20 of 33 words are not read" in notice.text


def test_rare_words_are_one_unknown_word() -> None:
    fitted = WordCodes().fit([["a", "b", "a", "x1"], ["b", "c", "x7"]])
    assert fitted.vocabulary() == ["<pad>", "<unk>", "a", "b", "x0"]
    assert fitted.facts() == {"vocab_size": 5}
    assert fitted.transform([["c", "a", "x9"], []])["x"][:].tolist() == [[1, 2, 4], [1, 0, 0]]
