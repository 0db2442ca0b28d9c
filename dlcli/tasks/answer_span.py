"""Extractive question answering: the start and the end of the answer in a context."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge
from torch import Tensor, nn

from dlcli.datasets.notices import Notice
from dlcli.datasets.questions.answers import Answers
from dlcli.datasets.questions.questions import Questions
from dlcli.preprocessing.ragged import Ragged
from dlcli.tasks.base import Task
from dlcli.tasks.best_spans import best_spans, span_scores
from dlcli.tasks.cases import Cases, cases_of_texts, word_numbers
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.sentence_overlap import first_sentence, most_shared_words
from dlcli.tasks.span_losses import tokens_of_answer
from dlcli.tasks.squad_score import answer_f1, exact_match, normalized_answer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Number of rows whose best spans are searched at a time.
_BLOCK = 256

_QUESTION_WORDS = ("what", "who", "when", "where", "which", "why", "how")
_LENGTHS = ((1, "1 word"), (2, "2 words"), (5, "3 to 5 words"), (math.inf, "6 words or more"))
_BASELINES = {"": most_shared_words, "first_sentence": first_sentence}


class AnswerSpan(Task):
    """Extractive question answering.

    Outputs are `(N, W, T, 4)`: start and end logits of the tokens of W windows, and the character positions of the
    tokens. Targets are records of `Answers`. For evaluation, `(6,)` values per question are kept: loss, exact match,
    F1, probability of the answer, and the positions of its first character and after its last. For new questions the
    last three are kept.

    Args:
        loss: maps `SpanScores`, records and `unanswerable` to the loss of each row and a mask of rows with a target.
        unanswerable: whether there are training questions without an answer, so that "no answer" can be predicted.
        max_answer: maximum number of tokens of an answer.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
    """

    kind: ClassVar = "answer_span"
    accepts: ClassVar = {"answer_span"}
    outputs_of = "token"
    default_metrics = ("answer_f1", "answer_exact_match")
    num_outputs = 2

    def __init__(
        self,
        loss: nn.Module,
        unanswerable: bool = False,
        max_answer: Annotated[int, Ge(1)] = 30,
        metrics: Sequence[str | MetricChoice] = ("default",),
    ) -> None:
        super().__init__()
        self.unanswerable = unanswerable
        self.max_answer = max_answer
        self.criterion = loss
        self.choose(metrics)

    def encode(self, y: Any) -> Any:
        """Return the records of the answers, which are padded per batch."""
        values, lengths = y.records()
        return Ragged(values, lengths, padding=-1)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the rows with an answer within a window; 0 if there are none."""
        losses, targeted = self.criterion(span_scores(outputs, self.unanswerable), y, self.unanswerable)
        return losses.sum() / targeted.sum().clamp_min(1)

    def kept(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss, exact match, F1, probability, first and last character of each row, and empty targets `(N, 0)`.

        The texts are compared on the CPU.
        """
        scores = span_scores(outputs, self.unanswerable)
        losses, targeted = self.criterion(scores, y, self.unanswerable)
        losses = torch.where(targeted, losses, torch.full_like(losses, math.nan))
        found = best_spans(scores, self.max_answer, self.unanswerable)
        judged = _judged(found[:, 1:].long().cpu().numpy(), y.cpu().numpy()).to(found)
        return torch.cat([losses[:, None], judged, found], dim=1), y.new_zeros(len(y), 0)

    def kept_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of the rows with an answer within a window."""
        return outputs[:, 0].nanmean()

    def loss_weight(self, outputs: Tensor, y: Tensor) -> float:
        """Return the number of these rows."""
        return int(outputs[:, 0].isfinite().sum())

    def predicted(self, outputs: Tensor) -> Tensor:
        """Return probability, first and last character of each row's answer `(N, 3)`."""
        return best_spans(span_scores(outputs, self.unanswerable), self.max_answer, self.unanswerable)

    def output_shape(self, y: Tensor) -> tuple[int, ...]:
        """Return `(N, W, T, 4)`, with 0 for sizes that differ between batches."""
        return len(y), 0, 0, 4

    def rows_at_once(self, input_shape: Sequence[int]) -> int:
        """Return the batch size of an evaluation."""
        return 32

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return exact match and F1 `(N, 2)`."""
        return outputs[:, 1:3], y

    def lost_targets(self, fields: Mapping[str, Any], model: Any = None) -> list[Notice]:
        """Return the notices on training questions whose answer no window contains whole, or that is too long."""
        y, offsets = fields["y"], fields["offsets"]
        lost = long = 0
        for first in range(0, len(y), _BLOCK):
            some = slice(first, first + _BLOCK)
            tokens, answers = offsets[some].cpu().float(), y[some].cpu()
            scores = span_scores(torch.cat([torch.zeros_like(tokens), tokens], dim=3), self.unanswerable)
            targeted = self.criterion(scores, answers, self.unanswerable)[1]
            lost += int((~targeted).sum())
            long += int((targeted & (tokens_of_answer(scores, answers) > self.max_answer)).sum())
        notices = []
        if lost:
            text = (
                f"{lost:,} of {len(y):,} training questions have an answer that is not within any window, and "
                "are not used for training"
            )
            hint = "Use larger windows (preprocessing.max_length) or a larger overlap (preprocessing.stride)."
            notices.append(Notice("cut_answers", lost, text, "preprocessing.stride", hint))
        if long:
            text = (
                f"{long:,} of {len(y):,} training questions have an answer of more than {self.max_answer} tokens, and "
                "none that long is predicted"
            )
            notices.append(Notice("long_answers", long, text, "task.max_answer", "Give a larger number."))
        return notices

    def baseline(self) -> tuple[Task, Tensor]:
        """Return "no answer"; `baselines` replaces it by sentences."""
        return self, torch.tensor([math.nan, 0.0, 0.0, 0.0, -1.0, -1.0])

    def baselines(self, x: Any, kept: Tensor | None = None, y: Any = None) -> dict[str, tuple[Task, Tensor]]:
        """Return two sentences as answers: the one that shares the most words with the question, and the first one."""
        records, lengths = y.records()
        found: dict[str, tuple[Task, Tensor]] = {}
        for name, choose in _BASELINES.items():
            spans = np.array([choose(question, context) for question, context in x], np.int64).reshape(-1, 2)
            rows = [record.numpy() for record in records.split(lengths.tolist())]
            judged = torch.cat(
                [_judged(span[None], row[None]) for span, row in zip(spans, rows, strict=True)]
            )
            nothing = torch.full((len(spans), 1), math.nan)
            found[name] = (
                self,
                torch.cat([nothing, judged, nothing, torch.from_numpy(spans).float()], dim=1),
            )
        return found

    def baseline_descriptions(self) -> dict[str, str]:
        """Return descriptions of the baselines."""
        return {
            "": "the sentence that shares the most words with the question",
            "first_sentence": "the first sentence",
        }

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return `score`, the answer's probability, and its position in the context, `start` and `end`; -1
        for no answer."""
        score, start, end = outputs[:, -3:].double().numpy().T
        return pd.DataFrame({"score": score, "start": start.astype(np.int64), "end": end.astype(np.int64)})

    def described(self, outputs: Tensor, x: Any) -> pd.DataFrame:
        """Return the column `prediction`, the text of the answer, empty for none, and those of `predictions`."""
        places = self.predictions(outputs)
        texts = [
            context[start:end] if start >= 0 else ""
            for (_, context), start, end in zip(Questions.of(x), places["start"], places["end"], strict=True)
        ]
        return pd.concat([pd.DataFrame({"prediction": pd.Series(texts, dtype="str")}), places], axis=1)

    def targets(self, y: Answers) -> pd.DataFrame:
        """Return the questions and their answers, as a JSON list of texts."""
        return pd.DataFrame(
            {
                "question": pd.Series(list(y.rows.questions), dtype="str"),
                "answers": pd.Series(
                    [json.dumps(texts, ensure_ascii=False) for texts in y.texts()], dtype="str"
                ),
            }
        )

    def judged(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return question, answers, prediction, its score and place, exact match and F1."""
        judged = pd.DataFrame(outputs[:, 1:3].double().numpy(), columns=["exact_match", "f1"])
        return pd.concat([self.targets(y), self.described(outputs, y.rows), judged], axis=1)

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore exact match and F1 `(N, 2)` from predictions and answers."""
        if not {"prediction", "answers"} <= set(table.columns):
            return None
        pairs = [
            (str(text), json.loads(answers))
            for text, answers in zip(table["prediction"], table["answers"], strict=True)
        ]
        values = [[exact_match(*pair), answer_f1(*pair)] for pair in pairs]
        return torch.tensor(values).reshape(-1, 2), torch.empty(len(table), 0), {}

    def describe(self) -> str:
        """Return a description such as `answers as spans of the context, at most 30 tokens long`."""
        none = ", or none" if self.unanswerable else ""
        return f"answers as spans of the context, at most {self.max_answer} tokens long{none}"

    def breakdown(self, outputs: Tensor, y: Answers) -> pd.DataFrame:
        """Return exact match and F1 by question word and by length of the first answer."""
        table = pd.DataFrame(outputs[:, 1:3].double().numpy(), columns=["exact_match", "f1"])
        first = [next(iter(texts), "") for texts in y.texts()]
        named = {"question": list(map(question_word, y.rows.questions)), "answer": list(map(_length, first))}
        order = {"question": [*_QUESTION_WORDS, "other"], "answer": [name for _, name in _LENGTHS] + ["none"]}
        lines = []
        for what, names in named.items():
            means = table.groupby(np.array(names)).agg(["mean", "size"])
            lines += [
                {
                    "by": what,
                    "class": name,
                    "f1": means.loc[name, ("f1", "mean")],
                    "exact_match": means.loc[name, ("exact_match", "mean")],
                    "rows": int(means.loc[name, ("f1", "size")]),
                }
                for name in order[what]
                if name in means.index
            ]
        return pd.DataFrame(lines)

    def cases(self, outputs: Tensor, y: Answers) -> Cases:
        """Return 1 - F1 of each question, grouped by question word and by lengths."""
        questions, contexts = zip(*y.rows, strict=True) if len(y) else ((), ())
        columns: dict[str, Sequence[object]] = {
            "question word": [question_word(question) for question in questions],
            "answer": [_length(texts[0]) if texts else "none" for texts in y.texts()],
            "words of the question": word_numbers(questions),
            "words of the context": word_numbers(contexts),
        }
        return cases_of_texts("1 - F1", "questions", 1 - outputs[:, 2].double().numpy(), columns)

    def worst(self, outputs: Tensor, y: Answers) -> list[tuple[int, str]]:
        """Return the questions in order of ascending F1; among equal ones, the most confident predictions first."""
        table = self.judged(outputs, y)
        order = np.lexsort((-table["score"].to_numpy(), table["f1"].to_numpy()))
        answers = y.texts()
        return [
            (
                int(row),
                f"{table['prediction'][row] or 'no answer'} (p={table['score'][row]:.2f}), not "
                f"{' or '.join(answers[row]) or 'no answer'}",
            )
            for row in order
            if table["f1"][row] < 1
        ]

    def pictures(self, outputs: Tensor, y: Answers) -> Iterator[tuple[str, Figure]]:
        """Yield F1 by question word and answer length, and F1 by the probability of the prediction."""
        from dlcli.reports import text_plots  # a prediction needs no matplotlib

        yield "answers", text_plots.scores_by_group(self.breakdown(outputs, y))
        yield "answer_scores", text_plots.f1_by_score(outputs[:, 2].numpy(), outputs[:, 3].numpy())


def question_word(question: str) -> str:
    """Return the first of the words who, what, when, ... of a question, or other."""
    words = normalized_answer(question).split()
    found = next((word for word in words if word in (*_QUESTION_WORDS, "whom", "whose")), "other")
    return "who" if found in ("whom", "whose") else found


def _length(answer: str) -> str:
    words = len(answer.split())
    return next(name for most, name in _LENGTHS if words <= most) if words else "none"


def _judged(spans: np.ndarray, records: np.ndarray) -> Tensor:
    """Return exact match and F1 `(N, 2)` of spans `(N, 2)`, given records of `Answers.records`, padded `(N, L)`."""
    values = []
    for (first, end), record in zip(spans.tolist(), records, strict=True):
        number = int(record[0])
        edges = record[1 : 1 + 2 * number].reshape(-1, 2).tolist()
        letters = record[1 + 2 * number :]

        def text(begin: int, stop: int, letters: np.ndarray = letters) -> str:
            return letters[begin:stop].astype("<i4").tobytes().decode("utf-32-le", "surrogatepass")

        answers = [text(*edge) for edge in edges]
        found = text(first, end) if first >= 0 else ""
        values.append([exact_match(found, answers), answer_f1(found, answers)])
    return torch.tensor(values).reshape(-1, 2)
