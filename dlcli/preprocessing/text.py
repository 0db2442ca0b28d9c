"""Texts: cut into tokens, of a vocabulary that the training rows have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge
from sklearn.base import BaseEstimator

from dlcli.datasets.texts import Texts
from dlcli.preprocessing.tokens import encoded

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PADDING, UNKNOWN = "<pad>", "<unk>"


class Text(BaseEstimator):
    """Texts to tokens `x` `(N, T)`, padded batch by batch, and their `lengths` `(N,)`.

    Token 0 is padding, token 1 whatever the training rows did not have; a text without any token is one unknown token.

    Args:
        tokens: `words` (and signs, each by itself), `characters`, or `bpe`: parts of words, the more frequent the
            longer, down to bytes (Sennrich et al., 2016), for which nothing is unknown.
        vocab_size: at most so many tokens, the most frequent ones.
        min_frequency: a token occurs so often in the training rows at least.
        max_length: tokens of a text; what comes behind is cut off.
        lowercase: make no difference between Free and free.
    """

    # Said, since it would take the numbers of any other data for words.
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
        """Count the training rows' tokens."""
        texts = Texts.of(x)
        tokenizer, trainer = self._untrained()
        tokenizer.train_from_iterator(texts.batches(), trainer, length=len(texts))
        tokenizer.enable_truncation(self.max_length)
        self.column_ = texts.name
        self.tokenizer_ = tokenizer.to_str()
        self.rows_seen_ = len(texts)
        return self

    def transform(self, x: Any) -> dict[str, Any]:
        """`x`, a `Ragged` of tokens, and `lengths` `(N,)`, int64; of texts in any form that `Texts.of` takes."""
        return encoded(Texts.of(x, self.column_), self._tokenizer(), 1)

    def facts(self) -> dict[str, Any]:
        """`vocab_size`: how many tokens there are, padding and the unknown one included."""
        return {"vocab_size": self._tokenizer().get_vocab_size()}

    def on_device(self) -> None:
        """Nothing remains to be done."""

    def vocabulary(self) -> list[str]:
        """The tokens in the order of their numbers, for a person to read."""
        codes = self._tokenizer().get_vocab()
        return sorted(codes, key=codes.__getitem__)

    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer_)
        # A text that says <pad> means these letters. Not part of what a tokenizer saves.
        tokenizer.encode_special_tokens = True
        return tokenizer

    def _untrained(self) -> tuple[Tokenizer, Any]:
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

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
            # Digit by digit: a number as a whole is hardly ever seen twice.
            digits = pre_tokenizers.Digits(individual_digits=True)
            words = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), digits])
            tokenizer.pre_tokenizer = words if self.tokens == "words" else single
            trainer = trainers.WordLevelTrainer(**arguments)
        case = [normalizers.Lowercase()] if self.lowercase else []
        # One form for each letter, however it was typed.
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), *case])
        return tokenizer, trainer
