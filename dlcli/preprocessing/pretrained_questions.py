"""Preprocessing of questions with the tokenizer of a pretrained transformers model: windows over long contexts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from annotated_types import Ge, MinLen
from sklearn.base import BaseEstimator
from tokenizers import Encoding, Tokenizer

from dlcli.config.pasted import pasted
from dlcli.datasets.notices import Notice
from dlcli.datasets.questions.questions import Questions
from dlcli.errors import ConfigError
from dlcli.preprocessing.pretrained_tokenizer import PretrainedFiles, pretrained_files
from dlcli.preprocessing.ragged import NestedRagged, Ragged

# Default length of a window, limited by the model's positions, as in BERT's code for SQuAD.
_LENGTH = 384
_STRIDE = 128

# Number of questions tokenized at a time.
_AT_ONCE = 512

# Padding value of fields other than tokens.
PADDED = -1


class PretrainedQuestions(BaseEstimator):
    """Conversion of questions with contexts to windows of tokens, each with the question and a part of the context.

    The fields are `x` `(N, W, T)`, tokens; `segments` `(N, W, T)`, the token types, -1 for padding; and `offsets`
    `(N, W, T, 2)`: positions in the context of the first character of each token and after its last, -1 for other
    tokens. A context that does not fit into one window is divided into several overlapping ones.

    Args:
        name: name of the model on the hub, or a folder.
        max_length: maximum number of tokens of a window, including the question and special tokens. None: 384, or the
            number of positions of the model if that is smaller.
        stride: number of tokens by which windows overlap, so that answers are not cut. None: 128, or a third of the
            space next to the longest question.
        max_question: maximum number of tokens of a question; longer ones are truncated.
    """

    accepts: ClassVar = frozenset({"questions"})
    only_told: ClassVar = frozenset({"rows_seen_", "measured_"})
    measured_: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        name: Annotated[str, MinLen(1)],
        max_length: Annotated[int, Ge(16)] | None = None,
        stride: Annotated[int, Ge(0)] | None = None,
        max_question: Annotated[int, Ge(4)] = 64,
    ) -> None:
        self.name = name
        self.max_length = max_length
        self.stride = stride
        self.max_question = max_question

    def fit(self, x: Any) -> Self:
        """Load the tokenizer, and choose the length of windows.

        Raises:
            ConfigError: the tokenizer is not available, or windows have no space for a context.
        """
        files: PretrainedFiles = pretrained_files(self.name, self.max_length)
        self.tokenizer_ = files.tokenizer
        self.unknown_ = files.unknown
        self.backbone_config_ = files.config
        self.length_ = self.max_length or min(files.positions or _LENGTH, _LENGTH)
        special = self._tokenizer().num_special_tokens_to_add(is_pair=True)
        self.question_ = min(self.max_question, max(4, (self.length_ - special) // 2))
        room = self.length_ - special - self.question_
        self.stride_ = min(_STRIDE, room // 3) if self.stride is None else self.stride
        if self.stride_ >= room:
            raise ConfigError(
                f"windows of {self.length_} tokens have space for {room} of a context next to a question of "
                f"{self.question_}, but overlap by {self.stride_}",
                "preprocessing.stride",
                f"Use a smaller overlap, such as {pasted('preprocessing.stride', max(room // 3, 0))}, or a larger "
                "preprocessing.max_length.",
            )
        self.measured_ = self.transform_and_count(x)[1]
        self.rows_seen_ = len(Questions.of(x))
        return self

    def transform(self, x: Any) -> dict[str, Any]:
        """Return the fields of questions; `Questions.of` converts the input."""
        return self.transform_and_count(x)[0]

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts of windows and of cut questions."""
        rows = Questions.of(x)
        counts: list[int] = []
        tokens, segments, offsets = [], [], []
        cut = 0
        for windows, was_cut in self._windows(rows):
            cut += was_cut
            counts.append(len(windows))
            for window in windows:
                inside = np.array([place == 1 for place in window.sequence_ids])
                tokens.append(np.array(window.ids, np.int64))
                segments.append(np.array(window.type_ids, np.int64))
                offsets.append(
                    np.where(inside[:, None], np.array(window.offsets, np.int64).reshape(-1, 2), PADDED)
                )
        numbers = torch.tensor(counts, dtype=torch.int64)
        lengths = torch.tensor([len(window) for window in tokens], dtype=torch.int64)

        def field(values: list[np.ndarray], padding: int) -> NestedRagged:
            flat = torch.from_numpy(np.concatenate(values)) if values else torch.empty(0, dtype=torch.int64)
            return NestedRagged(Ragged(flat, lengths, padding), numbers)

        if not offsets:
            offsets = [np.empty((0, 2), np.int64)]
        fields = {
            "x": field(tokens, 0),
            "segments": field(segments, PADDED),
            "offsets": field(offsets, PADDED),
        }
        known = sum(int((window != self.unknown_).sum()) for window in tokens)
        return fields, {
            "questions": len(rows),
            "windows": sum(counts),
            "split_contexts": sum(count > 1 for count in counts),
            "cut_questions": cut,
            "tokens": int(lengths.sum()),
            "unknown_tokens": int(lengths.sum()) - known,
        }

    def notices(self) -> list[Notice]:
        """Return notices of divided training contexts and truncated questions."""
        return self._told(self.measured_, "training ") if self.measured_ else []

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return notices of divided new contexts and truncated questions."""
        return self._told(counts, "")

    def facts(self) -> dict[str, Any]:
        """Return `vocab_size`, and `backbone_config`, the model's config.json as text."""
        return {
            "vocab_size": self._tokenizer().get_vocab_size(),
            "backbone_config": self.backbone_config_,
        }

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    def _told(self, counts: Mapping[str, int], which: str) -> list[Notice]:
        notices = []
        if split := counts.get("split_contexts", 0):
            text = (
                f"the contexts of {split:,} of {counts['questions']:,} {which}questions are longer than a "
                f"window of {self.length_:,} tokens, and are read in several windows that overlap by "
                f"{self.stride_} tokens"
            )
            notices.append(Notice("split_contexts", split, text, "preprocessing.max_length", warns=False))
        if cut := counts.get("cut_questions", 0):
            text = f"{cut:,} {which}questions are longer than {self.question_} tokens, and are cut there"
            notices.append(Notice("cut_questions", cut, text, "preprocessing.max_question"))
        return notices

    def _windows(self, rows: Questions) -> Iterator[tuple[list[Encoding], bool]]:
        """Yield the windows of each question, and whether it was cut."""
        whole, windowed = self._tokenizer(), self._tokenizer()
        windowed.enable_truncation(self.length_, stride=self.stride_, strategy="only_second")
        pairs = list(rows)
        for first in range(0, len(pairs), _AT_ONCE):
            some = pairs[first : first + _AT_ONCE]
            lengths = whole.encode_batch([question for question, _ in some], add_special_tokens=False)
            asked, was_cut = [], []
            for (question, _), encoding in zip(some, lengths, strict=True):
                too_long = len(encoding) > self.question_
                end = encoding.offsets[self.question_ - 1][1] if too_long else len(question)
                asked.append(question[:end])
                was_cut.append(too_long)
            batch = [(question, context) for question, (_, context) in zip(asked, some, strict=True)]
            for encoding, is_cut in zip(windowed.encode_batch(batch), was_cut, strict=True):
                yield [encoding, *encoding.overflowing], is_cut

    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(self.tokenizer_)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer
