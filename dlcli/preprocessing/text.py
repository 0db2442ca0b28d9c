"""Preprocessing of texts: tokenization with a vocabulary fitted on the training rows."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge
from sklearn.base import BaseEstimator
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from dlcli.datasets.texts import Texts
from dlcli.preprocessing.tokens import encoded

PADDING, UNKNOWN = "<pad>", "<unk>"


class Text(BaseEstimator):
    """Converts texts to tokens `x` `(N, T)`, padded per batch, with `lengths` `(N,)`.

    Token 0 is padding, token 1 stands for tokens unseen in training; a text without any token becomes one unknown
    token.

    Args:
        tokens: `words` (and punctuation marks), `characters`, or `bpe`: byte-level byte-pair encoding (Sennrich et al.,
            2016), which has no unknown tokens.
        vocab_size: maximum number of tokens; the most frequent ones are kept.
        min_frequency: minimum number of occurrences of a token in the training rows.
        max_length: maximum number of tokens of a text; longer texts are truncated.
        lowercase: convert texts to lower case.
    """

    # Must be declared, because numbers of other data would be treated as words.
    accepts: ClassVar = frozenset({"tokens"})

    def __init__(
        self,
        tokens: Literal["words", "characters", "bpe"] = "words",
        vocab_size: Annotated[int, Ge(3)] = 20_000,
        min_frequency: Annotated[int, Ge(1)] = 2,
        max_length: Annotated[int, Ge(1)] = 256,
        lowercase: bool = True,
    ) -> None:
        self.tokens = tokens
        self.vocab_size = vocab_size
        self.min_frequency = min_frequency
        self.max_length = max_length
        self.lowercase = lowercase

    def fit(self, x: Any) -> Self:
        """Build the vocabulary from the training rows."""
        texts = Texts.of(x)
        tokenizer, trainer = self._untrained()
        tokenizer.train_from_iterator(texts.batches(), trainer, length=len(texts))
        tokenizer.enable_truncation(self.max_length)
        self.column_ = texts.name
        self.tokenizer_ = tokenizer.to_str()
        self.rows_seen_ = len(texts)
        return self

    def transform(self, x: Any) -> dict[str, Any]:
        """Return `x`, a `Ragged` of tokens, and `lengths` `(N,)`, int64; `Texts.of` converts the input."""
        return encoded(Texts.of(x, self.column_), self._tokenizer(), 1)

    def facts(self) -> dict[str, Any]:
        """Return `vocab_size`, the number of tokens, including padding and the unknown token."""
        return {"vocab_size": self._tokenizer().get_vocab_size()}

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    def vocabulary(self) -> list[str]:
        """Return the tokens in the order of their numbers."""
        codes = self._tokenizer().get_vocab()
        return sorted(codes, key=codes.__getitem__)

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
