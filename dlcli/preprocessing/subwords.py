"""Byte-pair encoding: words as sequences of frequent subwords, for models that generate text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from dlcli.datasets.text_rows import portions_of

# Special tokens in order of their indices: padding, start and end of a text.
SPECIAL = ("<pad>", "<s>", "</s>")
PADDING, START, END = range(3)

# Minimum number of tokens: the special ones and one for each byte.
SMALLEST = len(SPECIAL) + 256

# Number of characters encoded at a time: an encoding takes more than a hundred times the memory of its text.
_CHARACTERS = 1 << 20


class Subwords:
    """Byte-level byte-pair encoding (Sennrich et al., 2016; Radford et al., 2019).

    Texts are not changed before they are split, and every byte has a token: there are no unknown tokens, and `decode`
    returns exactly the text that was encoded. `<pad>` and the like in a text are ordinary characters; `encode` adds no
    special tokens.

    Args:
        document: the fitted encoding as JSON, as `json` returns it.
    """

    def __init__(self, document: str) -> None:
        self._tokenizer = Tokenizer.from_str(document)
        # This setting is not saved with the tokenizer.
        self._tokenizer.encode_special_tokens = True

    @classmethod
    def fit(cls, texts: Iterable[str], size: int, min_frequency: int = 2) -> Subwords:
        """Return an encoding fitted on texts (training rows only).

        Args:
            texts: the texts.
            size: maximum number of tokens, including the special ones and the 256 bytes; few texts give fewer.
            min_frequency: minimum number of occurrences of two tokens that are merged.

        Raises:
            ValueError: `size` is less than `SMALLEST`.
        """
        if size < SMALLEST:
            raise ValueError(f"the encoding needs at least {SMALLEST} tokens, not {size}")
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=min_frequency,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer.to_str())

    def json(self) -> str:
        """Return the encoding as JSON, the argument of `Subwords`."""
        return self._tokenizer.to_str()

    def __len__(self) -> int:
        """Return the number of tokens."""
        return self._tokenizer.get_vocab_size()

    def vocabulary(self) -> list[str]:
        """Return the tokens in order of their indices, in the library's notation of bytes: `Ġ` is a blank."""
        codes = self._tokenizer.get_vocab()
        return sorted(codes, key=codes.__getitem__)

    def special(self) -> list[int]:
        """Return the special tokens, which represent no text."""
        return sorted(self._tokenizer.get_added_tokens_decoder())

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Return the text of each token, for tables and pictures; a part of a character becomes U+FFFD."""
        return self._tokenizer.decode_batch([[int(token)] for token in tokens], skip_special_tokens=False)

    def characters(self) -> np.ndarray:
        """Return the number of characters that begin in each token, int64 `(V,)`; special tokens have none."""
        # The library represents printable bytes by themselves, and others by characters from U+0100 on.
        printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = sorted(set(range(256)) - set(printable))
        byte_of = {chr(byte): byte for byte in printable} | {
            chr(256 + n): byte for n, byte in enumerate(others)
        }
        special = set(self.special())
        return np.array(
            [
                # Bytes 0b10...... continue a character.
                0 if code in special else sum(byte_of[letter] & 0xC0 != 0x80 for letter in token)
                for code, token in enumerate(self.vocabulary())
            ],
            np.int64,
        )

    def encode(self, texts: Iterable[str]) -> list[np.ndarray]:
        """Return the tokens of each text, int64 `(L,)`; an empty text has none."""
        return [
            np.array(found.ids, np.int64)
            for portion in portions_of(texts, _CHARACTERS)
            for found in self._tokenizer.encode_batch_fast(portion)
        ]

    def decode(self, rows: Iterable[Sequence[int] | np.ndarray]) -> list[str]:
        """Return the text of each row of tokens; special tokens are left out.

        Invalid UTF-8, which a model may generate, becomes U+FFFD.
        """
        return self._tokenizer.decode_batch([np.asarray(row, np.int64).tolist() for row in rows])
