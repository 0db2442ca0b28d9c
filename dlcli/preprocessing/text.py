"""Preprocessing of texts: tokenization with a vocabulary fitted on the training rows."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from annotated_types import Ge, Gt, Le
from sklearn.base import BaseEstimator
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from dlcli.datasets.notices import Notice
from dlcli.datasets.text_rows import Texts
from dlcli.models.row_reading import LONGEST_TEXT, ReadsText
from dlcli.preprocessing.token_places import TokenPlaces, places_of
from dlcli.preprocessing.tokens import encoded, length_that_keeps, told_of_new, told_of_training, usual_length

PADDING, UNKNOWN = "<pad>", "<unk>"
_UNKNOWN = 1  # index of the unknown token

# Models that read whole texts read them up to this many times the length of usual ones.
_TIMES_OF_WHOLE = 2

# The usual value of `usual_texts`; the default of the class is that of runs of earlier versions.
_USUAL_TEXTS = 0.99

# Settings that are determined by the model.
_OF_MODEL = frozenset({"reads_text", "longest_text"})


class Text(BaseEstimator):
    """Conversion of texts to tokens `x` `(N, T)`, padded per batch, with `lengths` `(N,)`.

    Token 0 is padding, and token 1 replaces tokens unseen in training; a text without tokens becomes one unknown token.
    For models of bags of tokens, `x` are the distinct tokens of a text, and `counts` `(N, T)` their numbers of
    occurrences.

    Args:
        tokens: `words` (and punctuation marks), `characters`, or `bpe`: byte-level byte-pair encoding (Sennrich et al.,
            2016), which has no unknown tokens.
        vocab_size: maximum number of tokens; the most frequent ones are kept.
        min_frequency: minimum number of occurrences of a token in the training rows.
        max_length: maximum number of tokens of a text; longer texts are truncated. None does not truncate bags. For
            other models it chooses a length that keeps 95 % of the tokens of the training rows, at most that of usual
            texts; for models that read whole texts, twice the latter. No text of up to 256 tokens is truncated.
        lowercase: convert texts to lower case.
        reads_text: input form of the model: `bag`, `whole`, or the `start` up to a chosen length.
        longest_text: maximum number of tokens that the model accepts; None for bags.
        usual_texts: share of the training texts that do not exceed the length of usual texts; 1 is no bound.
    """

    # Must be declared, because numbers of other data would be treated as words.
    accepts: ClassVar = frozenset({"tokens"})

    # Runs of earlier versions lack these; their tokenizer truncates without counts.
    reads_text: ReadsText = "start"
    longest_text: int | None = LONGEST_TEXT
    length_: int | None = None
    longest_: int = 0
    measured_: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        tokens: Literal["words", "characters", "bpe"] = "words",
        vocab_size: Annotated[int, Ge(3)] = 20_000,
        min_frequency: Annotated[int, Ge(1)] = 2,
        max_length: Annotated[int, Ge(1)] | None = None,
        lowercase: bool = True,
        reads_text: ReadsText = "start",
        longest_text: int | None = LONGEST_TEXT,
        usual_texts: Annotated[float, Gt(0), Le(1)] = 1.0,
    ) -> None:
        self.tokens = tokens
        self.vocab_size = vocab_size
        self.min_frequency = min_frequency
        self.max_length = max_length
        self.lowercase = lowercase
        self.reads_text = reads_text
        self.longest_text = longest_text
        self.usual_texts = usual_texts

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:  # noqa: N803 scikit-learn's name
        """Return the settings that are not usual, without those that are determined by the model."""
        own = {name: value for name, value in self.get_params(deep=False).items() if name not in _OF_MODEL}
        if own["usual_texts"] == _USUAL_TEXTS:
            del own["usual_texts"]
        return BaseEstimator.__repr__(Text(**own), N_CHAR_MAX)

    def fit(self, x: Any) -> Self:
        """Build the vocabulary from the training rows, and choose the length of texts."""
        texts = Texts.of(x)
        tokenizer, trainer = self._untrained()
        tokenizer.train_from_iterator(texts.batches(), trainer, length=len(texts))
        self.column_ = texts.name
        self.tokenizer_ = tokenizer.to_str()
        self.rows_seen_ = len(texts)
        whole = encoded(texts, self._tokenizer(), _UNKNOWN)
        self.longest_ = int(whole.full.max(initial=0))
        self.length_ = self._length(whole.full)
        self.measured_ = whole.cut(self.length_).measured(_UNKNOWN)
        return self

    def transform(self, x: Any) -> dict[str, Any]:
        """Return `x`, a `Ragged` of tokens, and `lengths` `(N,)`, int64; `Texts.of` converts the input."""
        return self.transform_and_count(x)[0]

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts of cut and unknown tokens."""
        tokens = encoded(Texts.of(x, self.column_), self._tokenizer(), _UNKNOWN, self.length_)
        fields = tokens.bags() if self.reads_text == "bag" else tokens.fields()
        return fields, tokens.measured(_UNKNOWN)

    def notices(self) -> list[Notice]:
        """Return notices of the length of training texts and of truncation."""
        return told_of_training(self.measured_, self.length_, self.longest_) if self.measured_ else []

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return notices of truncated texts and unknown tokens in new rows."""
        return told_of_new(counts, self.measured_, self.length_) if self.measured_ else []

    def _length(self, full: np.ndarray) -> int | None:
        """Return the number of tokens at which texts are cut, given the lengths of the training texts."""
        if self.max_length is not None:
            return self.max_length
        if self.reads_text == "bag":
            return None
        if self.reads_text == "start":
            return min(
                length_that_keeps(full, self.longest_text or LONGEST_TEXT),
                usual_length(full, self.usual_texts),
            )
        if self.usual_texts >= 1:
            return self.longest_text
        return min(self.longest_text or sys.maxsize, usual_length(full, self.usual_texts, _TIMES_OF_WHOLE))

    def facts(self) -> dict[str, Any]:
        """Return `vocab_size`, the number of tokens, including padding and the unknown token."""
        return {"vocab_size": self._tokenizer().get_vocab_size()}

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    def vocabulary(self) -> list[str]:
        """Return the tokens in order of their indices."""
        codes = self._tokenizer().get_vocab()
        return sorted(codes, key=codes.__getitem__)

    def token_places(self, text: str) -> TokenPlaces:
        """Return the tokens of a text that the model reads, with their positions."""
        return places_of(self._tokenizer(), text, self.length_)

    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(self.tokenizer_)
        # Treat <pad> in a text as ordinary characters. The setting is not saved with the tokenizer.
        tokenizer.encode_special_tokens = True
        return tokenizer

    def _untrained(self) -> tuple[Tokenizer, Any]:
        arguments: dict[str, Any] = {
            "vocab_size": self.vocab_size,
            "min_frequency": self.min_frequency,
            "special_tokens": [PADDING, UNKNOWN],
            "show_progress": False,
        }
        if self.tokens == "bpe":
            alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
            trainer: Any = trainers.BpeTrainer(**arguments, initial_alphabet=alphabet)
        else:
            tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
            single = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
            # Split numbers into digits, because most numbers occur only once.
            digits = pre_tokenizers.Digits(individual_digits=True)
            words = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), digits])
            tokenizer.pre_tokenizer = words if self.tokens == "words" else single
            trainer = trainers.WordLevelTrainer(**arguments)
        case = [normalizers.Lowercase()] if self.lowercase else []
        # NFKC maps equivalent Unicode forms of a character to one.
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), *case])
        return tokenizer, trainer
