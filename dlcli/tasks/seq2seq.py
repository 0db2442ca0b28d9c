"""Sequence-to-sequence learning: generation of a text for each text, such as a translation."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from dlcli.datasets.notices import Notice
from dlcli.datasets.pair_texts import other_side
from dlcli.datasets.text_rows import Texts
from dlcli.preprocessing.pairs import PairSubwords
from dlcli.preprocessing.subwords import PADDING
from dlcli.tasks.base import Task
from dlcli.tasks.cases import Cases, cases_of_texts, cases_of_transcripts, word_numbers
from dlcli.tasks.decoding import generated
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.text_scores import WIDTH, by_length, score_of, text_counts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Batch size of an evaluation; small, because each token of a target has logits of the whole vocabulary.
_ROWS = 128

# Maximum number of logits computed at a time: 256 MB.
_LOGITS = 1 << 26

# Share of truncated texts above which a warning is issued for new rows.
_MUCH = 0.05

# Number of leading columns of the kept values: the sum of the tokens' losses, and their number.
_HEAD = 2


class Seq2Seq(Task):
    """Sequence-to-sequence learning. Outputs of a training step are logits `(N, T, V)`, targets tokens `(N, T)`.

    In evaluation, targets are scored with teacher forcing, and a text is generated for each source: greedily in
    training epochs, by beam search with the saved model. `(2 + WIDTH + max_length,)` values per row are kept: the sum
    of the losses of its tokens, their number, the counts of `text_counts`, and the generated tokens. For new rows, the
    log-probability of the generated text, the number of its tokens, and the tokens are kept.

    Args:
        loss: maps logits and tokens to the loss of each token.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
        beam: number of beams; 1 is greedy decoding.
        length_penalty: exponent of the length by which scores of beam search are divided (Wu et al., 2016): 0 prefers
            short texts, 1 compares means per token.
    """

    kind: ClassVar = "seq2seq"
    outputs_of: ClassVar = "text"
    accepts: ClassVar = {"seq2seq"}
    judges_training_rows: ClassVar = False  # nothing is generated in training steps
    default_metrics = ("bleu", "chrf", "sequence_accuracy", "unfinished")

    def __init__(
        self,
        loss: nn.Module,
        metrics: Sequence[str | MetricChoice] = ("default",),
        beam: Annotated[int, Ge(1), Le(64)] = 4,
        length_penalty: Annotated[float, Ge(0)] = 1.0,
    ) -> None:
        super().__init__()
        self.criterion = loss
        self.beam = beam
        self.length_penalty = length_penalty
        self.num_outputs = 0
        self._tokens: PairSubwords | None = None
        # Targets that their tokens do not represent exactly, by these.
        self._exact: dict[bytes, str] = {}
        self.choose(metrics)

    def attach(self, preprocessing: Any) -> None:
        """Store the encoding of targets that the preprocessing has fitted."""
        if isinstance(preprocessing, PairSubwords):
            self._tokens = preprocessing
            self.num_outputs = len(preprocessing.target_subwords)

    @property
    def _subwords(self) -> PairSubwords:
        if self._tokens is None:
            raise TypeError("the task has no fitted encoding of targets")
        return self._tokens

    def encode(self, y: Any) -> Any:
        """Return the tokens of complete targets, each with its end token."""
        found = self._subwords.targets(y)
        self._exact |= self._subwords.changed(Texts.of(y), found)
        return found

    def step(self, network: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the mean loss over the tokens of the batch, and the losses and tokens of each row `(N, 2)`."""
        y = batch["y"][:, : self._subwords.max_length]
        sums = self._sums(network({**batch, "y": y}), y)
        loss, tokens = sums.sum(dim=0)
        return loss / tokens, sums.detach()

    def _sums(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the sum of the losses and the number of tokens of each row `(N, 2)`."""
        losses = self.criterion(logits.float(), y).sum(dim=1)
        return torch.stack([losses, (y != PADDING).sum(dim=1).to(losses.dtype)], dim=1)

    def evaluated(
        self,
        network: Any,
        batch: Mapping[str, Tensor],
        y: Tensor | None = None,
        metrics: Collection[str] | None = None,
    ) -> Tensor:
        """Return losses, tokens and generated tokens of each row `(N, 2 + max_length)`; see `Task.evaluated`."""
        rows, most = len(batch["x"]), self._subwords.max_length
        found = torch.zeros(rows, _HEAD + most, device=batch["x"].device)
        if y is not None:
            found[:, :_HEAD] = self._losses(network, batch, y)
        if metrics is None or set(metrics) & set(self.metric_names):
            beam = self.beam if metrics is None else 1
            text = generated(
                network.model,
                batch["x"],
                batch["lengths"],
                self._subwords.most_steps,
                beam,
                self.length_penalty,
            )
            found[:, _HEAD : _HEAD + text.tokens.shape[1]] = text.tokens.to(found.dtype)
            if y is None:
                found[:, 0], found[:, 1] = text.scores, text.lengths
                found[batch["lengths"] <= 1] = 0  # an empty source consists of its end token
        return found

    def _losses(self, network: Any, batch: Mapping[str, Tensor], y: Tensor) -> Tensor:
        """Return `_sums` of a batch, computed for few rows at a time if targets are long."""
        if y.numel() * self.num_outputs <= _LOGITS:
            return self._sums(network({**batch, "y": y}), y)
        lengths = (y != PADDING).sum(dim=1)
        order = lengths.argsort(descending=True, stable=True)
        found = torch.zeros(len(y), _HEAD, device=y.device)
        first = 0
        while first < len(y):
            longest = max(1, int(lengths[order[first]]))
            rows = order[first : first + max(1, _LOGITS // (longest * self.num_outputs))]
            part = {name: values[rows] for name, values in batch.items()}
            own = y[rows, :longest]
            found[rows] = self._sums(network({**part, "y": own}), own)
            first += len(rows)
        return found

    def kept(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the kept values of each row (see the class), and empty targets `(N, 0)`."""
        nothing = y.new_zeros(len(y), 0)
        if outputs.shape[1] == _HEAD:  # of a training step
            return outputs, nothing
        rows = y.cpu().numpy()
        texts = self._subwords.target_subwords.decode(rows)
        if self._exact:
            texts = [
                self._exact.get(row[row != PADDING].tobytes(), text)
                for row, text in zip(rows, texts, strict=True)
            ]
        tokens = outputs[:, _HEAD:]
        counts = text_counts(self._texts(tokens), texts, self.metric_names, self._unfinished(tokens))
        return torch.cat([outputs[:, :_HEAD], counts.to(outputs), outputs[:, _HEAD:]], dim=1), nothing

    def _texts(self, tokens: Tensor) -> list[str]:
        """Return the texts of generated tokens `(N, T)`."""
        return self._subwords.target_subwords.decode(tokens.long().cpu().numpy())

    def _unfinished(self, tokens: Tensor) -> list[bool]:
        """Return whether each row of generated tokens `(N, T)` was truncated before its end."""
        found: list[bool] = ((tokens != PADDING).sum(dim=1) >= self._subwords.most_steps).tolist()
        return found

    def counts_of_new(self, outputs: Tensor) -> dict[str, int]:
        """Return the number of generated texts, and of truncated ones."""
        return {"generated": len(outputs), "unfinished": sum(self._unfinished(outputs[:, _HEAD:]))}

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return a notice of the number of truncated texts."""
        stopped, texts = counts.get("unfinished", 0), counts.get("generated", 0)
        if not stopped:
            return []
        most = self._subwords.most_steps
        text = f"{stopped:,} of {texts:,} predictions were truncated at {most:,} tokens"
        where = "preprocessing.max_length" if most == self._subwords.max_length else ""
        return [Notice("unfinished_texts", stopped, text, where, warns=stopped > _MUCH * texts)]

    def kept_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over all tokens of the rows."""
        loss, tokens = outputs[:, :_HEAD].double().sum(dim=0)
        return loss / tokens

    def loss_weight(self, outputs: Tensor, y: Tensor) -> float:
        """Return the number of tokens of the rows."""
        return float(outputs[:, 1].double().sum())

    def rows_at_once(self, input_shape: Sequence[int]) -> int:
        """Return the batch size of an evaluation."""
        return _ROWS

    def output_shape(self, y: Tensor) -> tuple[int, ...]:
        """Return `(N, T, V)`."""
        return *y.shape, self.num_outputs

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the counts of each row `(N, WIDTH)`."""
        return outputs[:, _HEAD : _HEAD + WIDTH], y

    def baseline(self) -> tuple[Task, Tensor]:
        """Return the kept values of a row with an empty prediction."""
        return self, torch.zeros(_HEAD + WIDTH)

    def baselines(self, x: Any, kept: Tensor | None = None, y: Any = None) -> dict[str, tuple[Task, Tensor]]:
        """Return the kept values for the most frequent training target as prediction of all rows, and for copied
        sources.

        The loss is that of the frequencies of tokens in training targets.
        """
        references = other_side(x)
        if references is None or kept is None:
            raise TypeError(
                "the baselines need sources with their targets, and what is kept of a model's outputs"
            )
        sources, targets = list(Texts.of(x)), list(references)
        shares = torch.from_numpy(self._subwords.counts_ + 1.0).float()
        of_constant: Any = getattr(self.criterion, "of_constant", None)
        costs = None if of_constant is None else of_constant(shares / shares.sum())
        tokens = self._subwords.targets(references)
        lost = [math.nan if costs is None else float(costs[row].sum()) for row in tokens]
        head = torch.stack([torch.tensor(lost), tokens.lengths.float()], dim=1)
        guesses = {"": [self._subwords.usual_] * len(targets), "copy": sources}
        return {
            name: (self, torch.cat([head, text_counts(texts, targets, self.metric_names)], dim=1))
            for name, texts in guesses.items()
        }

    def baseline_descriptions(self) -> dict[str, str]:
        """Return descriptions of the baselines."""
        return {"": "the most frequent training target", "copy": "the source"}

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return the generated text, the mean log-probability of its tokens, and their number.

        An empty source has no text.
        """
        tokens = outputs[:, 1]
        texts = self._texts(outputs[:, _HEAD:])
        return pd.DataFrame(
            {
                "prediction": [text if count else None for text, count in zip(texts, tokens, strict=True)],
                "log_probability": (outputs[:, 0] / tokens).numpy(),
                "tokens": tokens.numpy().astype(np.int64),
                "unfinished": self._unfinished(outputs[:, _HEAD:]),
            }
        )

    def targets(self, y: Any) -> pd.DataFrame:
        """Return source and target."""
        sources = other_side(y)
        given = {} if sources is None else {"source": list(sources)}
        return pd.DataFrame({**given, "target": list(Texts.of(y))})

    def judged(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return source, target and prediction, the mean loss of the target's tokens, and the sentence's chrF."""
        table = self.targets(y)
        table["prediction"] = self._texts(outputs[:, _HEAD + WIDTH :])
        table["loss"] = (outputs[:, 0] / outputs[:, 1]).numpy()
        table["tokens"] = outputs[:, 1].numpy().astype(np.int64)
        table["unfinished"] = self._unfinished(outputs[:, _HEAD + WIDTH :])
        if "chrf" in self.metric_names:
            table["chrf"] = self._chrf(outputs)
        return table

    def cases(self, outputs: Tensor, y: Any) -> Cases:
        """Return 1 - chrF of each text, or without this metric its character error rate, grouped by lengths."""
        targets, sources = list(Texts.of(y)), other_side(y)
        if "chrf" in self.metric_names:
            columns = {"words of the target": word_numbers(targets)}
            found = cases_of_texts("1 - chrF", "texts", 1 - self._chrf(outputs) / 100, columns)
        else:
            found = cases_of_transcripts(self._texts(outputs[:, _HEAD + WIDTH :]), targets, "target")
        if sources is None:
            return found
        lengths = {"words of the source": pd.Series(word_numbers(list(sources)))}
        return replace(found, columns={**lengths, **found.columns})

    def _chrf(self, outputs: Tensor) -> np.ndarray:
        return np.array([score_of(row, "chrf") for row in outputs[:, _HEAD : _HEAD + WIDTH]])

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore the counts `(N, WIDTH)` from the texts."""
        if not {"target", "prediction"} <= set(table.columns):
            return None
        predicted, true = (table[name].fillna("").astype(str).tolist() for name in ("prediction", "target"))
        unfinished = table["unfinished"].astype(bool).tolist() if "unfinished" in table.columns else None
        counts = text_counts(predicted, true, self.metric_names, unfinished)
        return counts, torch.empty(len(table), 0), {}

    def describe(self) -> str:
        """Return a description such as `seq2seq, loss TokenCrossEntropy, beam 4 (greedy in training)`."""
        how = "greedy" if self.beam == 1 else f"beam {self.beam} (greedy in epochs)"
        return f"seq2seq, loss {type(self.criterion).__name__}, {how}"

    def breakdown(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return number of rows, loss and metrics by number of target tokens."""
        return by_length(outputs[:, :_HEAD], outputs[:, _HEAD : _HEAD + WIDTH], self.metric_names)

    def worst(self, outputs: Tensor, y: Any) -> list[tuple[int, str]]:
        """Return the rows in descending order of mean loss."""
        losses = (outputs[:, 0] / outputs[:, 1]).numpy()
        order = np.argsort(-losses, kind="stable")
        return [(int(row), f"loss {losses[row]:.2f}") for row in order]

    def pictures(self, outputs: Tensor, y: Any) -> Iterator[tuple[str, Figure]]:
        """Yield the metrics by number of target tokens."""
        from dlcli.reports import translation_plots  # a prediction needs no matplotlib

        yield "length", translation_plots.scores_by_length(self.breakdown(outputs, y))
