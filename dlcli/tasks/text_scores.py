"""Metrics of generated texts (BLEU, chrF, equality, missing ends), from counts that are summed over rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlcli.errors import ConfigError
from dlcli.tasks.metric import Metric

TextScoreKind = Literal["bleu", "chrf", "sequence_accuracy", "unfinished"]

# Number of counts per row for each metric: lengths, matches and totals of 1- to 4-grams; hypothesis, reference and
# matches of 1- to 6-grams of characters; whether the texts are equal, and 1; whether the text is truncated, and 1.
_WIDTHS: dict[TextScoreKind, int] = {"bleu": 10, "chrf": 18, "sequence_accuracy": 2, "unfinished": 2}
_SHARES = ("sequence_accuracy", "unfinished")
WIDTH = sum(_WIDTHS.values())


class TextScore(Metric):
    """A metric of generated texts with one reference each.

    Args:
        kind: `bleu`: corpus BLEU (Papineni et al., 2002) from 0 to 100 with sacreBLEU's tokenizer 13a (Post, 2018);
            `chrf`: F2 score of n-grams of characters, from 0 to 100 (Popović, 2015); `sequence_accuracy`: the share of
            texts that are equal to their reference; `unfinished`: the share of texts that were truncated at the maximum
            number of tokens.
    """

    plot_lower_bound = 0.0
    shares = "texts"
    counts: Tensor

    def __init__(self, kind: TextScoreKind) -> None:
        super().__init__()
        self.kind = kind
        self.higher_is_better = kind != "unfinished"
        self.plot_upper_bound = 1.0 if kind in _SHARES else 100.0
        if kind not in _SHARES:
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
    parts["sequence_accuracy"][:, 0] = torch.tensor(
        [text == reference for text, reference in zip(predicted, references, strict=True)]
    ).float()
    parts["unfinished"][:, 0] = torch.tensor(unfinished or [False] * len(predicted)).float()
    for name in _SHARES:
        parts[name][:, 1] = 1
    return found


def score_of(counts: Tensor, kind: TextScoreKind) -> float:
    """Return the metric of summed counts `(WIDTH,)`; NaN without rows."""
    start = list(_WIDTHS).index(kind)
    parts = counts.split(list(_WIDTHS.values()))
    own, rows = parts[start].tolist(), float(parts[-1][1])
    if not rows:
        return float("nan")
    if kind in _SHARES:
        return own[0] / own[1]
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


def by_length(head: Tensor, counts: Tensor, metrics: Sequence[str]) -> pd.DataFrame:
    """Return a line for each group of rows whose targets have similar numbers of tokens.

    Args:
        head: sum of the tokens' losses and their number `(N, 2)`.
        counts: `text_counts` `(N, WIDTH)`.
        metrics: names of the metrics; each metric of texts gets a column.
    """
    tokens = head[:, 1].numpy().astype(np.int64)
    groups = max(1, min(_GROUPS, len(tokens) // _FEWEST))
    shares = np.linspace(0, 1, groups + 1)[1:]
    borders = np.unique(np.quantile(tokens, shares, method="higher")).tolist() if len(tokens) else []
    lines, first = [], 0
    for last in borders:
        rows = np.flatnonzero((tokens > first) & (tokens <= last))
        shortest = int(tokens[rows].min())
        loss, count = head[rows].double().sum(dim=0).tolist()
        added = counts[rows].double().sum(dim=0)
        lines.append(
            {
                "tokens": f"{shortest} to {last}" if shortest < last else f"{last}",
                "rows": len(rows),
                "loss": loss / count,
                **{
                    name: score_of(added, name)
                    for name in ("bleu", "chrf", "sequence_accuracy")
                    if name in metrics
                },
            }
        )
        first = last
    return pd.DataFrame(lines)
