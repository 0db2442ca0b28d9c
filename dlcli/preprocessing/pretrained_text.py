"""Preprocessing of texts with the tokenizer of a pretrained transformers model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self

from annotated_types import Ge, Gt, Le, MinLen
from sklearn.base import BaseEstimator
from tokenizers import Tokenizer

from dlcli.datasets.notices import Notice
from dlcli.datasets.text_rows import Texts
from dlcli.preprocessing.pretrained_tokenizer import pretrained_files
from dlcli.preprocessing.token_places import TokenPlaces, places_of
from dlcli.preprocessing.tokens import encoded, length_that_keeps, told_of_new, told_of_training, usual_length

# Maximum length of texts that is chosen automatically: features of longer texts take long, and some models reserve two
# positions.
_LONGEST = 512


class PretrainedText(BaseEstimator):
    """Conversion of texts to tokens `x` `(N, T)` of the model's tokenizer, padded per batch, with `lengths` `(N,)`.

    Only the length of texts is fitted on the rows. The tokenizer and the model's config.json are saved with the run,
    which then needs neither the hub nor the folder.

    Args:
        name: name of the model on the hub, or a folder.
        max_length: maximum number of tokens of a text, including the model's special tokens; longer texts are
            truncated. None chooses a length that keeps 95 % of the tokens of the training rows, at most 512 and at most
            the number of positions of the model.
        usual_texts: share of the training texts whose length bounds the chosen one; 1 is no bound.
    """

    # Fitted attributes for reports only; the fields do not depend on them.
    only_told: ClassVar = frozenset({"rows_seen_", "measured_", "longest_"})

    # Runs of earlier versions have no chosen length and no counts.
    length_: int | None = None
    longest_: int = 0
    measured_: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        name: Annotated[str, MinLen(1)],
        max_length: Annotated[int, Ge(2)] | None = None,
        usual_texts: Annotated[float, Gt(0), Le(1)] = 1.0,
    ) -> None:
        self.name = name
        self.max_length = max_length
        self.usual_texts = usual_texts

    def fit(self, x: Any) -> Self:
        """Load the tokenizer, and choose the length of texts.

        Raises:
            ConfigError: the tokenizer is not available, or is not one that dlcli can save.
        """
        files = pretrained_files(self.name, self.max_length)
        texts = Texts.of(x)
        self.column_ = texts.name
        self.tokenizer_ = files.tokenizer
        self.unknown_ = files.unknown
        self.backbone_config_ = files.config
        self.rows_seen_ = len(texts)
        whole = encoded(texts, self._tokenizer(whole=True), self.unknown_).full
        self.longest_ = int(whole.max(initial=0))
        most = min(files.positions or _LONGEST, _LONGEST)
        self.length_ = self.max_length or min(
            length_that_keeps(whole, most), usual_length(whole, self.usual_texts)
        )
        self.measured_ = self.transform_and_count(texts)[1]
        return self

    def transform(self, x: Any) -> dict[str, Any]:
        """Return `x`, a `Ragged` of tokens, and `lengths` `(N,)`, int64; `Texts.of` converts the input."""
        return self.transform_and_count(x)[0]

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts of cut and unknown tokens."""
        tokens = encoded(Texts.of(x, self.column_), self._tokenizer(), self.unknown_)
        return tokens.fields(), tokens.measured(self.unknown_)

    def notices(self) -> list[Notice]:
        """Return notices of the length of training texts and of truncation."""
        return told_of_training(self.measured_, self.length_, self.longest_) if self.measured_ else []

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return notices of truncated texts and unknown tokens in new rows."""
        return told_of_new(counts, self.measured_, self.length_) if self.measured_ else []

    def facts(self) -> dict[str, Any]:
        """Return `vocab_size`, and `backbone_config`, the model's config.json as text."""
        return {
            "vocab_size": self._tokenizer().get_vocab_size(),
            "backbone_config": self.backbone_config_,
        }

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    def token_places(self, text: str) -> TokenPlaces:
        """Return the tokens of a text that the model reads, with their positions."""
        return places_of(self._tokenizer(), text, None)

    def _tokenizer(self, *, whole: bool = False) -> Any:
        tokenizer = Tokenizer.from_str(self.tokenizer_)
        tokenizer.no_padding()
        length = self.length_ or self.max_length
        if whole or length is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(length)
        return tokenizer
