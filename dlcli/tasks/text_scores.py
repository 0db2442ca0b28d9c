"""Metrics of generated texts (BLEU, chrF, error rates, equality, missing ends), from counts summed over rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlcli.errors import ConfigError
from dlcli.statistics.edit_distance import edit_distances
from dlcli.tasks.metric import Metric

TextScoreKind = Literal["bleu", "chrf", "cer", "wer", "sequence_accuracy", "unfinished"]

# Number of counts per row for each metric: lengths, matches and totals of 1- to 4-grams; hypothesis, reference and
# matches of 1- to 6-grams of characters; edit distance and length in characters, and in words; whether the texts are
# equal, and 1; whether the text is truncated, and 1.
_WIDTHS: dict[TextScoreKind, int] = {
    "bleu": 10,
    "chrf": 18,
    "cer": 2,
    "wer": 2,
    "sequence_accuracy": 2,
    "unfinished": 2,
}
_ERRORS = ("cer", "wer")
_SHARES = ("sequence_accuracy", "unfinished")
WIDTH = sum(_WIDTHS.values())


class TextScore(Metric):
    """A metric of generated texts with one reference each.

    Args:
        kind: `bleu`: corpus BLEU (Papineni et al., 2002) from 0 to 100 with sacreBLEU's tokenizer 13a (Post, 2018);
            `chrf`: F2 score of n-grams of characters, from 0 to 100 (Popović, 2015); `cer` and `wer`: the number of
            characters and of words to insert, delete or replace, divided by that of the references, which may exceed 1;
            `sequence_accuracy`: the share of texts that are equal to their reference; `unfinished`: the share of texts
            that were truncated at the maximum number of tokens.
    """

    plot_lower_bound = 0.0
    shares = "texts"
    counts: Tensor

    def __init__(self, kind: TextScoreKind) -> None:
        super().__init__()
        self.kind = kind
        self.higher_is_better = kind not in (*_ERRORS, "unfinished")
        self.plot_upper_bound = None if kind in _ERRORS else 1.0 if kind in _SHARES else 100.0
        if kind in ("bleu", "chrf"):
            scorers()
        self.add_sum("counts", (WIDTH,))

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Add rows; `predicted` `(N, WIDTH)` are their `text_counts`, and y is not used."""
        self.counts = self.counts + predicted.double().sum(dim=0)

    def compute(self) -> Tensor:
        """Return the value; NaN without rows."""
        return torch.tensor(score_of(self.counts, self.kind), dtype=torch.float64)


def text_counts(
    predicted: Sequence[str],
    references: Sequence[str],
    kinds: Sequence[str],
    unfinished: Sequence[bool] | None = None,
) -> Tensor:
    """Return the counts of each row `(N, WIDTH)`; 0 for metrics that are not in `kinds`.

    `unfinished` marks truncated texts; None if there are none.
    """
    found = torch.zeros(len(predicted), WIDTH)
    if not len(predicted):
        return found
    parts = dict(zip(_WIDTHS, found.split(list(_WIDTHS.values()), dim=1), strict=True))
    made = scorers() if set(kinds) & {"bleu", "chrf"} else {}
    for kind in {"bleu", "chrf"} & set(kinds):
        counts = made[kind]._extract_corpus_statistics(list(predicted), [list(references)])
        parts[kind][:] = torch.tensor(counts)
    for name in set(_ERRORS) & set(kinds):
        pairs = [
            [text if name == "cer" else text.split() for text in texts] for texts in (predicted, references)
        ]
        parts[name][:, 0] = torch.from_numpy(edit_distances(pairs[0], pairs[1]))
        parts[name][:, 1] = torch.tensor([len(text) for text in pairs[1]])
    parts["sequence_accuracy"][:, 0] = torch.tensor(
        [text == reference for text, reference in zip(predicted, references, strict=True)]
    ).float()
    parts["unfinished"][:, 0] = torch.tensor(unfinished or [False] * len(predicted)).float()
    for name in _SHARES:
        parts[name][:, 1] = 1
    return found


def score_of(counts: Tensor, kind: TextScoreKind) -> float:
    """Return the metric of summed counts `(WIDTH,)`; NaN without rows, and error rates without references."""
    start = list(_WIDTHS).index(kind)
    parts = counts.split(list(_WIDTHS.values()))
    own, rows = parts[start].tolist(), float(parts[-1][1])
    if not rows:
        return float("nan")
    if kind in _SHARES or kind in _ERRORS:
        return float(own[0] / own[1]) if own[1] else float("nan")
    return float(scorers()[kind]._compute_score_from_stats([round(count) for count in own]).score)


def scorers() -> dict[str, Any]:
    """Return sacreBLEU's BLEU and chrF, whose methods for counts of rows are also used by its significance tests.

    Raises:
        ConfigError: sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise ConfigError(
            "bleu and chrf need sacrebleu, which is not installed",
            "task.metrics",
            "pip install sacrebleu, or choose task.metrics=[sequence_accuracy].",
        ) from error
    return {"bleu": BLEU(force=True), "chrf": CHRF()}


# Maximum number of groups of rows, and minimum number of rows of a group.
_GROUPS, _FEWEST = 5, 10


_SHOWN: tuple[TextScoreKind, ...] = ("bleu", "chrf", "cer", "wer", "sequence_accuracy")


def by_length(
    head: Tensor,
    counts: Tensor,
    metrics: Sequence[str],
    unit: str = "tokens",
    lengths: Tensor | None = None,
) -> pd.DataFrame:
    """Return a line for each group of rows whose targets have similar numbers of tokens.

    Args:
        head: sum of the tokens' losses and their number `(N, 2)`; 0 and 0 for rows without a loss.
        counts: `text_counts` `(N, WIDTH)`.
        metrics: names of the metrics; each metric of texts gets a column.
        unit: name of the column of lengths.
        lengths: lengths of the targets `(N,)`; None for the numbers in `head`.
    """
    tokens = (head[:, 1] if lengths is None else lengths).numpy().astype(np.int64)
    groups = max(1, min(_GROUPS, len(tokens) // _FEWEST))
    shares = np.linspace(0, 1, groups + 1)[1:]
    borders = np.unique(np.quantile(tokens, shares, method="higher")).tolist() if len(tokens) else []
    lines: list[dict[str, Any]] = []
    first = -1
    for last in borders:
        rows = np.flatnonzero((tokens > first) & (tokens <= last))
        shortest = int(tokens[rows].min())
        loss, count = head[rows].double().sum(dim=0).tolist()
        added = counts[rows].double().sum(dim=0)
        scores: dict[str, float] = {name: score_of(added, name) for name in _SHOWN if name in metrics}
        lines.append(
            {
                unit: f"{shortest} to {last}" if shortest < last else f"{last}",
                "rows": len(rows),
                "loss": loss / count if count else float("nan"),
                **scores,
            }
        )
        first = last
    return pd.DataFrame(lines)
