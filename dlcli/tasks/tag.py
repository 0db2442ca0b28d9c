"""Tagging: one tag for each word of a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from dlcli.datasets.words.schemes import OUTSIDE, entities_of
from dlcli.datasets.words.sentences import Sentences
from dlcli.datasets.words.word_tags import Tags
from dlcli.preprocessing.ragged import Ragged
from dlcli.tasks.base import Task
from dlcli.tasks.cases import Cases, cases_of_classes
from dlcli.tasks.entities import EntityTypes
from dlcli.tasks.entity_metrics import entity_figures
from dlcli.tasks.logits import prior_logits
from dlcli.tasks.metric_choice import MetricChoice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Code of positions beyond the last word of a row, and predicted code of words that are cut off.
NO_WORD, UNREAD = -100, -1

_KINDS = ("given", "predicted", "right")


class Tag(Task):
    """Tagging. Outputs are logits of the words `(N, V, C)`, targets are codes `(N, V)`, -100 beyond the last word.

    Logits of words that the preprocessing cuts off are -inf or missing.

    For evaluation, `(1 + V,)` values per row are kept: the mean loss of its words, and their predicted codes; for new
    rows the codes. V is the number of words of the longest row of the data. The code of words that are cut off is -1;
    they are predicted as O, or as the most frequent tag.

    Args:
        classes: names of the tags, in IOB2 or without marks.
        class_counts: number of training words with each tag.
        loss: maps logits and codes to the losses of words `(N, V)`.
        longest: number of words of the longest row of the data.
        usual_words: words whose most frequent tag in the training rows is not the overall most frequent tag.
        usual_tags: code of the most frequent tag of each of these words.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
    """

    kind: ClassVar = "tag"
    accepts: ClassVar = {"tag"}
    outputs_of = "word"
    padding = NO_WORD
    default_metrics = ("entity_f1", "entity_precision", "entity_recall", "tag_accuracy")

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        loss: nn.Module,
        longest: int = 1,
        usual_words: Sequence[str] = (),
        usual_tags: Sequence[int] = (),
        metrics: Sequence[str | MetricChoice] = ("default",),
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.num_outputs = len(self.classes)
        self.criterion = loss
        self.entity_types = EntityTypes(self.classes)
        self._longest = longest
        self._usual = dict(zip(usual_words, usual_tags, strict=True))
        self._most = int(np.argmax(class_counts))
        self._filler = self.classes.index(OUTSIDE) if OUTSIDE in self.classes else self._most
        self._prior = prior_logits(torch.tensor(class_counts))
        self.choose(metrics)

    def encode(self, y: Tags) -> Any:
        """Return the codes, padded to the longest row of the data, or of `y`."""
        lengths = torch.from_numpy(y.lengths.copy())
        width = max(self._longest, y.longest)
        return Ragged(torch.from_numpy(y.flat().astype(np.int64)), lengths, padding=NO_WORD, width=width)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the words that are not cut off, a scalar."""
        losses, read = self._losses(outputs, y)
        return losses.sum() / read.sum().clamp_min(1)

    def _losses(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses `(N, T)` of words, and a mask of those that are not cut off."""
        steps = min(outputs.shape[1], y.shape[1])
        logits, y = outputs[:, :steps].float(), y[:, :steps]
        cut = _unread(logits)
        y = y.masked_fill(cut, NO_WORD)
        return self.criterion(logits.masked_fill(cut.unsqueeze(2), 0.0), y), y >= 0

    def kept(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the predicted codes of each row `(N, 1 + V)`, and the targets `(N, V)`."""
        losses, read = self._losses(outputs, y)
        # Average over the words of each row, so that its loss does not depend on its batch.
        loss = losses.sum(dim=1) / read.sum(dim=1).clamp_min(1)
        codes = self._codes(outputs, y.shape[1])
        return torch.cat([loss[:, None], codes.to(loss.dtype)], dim=1), y

    def kept_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the words that are not cut off: means of rows, weighted by their numbers
        of words."""
        words = _judged_words(outputs, y)
        return (outputs[:, 0] * words).sum() / words.sum().clamp_min(1)

    def loss_weight(self, outputs: Tensor, y: Tensor) -> float:
        """Return the number of these words."""
        return int(_judged_words(outputs, y).sum())

    def predicted(self, outputs: Tensor) -> Tensor:
        """Return the code of each word `(N, V)`; codes beyond the last word of a row are undefined."""
        return outputs.argmax(dim=2).masked_fill_(_unread(outputs), UNREAD)

    def _codes(self, outputs: Tensor, width: int) -> Tensor:
        """Return the predicted codes `(N, width)`."""
        codes = self.predicted(outputs)[:, :width]
        return functional.pad(codes, (0, width - codes.shape[1]), value=UNREAD)

    def _filled(self, codes: Tensor) -> Tensor:
        """Return codes as integers, with a default for words that are cut off."""
        codes = codes.long()
        return codes.masked_fill(codes < 0, self._filler)

    def output_shape(self, y: Tensor) -> tuple[int, ...]:
        """Return `(N, V, C)`."""
        return len(y), y.shape[1] if y.ndim > 1 else 0, self.num_outputs

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return true, predicted and correct numbers of entities and words `(N, 3, K + 1)`."""
        codes = self._filled(outputs[:, 1:])
        words = y >= 0
        right = (words & (codes == y)).sum(dim=1)
        numbers = torch.stack([words.sum(dim=1), words.sum(dim=1), right], dim=1).double()
        return torch.cat([self.entity_types.counts(codes, y), numbers.unsqueeze(2)], dim=2), y

    def metric_facts(self, *, tuned: bool = True) -> dict[str, Any]:
        """Return the arguments that metrics can take."""
        return {"task": "tag", "num_types": len(self.entity_types.names), "classes": self.classes}

    def baseline(self) -> tuple[Task, Tensor]:
        """Return the shares of the tags, which predict the most frequent one."""
        return self, self._prior

    def baselines(self, x: Any, kept: Tensor | None = None, y: Any = None) -> dict[str, tuple[Task, Tensor]]:
        """Return the kept values of a lookup: each word has its most frequent tag in the training rows."""
        if kept is None:
            raise TypeError("the baseline of tags needs what is kept of a model's outputs")
        guess = torch.full_like(kept, self._most)
        guess[:, 0] = torch.nan
        for row, words in enumerate(Sentences.of(x).words()):
            codes = [self._usual.get(word, self._most) for word in words]
            guess[row, 1 : 1 + len(codes)] = torch.tensor(codes, dtype=kept.dtype)
        return {"": (self, guess)}

    def baseline_descriptions(self) -> dict[str, str]:
        """Return a description of the baseline."""
        return {"": "the most frequent tag of each word in the training rows"}

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return the column `tags`: a tag for each of the longest row's words, separated by blanks."""
        return pd.DataFrame(
            {"tags": pd.Series([self._names(row) for row in self._filled(outputs).tolist()], dtype="str")}
        )

    def described(self, outputs: Tensor, x: Any) -> pd.DataFrame:
        """Return `text`, the tags of its words, and its entities as a JSON list with start, end and label."""
        rows = Sentences.of(x)
        codes = [
            [*own[:length], *[self._filler] * (length - len(own))]
            for own, length in zip(self._filled(outputs).tolist(), rows.lengths.tolist(), strict=True)
        ]
        return pd.DataFrame(
            {
                "text": pd.Series(list(rows.texts), dtype="str"),
                "tags": pd.Series([self._names(own) for own in codes], dtype="str"),
                "entities": pd.Series(
                    [self._entities(own, rows, row) for row, own in enumerate(codes)], dtype="str"
                ),
            }
        )

    def _names(self, codes: Sequence[int]) -> str:
        return " ".join(self.classes[code] for code in codes)

    def _entities(self, codes: Sequence[int], rows: Sentences, row: int) -> str:
        spans = rows.spans_of(row)
        found = [
            {"start": spans[first][0], "end": spans[end - 1][1], "label": kind}
            for first, end, kind in entities_of([self.classes[code] for code in codes])
        ]
        return json.dumps(found, ensure_ascii=False)

    def targets(self, y: Tags) -> pd.DataFrame:
        """Return the column `target`: the tags of the words, separated by blanks."""
        ends = y.lengths.cumsum()
        flat = y.flat().tolist()
        names = [self._names(flat[end - length : end]) for end, length in zip(ends, y.lengths, strict=True)]
        return pd.DataFrame({"target": pd.Series(names, dtype="str")})

    def judged(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return text, target, predicted tags and entities, and numbers of words and of entities of each type.

        `words` and `right_words` are numbers of words, `given(TYPE)`, `predicted(TYPE)` and `right(TYPE)` of entities.
        """
        counts = self._counts(outputs, y).numpy().astype(np.int64)
        table = pd.concat([self.described(outputs[:, 1:], y.rows), self.targets(y)], axis=1)
        table["words"], table["right_words"] = counts[:, 0, -1], counts[:, 2, -1]
        columns = {
            f"{what}({name})": counts[:, number, place]
            for place, name in enumerate(self.entity_types.names)
            for number, what in enumerate(_KINDS)
        }
        return pd.concat([table, pd.DataFrame(columns)], axis=1)

    def _counts(self, outputs: Tensor, y: Tags) -> Tensor:
        codes = self.encode(y)[:]
        width = outputs.shape[1] - 1
        return self.metric_inputs(outputs, codes[:, :width])[0]

    def cases(self, outputs: Tensor, y: Tags) -> Cases:
        """Return 1 - F1 of each type of entities in each sentence, grouped by type and number of words."""
        given, predicted, right = self._counts(outputs, y)[:, :, :-1].unbind(dim=1)
        scores = (2 * right / (given + predicted)).numpy()  # NaN for types that do not occur
        words = np.repeat(y.lengths[:, None], scores.shape[1], axis=1)
        return cases_of_classes(
            "1 - F1", "types of sentences", scores, self.entity_types.names, {"words of the sentence": words}
        )

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore the numbers of entities and words `(N, 3, K + 1)`."""
        columns = [[f"{what}({name})" for name in self.entity_types.names] for what in _KINDS]
        words = ("words", "words", "right_words")
        named = [[*own, last] for own, last in zip(columns, words, strict=True)]
        if not {name for names in named for name in names} <= set(table.columns):
            return None
        counts = np.stack([table[names].to_numpy(np.float64) for names in named], axis=1)
        return torch.from_numpy(counts), torch.empty(len(table), 0), {}

    def describe(self) -> str:
        """Return a description such as `tags of words: entities of 4 types, loss TagCrossEntropy`."""
        kinds = len(self.entity_types.names)
        marked = any(tag.startswith("B-") for tag in self.classes)
        what = f"entities of {kinds} types" if marked else f"{self.num_outputs} tags, each word by itself"
        return f"tags of words: {what}, loss {type(self.criterion).__name__}"

    def breakdown(self, outputs: Tensor, y: Tags) -> pd.DataFrame:
        """Return F1, precision, recall and number of the entities of each type, the most frequent first."""
        counts = self._counts(outputs, y).sum(dim=0)[:, :-1]
        figures = entity_figures(counts)
        table = pd.DataFrame(
            {
                "class": self.entity_types.names,
                **{name: figures[name].numpy() for name in ("f1", "precision", "recall")},
                "entities": counts[0].long().numpy(),
                "predicted": counts[1].long().numpy(),
            }
        )
        return table.sort_values("entities", ascending=False, kind="stable", ignore_index=True)

    def worst(self, outputs: Tensor, y: Tags) -> list[tuple[int, str]]:
        """Return the rows in descending order of the number of wrong entities, then of wrong words."""
        counts = self._counts(outputs, y)
        entities = counts[:, :2, :-1].sum(dim=(1, 2)) - 2 * counts[:, 2, :-1].sum(dim=1)
        words = counts[:, 0, -1] - counts[:, 2, -1]
        order = np.lexsort((-words.numpy(), -entities.numpy()))
        return [
            (int(row), f"{int(words[row])} of {int(counts[row, 0, -1])} words wrong")
            for row in order
            if words[row] > 0
        ]

    def pictures(self, outputs: Tensor, y: Tags) -> Iterator[tuple[str, Figure]]:
        """Yield F1 of each type, and the confusion matrix of tags."""
        from dlcli.reports import mask_plots, text_plots  # a prediction needs no matplotlib

        yield "entities", text_plots.f1_of_types(self.breakdown(outputs, y))
        targets = self.encode(y)[:][:, : outputs.shape[1] - 1]
        words = targets >= 0
        pairs = targets[words] * self.num_outputs + self._filled(outputs[:, 1:])[words]
        confusion = torch.bincount(pairs, minlength=self.num_outputs**2).view(self.num_outputs, -1).numpy()
        yield (
            "confusion_matrix",
            mask_plots.share_confusion(confusion, self.classes, "Words of each tag, in percent"),
        )


def _unread(logits: Tensor) -> Tensor:
    """Return a mask of words that are cut off `(N, V)`, given their logits `(N, V, C)`."""
    return logits[..., 0] == -torch.inf


def _judged_words(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the number of words of each row that have a tag and are not cut off."""
    return ((y >= 0) & (outputs[:, 1:] >= 0)).sum(dim=1)
