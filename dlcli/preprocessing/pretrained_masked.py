"""Preprocessing of text for a pretrained masked language model, with the model's own tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from annotated_types import Gt, Le, MinLen
from sklearn.base import BaseEstimator
from tokenizers import Tokenizer

from dlcli.datasets.notices import Notice
from dlcli.datasets.passages import Passages
from dlcli.datasets.text_rows import portions_of
from dlcli.errors import ConfigError, InputError
from dlcli.preprocessing.masked_tokens import Masking
from dlcli.preprocessing.pretrained_tokenizer import pretrained_files

# Number of characters encoded at a time: an encoding takes more than a hundred times the memory of its text.
_CHARACTERS = 1 << 20


class PretrainedMasked(BaseEstimator):
    """Conversion of rows of `Passages` to tokens of a pretrained model's tokenizer, some of which are masked.

    The fields are `x` `(N, T)` with special and mask tokens, `lengths` `(N,)`, and `places` and `masked_tokens`
    `(N, M)`, the positions of the masked tokens and their true values, -1 for padding. Of a row's tokens, `share` are
    masked: 80 % become the mask token, 10 % a random token, and 10 % stay as they are (Devlin et al., 2019). They are
    drawn anew in each epoch of training; elsewhere, they follow from the row's tokens.

    A word that the end of a block divides belongs to the block in which it begins. Tokenizer and config.json are saved
    with the run, which then needs neither the hub nor the folder.

    Args:
        name: name of the model on the hub, or a folder.
        share: share of the tokens that are masked.
    """

    accepts: ClassVar = frozenset({"tokens"})
    only_told: ClassVar = frozenset({"rows_seen_", "measured_"})
    measured_: Mapping[str, int] = MappingProxyType({})

    # Number of occurrences of each token in the training rows `(V,)`, without special ones.
    token_counts_: np.ndarray
    # Maximum number of tokens of a row that the model reads.
    length_: int | None
    # Number of tokens of the longest training row.
    context_: int
    # Whether rows are separate texts.
    are_documents_: bool

    def __init__(
        self, name: Annotated[str, MinLen(1)], share: Annotated[float, Gt(0), Le(0.5)] = 0.15
    ) -> None:
        self.name = name
        self.share = share

    def fit(self, x: Any) -> Self:
        """Load the tokenizer, and count the tokens.

        Raises:
            ConfigError: the tokenizer is not available, or has no mask token.
        """
        files = pretrained_files(self.name, None)
        if files.mask is None:
            raise ConfigError(
                f"the tokenizer of {self.name} has no mask token",
                "model.name",
                "Choose a masked language model, such as BERT.",
            )
        rows = Passages.of(x)
        self.are_documents_ = rows.are_documents
        self.rows_seen_ = len(rows)
        self.tokenizer_ = files.tokenizer
        self.mask_ = files.mask
        self.backbone_config_ = files.config
        self.length_ = files.positions
        masking, self.measured_ = self._masking(rows)
        ordinary = masking.tokens[masking.ordinary]
        self.token_counts_ = np.bincount(ordinary, minlength=self._size())
        self.context_ = int(masking.lengths.max(initial=1))
        return self

    def transform(self, x: Any) -> dict[str, Any]:
        """Return the fields of rows of `Passages`, or of texts."""
        return self.transform_and_count(x)[0]

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts of rows that are cut or have nothing to mask."""
        masking, counts = self._masking(Passages.of(x, are_documents=self.are_documents_))
        return {**masking.fields(), "lengths": torch.from_numpy(masking.lengths)}, counts

    def notices(self) -> list[Notice]:
        """Return notices of training rows that are cut or have nothing to mask."""
        return self._told(self.measured_, "training rows") if self.measured_ else []

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return the same notices of other rows."""
        return self._told(counts, "rows")

    def facts(self) -> dict[str, Any]:
        """Return `vocab_size`, `context`, and `backbone_config`, the model's config.json as text."""
        return {
            "vocab_size": self._size(),
            "context": self.context_,
            "backbone_config": self.backbone_config_,
        }

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    @property
    def mask_token(self) -> str:
        """The text of the mask token."""
        return self.name_of(self.mask_)

    def of_prompt(self, text: str) -> list[int]:
        """Return the tokens of a text in which mask tokens stand for masked words.

        Raises:
            InputError: it has no mask token, or more tokens than the model has positions.
        """
        found: list[int] = self._tokenizer(special=True).encode(text).ids
        if self.mask_ not in found:
            hint = f"Write {self.mask_token} in place of a word."
            raise InputError("has no masked word", "--prompt", hint)
        if self.length_ is not None and len(found) > self.length_:
            text = f"has {len(found):,} tokens, but the model reads at most {self.length_:,}"
            raise InputError(text, "--prompt", "Use a shorter text.")
        return found

    def decode(self, tokens: list[int]) -> str:
        """Return the text of tokens without special ones."""
        return str(self._tokenizer(special=True).decode(tokens))

    def name_of(self, token: int) -> str:
        """Return the name of a token in the vocabulary."""
        return str(self._tokenizer(special=True).id_to_token(token))

    def _masking(self, rows: Passages) -> tuple[Masking, dict[str, int]]:
        tokenizer = self._tokenizer(special=False)
        added = [one["id"] for one in json.loads(self.tokenizer_)["added_tokens"] if one["special"]]
        special = np.union1d(added, tokenizer.encode("").ids).astype(np.int64)
        ids: list[list[int]] = []
        for portion in portions_of(rows.whole_words().texts(), _CHARACTERS):
            ids += [found.ids for found in tokenizer.encode_batch_fast(portion)]
        cut = 0
        if self.length_ is not None:
            long = [row for row, found in enumerate(ids) if len(found) > self.length_]
            cut = sum(len(ids[row]) - self.length_ for row in long)
            for row in long:  # the last token, which ends a text, stays
                ids[row] = [*ids[row][: self.length_ - 1], ids[row][-1]]
        # A text without any token is read as a mask token, which is no target.
        ids = [found or [self.mask_] for found in ids]
        tokens = np.concatenate([np.array(found, np.int64) for found in ids] or [np.empty(0, np.int64)])
        lengths = np.array([len(found) for found in ids], np.int64)
        ordinary = ~np.isin(tokens, special)
        others = np.setdiff1d(np.arange(self._size()), special)
        masking = Masking(tokens, lengths, ordinary, self.share, self.mask_, others)
        known = np.bincount(np.repeat(np.arange(len(ids)), lengths)[ordinary], minlength=len(ids))
        return masking, {"tokens": len(tokens), "cut_tokens": cut, "bare_rows": int((known == 0).sum())}

    def _told(self, counts: Mapping[str, int], rows: str) -> list[Notice]:
        found = []
        if cut := counts.get("cut_tokens", 0):
            text = f"{cut:,} tokens at the ends of {rows} are not read: the model reads {self.length_:,} of a row"
            found.append(Notice("cut_tokens", cut, text, "dataset.block", "Use smaller blocks."))
        if bare := counts.get("bare_rows", 0):
            text = f"{bare:,} {rows} have no token that can be masked, and no loss"
            found.append(Notice("bare_rows", bare, text, warns=False))
        return found

    def _size(self) -> int:
        return int(self._tokenizer(special=True).get_vocab_size())

    def _tokenizer(self, *, special: bool) -> Any:
        """Return the tokenizer; without `special`, the names of special tokens are ordinary text, as in files."""
        tokenizer = Tokenizer.from_str(self.tokenizer_)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = not special
        return tokenizer
