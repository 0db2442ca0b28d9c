"""Language modelling: prediction of the next token of a text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dlcli.datasets.passages import Passages
from dlcli.errors import ConfigError
from dlcli.preprocessing.language import Language
from dlcli.tasks.base import Task
from dlcli.tasks.cases import Cases
from dlcli.tasks.character_counts import PairCounts, bigram_losses, unigram_losses
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.token_sums import TokenSums, cases_of_passages, token_losses, with_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NATS = math.log(2)


class LanguageModel(TokenSums):
    """Language modelling with the mean cross-entropy of the next token as loss.

    A model returns logits `(N, T, V)`. Its outputs `(N, 1 + T)` are the number of characters of each row, and the loss
    of each token in nats, or -1 after the end of a row. Of each row, the sum of losses, the number of tokens and the
    number of characters are kept, `(N, 3)`.

    Args:
        characters: the characters of the training rows.
        character_counts: count of each of them.
        loss: maps outputs and y to the mean loss over the tokens.
        pair_counts: counts of pairs of characters; None if there are too many.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
        prompt: the beginning of the texts that are generated after epochs and in the end.
    """

    kind: ClassVar = "language_model"
    accepts: ClassVar = {"language_model"}
    default_metrics = ("perplexity", "bits_per_character")
    outputs_of = "next_token"
    own_fields = frozenset({"next_tokens", "characters"})
    columns = ("tokens", "characters")

    def __init__(
        self,
        characters: str,
        character_counts: Sequence[int],
        loss: nn.Module,
        pair_counts: PairCounts | None = None,
        metrics: Sequence[str | MetricChoice] = ("default",),
        prompt: str = "",
    ) -> None:
        super().__init__()
        self.characters = characters
        self.criterion = loss
        self._counts = np.asarray(character_counts, np.int64)
        self._pairs = pair_counts
        self._language: Language | None = None
        self.prompt = prompt
        self.choose(metrics)

    def attach(self, preprocessing: Any) -> None:
        """Store the fitted preprocessing.

        Raises:
            ConfigError: the prompt has characters that do not occur in the training rows, or several lines for a model
                of lines.
        """
        self._language = preprocessing
        self._context = preprocessing.context_
        if preprocessing.are_documents_ and "\n" in self.prompt:
            hint = "Give the beginning of one line."
            raise ConfigError("has a line feed, but the rows are single lines", "task.prompt", hint)
        if unknown := preprocessing.unknown_in(self.prompt):
            shown = ", ".join(map(repr, unknown))
            hint = "Use characters of the training rows, or preprocessing.tokens=bpe."
            raise ConfigError(
                f"has characters that are not in the training rows: {shown}", "task.prompt", hint
            )

    @property
    def language(self) -> Language:
        """The preprocessing that was fitted on the training rows."""
        if self._language is None:
            raise TypeError("the task has no fitted preprocessing")
        return self._language

    def outputs(self, made: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the losses `(N, 1 + T)` of the batch's targets; without targets, the logits."""
        if "next_tokens" not in batch:
            return made
        return with_number(batch["characters"], token_losses(made, batch["next_tokens"]))

    def combined(self, outputs: Tensor) -> Tensor:
        """Return the losses of the mean probabilities of K members, `(N, 1 + T)` from `(N, K, 1 + T)`."""
        losses = outputs[:, :, 1:]
        mean = math.log(losses.shape[1]) - (-losses).logsumexp(dim=1)
        return torch.cat([outputs[:, 0, :1], mean], dim=1)

    def baseline(self) -> tuple[Task, Tensor]:
        """Return the loss of a character predicted by frequency, as a row of one character."""
        shares = self._counts / self._counts.sum()
        return self, torch.tensor([-(shares * np.log(shares)).sum(), 1.0, 1.0], dtype=torch.float32)

    def baselines(self, x: Any, kept: Tensor | None = None, y: Any = None) -> dict[str, tuple[Task, Tensor]]:
        """Return the kept values for characters predicted by their frequency, and by the frequency of pairs.

        Numbers of tokens are those of the model, so that all losses are per token.
        """
        rows = Passages.of(x)
        tokens = torch.from_numpy(rows.characters).float() if kept is None else kept[:, 1]
        found = {"": unigram_losses(rows, self.characters, self._counts)}
        if self._pairs is not None:
            found["bigram"] = bigram_losses(rows, self.characters, self._counts, self._pairs)
        characters = torch.from_numpy(rows.characters).float()
        return {
            name: (self, torch.stack([torch.from_numpy(sums).float(), tokens, characters], dim=1))
            for name, sums in found.items()
        }

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return numbers of characters and tokens, loss per token, perplexity and bits per character of each row."""
        sums, tokens, characters = outputs.double().unbind(dim=1)
        loss = (sums / tokens).numpy()
        return pd.DataFrame(
            {
                "characters": characters.numpy().astype(np.int64),
                "tokens": tokens.numpy().astype(np.int64),
                "loss": loss,
                "perplexity": np.exp(loss),
                "bits_per_character": (sums / characters).numpy() / _NATS,
            }
        )

    def cases(self, outputs: Tensor, y: Any) -> Cases:
        """Return the bits per character of each row, grouped by the length of texts, or by the place in one text."""
        sums, _, characters = outputs.double().unbind(dim=1)
        return cases_of_passages("bits per character", (sums / characters).numpy() / _NATS, Passages.of(y))

    def describe(self) -> str:
        """Return a description such as `language model, loss NextToken`."""
        return f"language model, loss {type(self.criterion).__name__}"

    def pictures(self, outputs: Tensor, y: Any) -> Iterator[tuple[str, Figure]]:
        """Yield the bits per character along the text, or their distribution over rows that are texts."""
        from dlcli.reports import text_plots  # a prediction needs no matplotlib

        bits = (outputs[:, 0] / outputs[:, 2]).numpy() / _NATS
        if not getattr(y, "are_documents", False):
            yield "bits_along_the_text", text_plots.bits_along_the_text(bits, y)
        yield "bits_per_character", text_plots.bits_of_rows(bits)
