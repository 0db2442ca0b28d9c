"""Preprocessing of pairs of texts for a pretrained encoder-decoder model, with the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, MinLen

from dlcli.datasets.notices import Notice
from dlcli.datasets.text_rows import Texts
from dlcli.errors import ConfigError
from dlcli.preprocessing.model_tokens import ModelTokens, model_tokens
from dlcli.preprocessing.pairs import PairSubwords
from dlcli.preprocessing.pretrained_tokenizer import pretrained_files
from dlcli.preprocessing.ragged import Ragged


class PretrainedPairs(PairSubwords):
    """Conversion of sources and targets as by `PairSubwords`, to tokens of the tokenizer of a pretrained model.

    No encoding is fitted on the rows. Tokenizer and config.json are saved with the run, which then needs neither the
    hub nor the folder.

    Args:
        name: name of the model on the hub, or a folder.
        max_length: maximum number of tokens of a text; longer sources, training targets and predictions are truncated.
        prefix: text before each source, such as the instruction with which a T5 was trained.
    """

    changed_: tuple[int, str, str] = (0, "", "")

    def __init__(
        self, name: Annotated[str, MinLen(1)], max_length: Annotated[int, Ge(2)] = 128, prefix: str = ""
    ) -> None:
        self.name = name
        self.max_length = max_length
        self.prefix = prefix

    def fit_encodings(self, sources: Texts, targets: Texts) -> None:
        """Load the tokenizer, and count the targets that it cannot represent.

        Raises:
            ConfigError: the tokenizer is not available, or marks the language of texts.
        """
        files = pretrained_files(self.name, self.max_length)
        if files.marks_language:
            raise ConfigError(
                f"the tokenizer of {self.name} marks the languages of source and target by tokens, which dlcli does "
                "not set",
                "model.name",
                "Choose a model for one pair of languages, or one with instructions such as T5 (preprocessing.prefix).",
            )
        self.tokenizer_, self.backbone_config_ = files.tokenizer, files.config
        read = self.target_subwords.decode(self.target_subwords.encode(targets))
        other = [(text, found) for text, found in zip(targets, read, strict=True) if text != found]
        self.changed_ = (len(other), *other[0]) if other else (0, "", "")

    @property
    def source_subwords(self) -> ModelTokens:
        """The encoding of sources."""
        return model_tokens(self.tokenizer_, self.backbone_config_, self.prefix)

    @property
    def target_subwords(self) -> ModelTokens:
        """The encoding of targets."""
        return model_tokens(self.tokenizer_, self.backbone_config_)

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields and counts of `PairSubwords`, and the number of unknown tokens."""
        fields, counts = super().transform_and_count(x)
        unknown = self.source_subwords.unknown(fields["x"].values.numpy())
        return fields, counts | {"tokens": int(fields["lengths"].sum()), "unknown_tokens": unknown}

    def changed(self, texts: Any, tokens: Ragged) -> dict[bytes, str]:
        """Return the texts that differ from their decoded tokens, by the tokens: the tokenizer changes them."""
        rows = [row.numpy() for row in tokens]
        read = self.target_subwords.decode(rows)
        given = zip(rows, texts, read, strict=True)
        return {row.tobytes(): text for row, text, found in given if text != found}

    def numbering(self) -> dict[str, Any]:
        """Return the number of each token in the tokenizer, and the text before sources."""
        return {"numbers": self.target_subwords.numbers(), "prefix": self.prefix}

    def facts(self) -> dict[str, Any]:
        """Return the number of tokens, and `backbone_config`, the model's config.json as text."""
        size = len(self.target_subwords)
        return {
            "vocab_size": size,
            "num_outputs": size,
            "shares_vocabulary": True,
            "backbone_config": self.backbone_config_,
        }

    def notices(self) -> list[Notice]:
        """Return the notices of `PairSubwords`, and one of targets that the tokenizer changes."""
        number, text, read = self.changed_
        if not number:
            return super().notices()
        changed = (
            f"the tokenizer changes {number:,} of {self.rows_seen_:,} training targets ({text!r} to {read!r})"
        )
        return [*super().notices(), Notice("changed_targets", number, changed, "model.name")]

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return the notices of `PairSubwords`, and one of unknown tokens."""
        notices, unknown = super().notices_of_new(counts), counts.get("unknown_tokens", 0)
        if unknown:
            text = f"{unknown:,} of {counts['tokens']:,} tokens of the texts are unknown to the model"
            notices.append(Notice("unknown_tokens", unknown, text))
        return notices
