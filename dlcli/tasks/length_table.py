"""Metrics of generated texts by the length of their targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from dlcli.tasks.text_scores import score_of

# Number of groups of rows at most, and the fewest rows of a group.
_GROUPS, _FEWEST = 5, 10


def by_length(head: Tensor, counts: Tensor, metrics: Sequence[str]) -> pd.DataFrame:
    """Return a line for each group of rows whose targets have similar numbers of tokens.

    Args:
        head: sum of the tokens' losses and their number `(N, 2)`.
        counts: `text_counts` `(N, WIDTH)`.
        metrics: names of the metrics, of which those of texts get a column.
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
