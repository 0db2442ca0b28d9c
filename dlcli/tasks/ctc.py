"""Recordings into text by connectionist temporal classification (CTC)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from dlcli.datasets.notices import Notice
from dlcli.datasets.text_rows import Texts
from dlcli.datasets.transcripts import Transcripts
from dlcli.preprocessing.ragged import Ragged
from dlcli.preprocessing.spectrogram import Spectrogram
from dlcli.tasks.base import Task
from dlcli.tasks.cases import Cases, cases_of_transcripts
from dlcli.tasks.ctc_decoding import best_paths, prefix_search
from dlcli.tasks.ctc_loss import BLANK, alignable, log_likelihoods
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.text_scores import WIDTH, by_length, score_of, text_counts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Units = Literal["characters", "words"]

# Rows of a batch of an evaluation.
_ROWS = 64

# The first columns of what is kept of a row: the loss, the number of symbols of the target (both 0 if it has no
# alignment), the number of steps, and the logarithm of the probability of the predicted text.
_HEAD = 4

# The range of the share of blanks of the constant baseline.
_BLANKS = (0.01, 0.99)


class CTC(Task):
    """A text for each recording, whose symbols follow each other in time; targets are codes of symbols `(N, S)`.

    A model has outputs `(N, T, 1 + K)` for each step of a sequence: of the blank, code 0, and the K symbols. A step of
    it may cover several frames (`frames_per_step`, 1 without this attribute). In training epochs texts are decoded by
    the best path, and from the saved model by beam search. What is kept of a row for judging is `(4 + WIDTH + L,)`:
    the loss of its transcript, the numbers of its symbols and of its steps, the logarithm of the probability of the
    predicted text, the counts of `text_counts`, and the codes of the predicted symbols, at most one for each frame. Of
    new rows, the same without counts.

    Args:
        loss: from logarithms of probabilities, steps, codes and symbols to the loss of each row.
        characters: characters of the training transcripts.
        character_counts: their numbers.
        words: words of the training transcripts.
        word_counts: their numbers.
        typical_text: the constant text of the baseline.
        transcripts: number of training transcripts.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
        units: what the symbols are.
        beam: number of prefixes that beam search follows; 1 takes the best path.
    """

    kind: ClassVar = "ctc"
    accepts: ClassVar = {"ctc"}
    default_metrics = ("cer", "wer", "sequence_accuracy")
    outputs_of: ClassVar = "step"
    judges_training_rows: ClassVar = False  # nothing is decoded in training steps
    kept_differs: ClassVar = True  # the longest training recording decides the number of codes

    def __init__(
        self,
        loss: nn.Module,
        characters: Sequence[str],
        character_counts: Sequence[int],
        words: Sequence[str],
        word_counts: Sequence[int],
        typical_text: str,
        transcripts: int,
        metrics: Sequence[str | MetricChoice] = ("default",),
        units: Units = "characters",
        beam: Annotated[int, Ge(1), Le(256)] = 8,
    ) -> None:
        super().__init__()
        self.criterion = loss
        self.beam = beam
        self.units = units
        self.symbols = tuple(characters if units == "characters" else words)
        self.num_outputs = 1 + len(self.symbols)
        self._code = {symbol: code for code, symbol in enumerate(self.symbols, start=1)}
        self._counts = torch.tensor(character_counts if units == "characters" else word_counts)
        self._rows = transcripts
        self._typical = typical_text
        self._frames = 0
        self.choose(metrics)

    def attach(self, preprocessing: Any) -> None:
        """Take the largest number of frames of a recording."""
        if isinstance(preprocessing, Spectrogram):
            self._frames = preprocessing.frames

    def _split(self, text: str) -> Sequence[str]:
        return text if self.units == "characters" else text.split()

    def encode(self, y: Any) -> Ragged:
        """Return the codes of the symbols of each transcript; symbols that training lacks are left out."""
        rows = [[self._code[one] for one in self._split(text) if one in self._code] for text in Texts.of(y)]
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        codes = torch.tensor([code for row in rows for code in row], dtype=torch.int64)
        return Ragged(codes, lengths)

    def step(self, network: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the mean loss of a symbol, and loss and number of symbols of each row `(N, 2)`."""
        sums = self._sums(*_of_steps(network, batch), batch["y"])
        loss, symbols = sums.sum(dim=0)
        return loss / symbols.clamp_min(1), sums.detach()

    def _sums(self, values: Tensor, steps: Tensor, y: Tensor) -> Tensor:
        """Return the loss and the number of symbols of each row `(N, 2)`, 0 for those without an alignment."""
        symbols = (y != BLANK).sum(dim=1)
        losses = self.criterion(values, steps, y, symbols)
        return torch.stack([losses, symbols.to(losses.dtype)], dim=1) * alignable(steps, y).unsqueeze(1)

    def evaluated(
        self,
        network: Any,
        batch: Mapping[str, Tensor],
        y: Tensor | None = None,
        metrics: Collection[str] | None = None,
    ) -> Tensor:
        """Return the head and the symbols of each row `(N, 4 + L)`; see `Task.evaluated`."""
        values, steps = _of_steps(network, batch)
        found = values.new_zeros(len(values), _HEAD + max(self._frames, values.shape[1]))
        if y is not None:
            found[:, :2] = self._sums(values, steps, y)
        found[:, 2] = steps
        if metrics is None or set(metrics) & set(self.metric_names):
            searches = metrics is None and self.beam > 1
            text = prefix_search(values, steps, self.beam) if searches else best_paths(values, steps)
            if metrics is None:
                found[:, 3] = log_likelihoods(values, steps, text)
            found[:, _HEAD : _HEAD + text.shape[1]] = text.to(found.dtype)
        return found

    def kept(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is kept of each row (see the class), and empty targets `(N, 0)`."""
        nothing = y.new_zeros(len(y), 0)
        if outputs.shape[1] == 2:  # of a training step
            return outputs, nothing
        counts = text_counts(self._texts(outputs[:, _HEAD:]), self._texts(y), self.metric_names)
        return torch.cat([outputs[:, :_HEAD], counts.to(outputs), outputs[:, _HEAD:]], dim=1), nothing

    def _texts(self, codes: Tensor) -> list[str]:
        """Return the texts of codes `(N, T)`, padded with 0."""
        between = "" if self.units == "characters" else " "
        return [
            between.join(self.symbols[code - 1] for code in row if code != BLANK)
            for row in codes.long().cpu().tolist()
        ]

    def kept_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over all symbols of the rows."""
        loss, symbols = outputs[:, :2].double().sum(dim=0)
        return loss / symbols

    def loss_weight(self, outputs: Tensor, y: Tensor) -> float:
        """Return the number of symbols of the rows."""
        return float(outputs[:, 1].double().sum())

    def rows_at_once(self, input_shape: Sequence[int]) -> int:
        """Return the rows of a batch of an evaluation."""
        return _ROWS

    def output_shape(self, y: Tensor) -> tuple[int, ...]:
        """Return `(N, T, 1 + K)`, with 0 for the number of steps."""
        return len(y), 0, self.num_outputs

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the counts of each row `(N, WIDTH)`."""
        return outputs[:, _HEAD : _HEAD + WIDTH], y

    def baseline(self) -> tuple[Task, Tensor]:
        """Return what is kept of a row that is predicted without any symbol."""
        return self, torch.zeros(_HEAD + WIDTH)

    def baselines(self, x: Any, kept: Tensor | None = None, y: Any = None) -> dict[str, tuple[Task, Tensor]]:
        """Return what is kept if the typical training transcript is predicted for all rows.

        The loss is that of constant outputs: the blank has the share of steps that the symbols of a training transcript
        leave, and the symbols their frequencies.
        """
        if kept is None:
            raise TypeError("the baseline of transcripts needs what is kept of a model's outputs")
        texts = list(Texts.of(y))
        codes = self.encode(y)[:]
        steps = kept[:, 2].long()
        share = float(self._counts.sum()) / max(self._rows, 1) / max(float(steps.double().mean()), 1.0)
        blank = min(max(1 - share, _BLANKS[0]), _BLANKS[1])
        counts = self._counts.double()
        constant = (
            torch.cat([torch.tensor([blank]).double(), (1 - blank) * counts / counts.sum()]).log().float()
        )
        head = torch.zeros(len(kept), _HEAD)
        for first in range(0, len(kept), _ROWS):
            rows = slice(first, first + _ROWS)
            width = max(1, int(steps[rows].max()))
            values = constant.expand(len(steps[rows]), width, -1)
            head[rows, :2] = self._sums(values, steps[rows], codes[rows])
        counts_of = text_counts([self._typical] * len(texts), texts, self.metric_names)
        return {"": (self, torch.cat([head, counts_of], dim=1))}

    def baseline_descriptions(self) -> dict[str, str]:
        """Return what the baseline repeats."""
        return {"": f"the training transcript that is nearest to the others, {self._typical!r}"}

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return the text, its probability, and the mean logarithm of its symbols' probabilities."""
        codes = outputs[:, _HEAD:]
        symbols = (codes != BLANK).sum(dim=1).clamp_min(1)
        return pd.DataFrame(
            {
                "prediction": pd.Series(self._texts(codes), dtype="str"),
                "confidence": outputs[:, 3].double().exp().numpy(),
                "log_probability": (outputs[:, 3] / symbols).numpy(),
            }
        )

    def counts_of_new(self, outputs: Tensor) -> dict[str, int]:
        """Return the number of texts, and of those that are empty."""
        return {"transcripts": len(outputs), "empty": int((outputs[:, _HEAD:] == BLANK).all(dim=1).sum())}

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return how many of the texts are empty."""
        empty, texts = counts.get("empty", 0), counts.get("transcripts", 0)
        if not empty:
            return []
        text = f"{empty:,} of {texts:,} recordings have an empty transcript: no symbol was recognized"
        return [Notice("empty_transcripts", empty, text)]

    def lost_targets(self, fields: Mapping[str, Any], model: Any = None) -> list[Notice]:
        """Return the notice on training recordings that are too short for their transcripts."""
        if "lengths" not in fields:
            return []
        steps = _steps_of(model, fields["lengths"][:].cpu())
        pieces = [slice(first, first + _ROWS) for first in range(0, len(steps), _ROWS)]
        lost = sum(int((~alignable(steps[rows], fields["y"][rows].cpu())).sum()) for rows in pieces)
        if not lost:
            return []
        text = (
            f"{lost:,} of {len(steps):,} training recordings have fewer steps than their transcripts need, and are not "
            "learned from"
        )
        hint = "Use a smaller preprocessing.hop_length, or a model with smaller strides."
        return [Notice("short_for_transcript", lost, text, "preprocessing.hop_length", hint)]

    def left_out_of_loss(self, outputs: Tensor, rows: str) -> list[Notice]:
        """Return the notice on recordings whose transcript has no alignment, or no symbol of the training rows."""
        lost = int((outputs[:, 1] == 0).sum())
        text = (
            f"{lost:,} of {len(outputs):,} {rows} recordings have fewer steps than their transcripts need, or only "
            "symbols that do not occur in training, and are left out of the loss; error rates count them"
        )
        return [Notice(f"{rows}_left_out_of_loss", lost, text)] if lost else []

    def unseen_targets(self, y: Any, rows: str) -> list[Notice]:
        """Return the notice on symbols of transcripts that training lacks, which are left out of the loss."""
        texts = list(Texts.of(y))
        unseen = Counter(symbol for text in texts for symbol in self._split(text) if symbol not in self._code)
        if not unseen:
            return []
        often = sorted(unseen, key=lambda symbol: (-unseen[symbol], symbol))
        some = ", ".join(repr(symbol) for symbol in often[:5]) + (", ..." if len(often) > 5 else "")
        text = (
            f"{unseen.total():,} {self.units} of the {len(texts):,} {rows} do not occur in training, cannot be "
            f"predicted, and are left out of the loss: {some}"
        )
        return [Notice("unseen_symbols", unseen.total(), text)]

    def targets(self, y: Any) -> pd.DataFrame:
        """Return the name of each recording, if it is known, and its transcript."""
        files = {"file": pd.Series(list(y.files), dtype="str")} if isinstance(y, Transcripts) else {}
        return pd.DataFrame({**files, "target": pd.Series(list(Texts.of(y)), dtype="str")})

    def judged(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return file, target and prediction, its probability, the loss per symbol, and the character error rate."""
        table = self.targets(y)
        table["prediction"] = pd.Series(self._texts(outputs[:, _HEAD + WIDTH :]), dtype="str")
        table["confidence"] = outputs[:, 3].double().exp().numpy()
        table["loss"] = (outputs[:, 0] / outputs[:, 1]).numpy()
        if "cer" in self.metric_names:
            table["cer"] = [score_of(row, "cer") for row in outputs[:, _HEAD : _HEAD + WIDTH]]
        return table

    def cases(self, outputs: Tensor, y: Any) -> Cases:
        """Return the character error rate of each transcript, grouped by its length."""
        return cases_of_transcripts(self._texts(outputs[:, _HEAD + WIDTH :]), list(Texts.of(y)))

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore the counts `(N, WIDTH)` from the texts."""
        if not {"target", "prediction"} <= set(table.columns):
            return None
        predicted, true = (table[name].fillna("").astype(str).tolist() for name in ("prediction", "target"))
        return text_counts(predicted, true, self.metric_names), torch.empty(len(table), 0), {}

    def describe(self) -> str:
        """Return such as `speech into text: 10 characters, loss CTCLoss, beam 8 (best path in epochs)`."""
        how = "best path" if self.beam == 1 else f"beam {self.beam} (best path in epochs)"
        return (
            f"speech into text: {len(self.symbols)} {self.units}, loss {type(self.criterion).__name__}, {how}"
        )

    def breakdown(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return rows, loss and metrics by the number of the transcript's symbols, also unseen ones."""
        symbols = torch.tensor([len(self._split(text)) for text in Texts.of(y)], dtype=torch.int64)
        counts = outputs[:, _HEAD : _HEAD + WIDTH]
        return by_length(outputs[:, :2], counts, self.metric_names, "symbols", symbols)

    def worst(self, outputs: Tensor, y: Any) -> list[tuple[int, str]]:
        """Return the rows in the order of their mean loss, the largest first."""
        losses = torch.nan_to_num(outputs[:, 0] / outputs[:, 1], nan=math.inf).numpy()
        order = np.argsort(-losses, kind="stable")
        return [(int(row), f"loss {losses[row]:.2f}") for row in order]

    def pictures(self, outputs: Tensor, y: Any) -> Iterator[tuple[str, Figure]]:
        """Yield the metrics by the number of the transcript's symbols."""
        from dlcli.reports import translation_plots  # a prediction needs no matplotlib

        yield (
            "length",
            translation_plots.scores_by_length(self.breakdown(outputs, y), "symbols of the transcript"),
        )


def _of_steps(network: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the logarithms of probabilities `(N, T, 1 + K)`, and the number of steps of each row `(N,)`."""
    values = network(batch).float().log_softmax(dim=2)
    whole = torch.full((len(values),), values.shape[1], device=values.device)
    lengths = batch.get("lengths")
    steps = whole if lengths is None else _steps_of(network.model, lengths.to(values.device))
    return values, steps.minimum(whole)


def _steps_of(model: Any, frames: Tensor) -> Tensor:
    """Return the number of a model's steps for numbers of frames."""
    stride = int(getattr(model, "frames_per_step", 1))
    return (frames + stride - 1) // stride
