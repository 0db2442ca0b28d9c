"""`ModelTokens`: the tokens of a pretrained encoder-decoder model, in the order that decoding expects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from tokenizers import Tokenizer

from dlcli.datasets.text_rows import portions_of
from dlcli.errors import ConfigError
from dlcli.preprocessing.subwords import END, START

# Number of characters encoded at a time: an encoding takes more than a hundred times the memory of its text.
_CHARACTERS = 1 << 20

# The keys of config.json with the tokens that become the first ones.
_SPECIAL = ("pad_token_id", "decoder_start_token_id", "eos_token_id")


def token_order(config: str, size: int) -> list[int]:
    """Return the model's number of each token: padding, start, end, and then all others in their order.

    In many models, the start is the token of padding (T5) or of the end (BART), which then occurs twice.

    Args:
        config: the model's config.json.
        size: number of tokens of its tokenizer.

    Raises:
        ConfigError: the configuration does not name these tokens.
    """
    settings = json.loads(config)
    special = [settings.get(key) for key in _SPECIAL]
    for key, token in zip(_SPECIAL, special, strict=True):
        if not isinstance(token, int) or not 0 <= token < size:
            raise ConfigError(
                f"the model's config.json has no {key} of its tokenizer's {size:,} tokens ({token})",
                "model.name",
                "Choose a model that generates texts from texts, such as T5 or BART.",
            )
    first = set(special)
    return [*special, *(token for token in range(size) if token not in first)]


class ModelTokens:
    """The encoding of a pretrained tokenizer with the methods of `Subwords`, and tokens in the order of `token_order`.

    Unlike `Subwords`, a tokenizer may normalize texts and lack characters, so that `decode` may return another text
    than the encoded one.

    Args:
        document: the tokenizer as JSON.
        config: the model's config.json.
        prefix: text before each encoded text, such as an instruction.
    """

    def __init__(self, document: str, config: str, prefix: str = "") -> None:
        self._tokenizer = Tokenizer.from_str(document)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True  # this setting is not saved with the tokenizer
        codes = self._tokenizer.get_vocab()
        size = max(codes.values()) + 1
        self._names = [""] * size
        for name, code in codes.items():
            self._names[code] = name
        self._order = np.array(token_order(config, size))
        self._numbers = np.zeros(size, np.int64)
        self._numbers[self._order] = np.arange(len(self._order))
        self._numbers[self._order[END]] = END  # it may be the start too
        described = json.loads(document)["model"]  # by the name of the token, or by its number
        self._unknown = codes.get(described.get("unk_token"), described.get("unk_id"))
        self._prefix = prefix

    def json(self) -> str:
        """Return the tokenizer, which neither pads nor truncates, as JSON."""
        return str(self._tokenizer.to_str())

    def numbers(self) -> list[int]:
        """Return the number of each token in the tokenizer."""
        return self._order.tolist()

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self._order)

    def vocabulary(self) -> list[str]:
        """Return the tokens in order of their indices."""
        return [self._names[code] for code in self._order]

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Return the text of each token, for tables and pictures."""
        return [self._names[self._order[token]] for token in tokens]

    def encode(self, texts: Iterable[str]) -> list[np.ndarray]:
        """Return the tokens of each text without an end, int64 `(L,)`; an empty text has none."""
        rows = []
        given = (f"{self._prefix}{text}" if text else "" for text in texts)
        for portion in portions_of(given, _CHARACTERS):
            for text, found in zip(portion, self._tokenizer.encode_batch_fast(portion), strict=True):
                row = self._numbers[found.ids] if text else np.empty(0, np.int64)
                rows.append(row[:-1] if len(row) and row[-1] == END else row)
        return rows

    def decode(self, rows: Iterable[Sequence[int] | np.ndarray]) -> list[str]:
        """Return the text of each row of tokens; special tokens are left out."""
        found: list[list[int]] = []
        for row in rows:
            tokens = np.asarray(row, np.int64)
            found.append(self._order[tokens[tokens > START]].tolist())
        return self._tokenizer.decode_batch(found)

    def unknown(self, row: np.ndarray) -> int:
        """Return the number of unknown tokens of an encoded text."""
        return 0 if self._unknown is None else int((self._order[row] == self._unknown).sum())


@lru_cache(maxsize=4)
def model_tokens(document: str, config: str, prefix: str = "") -> ModelTokens:
    """Return the encoding; the last ones are cached, because creating one is slow."""
    return ModelTokens(document, config, prefix)
