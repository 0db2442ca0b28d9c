"""Plots of sequence-to-sequence learning: metrics by length, and attention weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from dlcli.datasets.data import Data, take
from dlcli.inference.saved_model import SavedModel
from dlcli.preprocessing.pairs import PairSubwords
from dlcli.reports.style import DPI, FONT, INK, PALETTE, caption, label_axes, literal, new_figure, shorten
from dlcli.training.fields import as_fields

# Maximum number of rows with attention plots, and maximum number of tokens of source and target.
_ROWS, _TOKENS = 4, 24

_NAMES = {
    "bleu": "BLEU",
    "chrf": "chrF",
    "cer": "character error rate",
    "wer": "word error rate",
    "sequence_accuracy": "equal texts",
}


def scores_by_length(table: pd.DataFrame, lengths: str = "tokens of the target") -> Figure:
    """Plot the metrics of groups of rows by the length of their targets.

    Args:
        table: a line per group: the lengths, `rows`, and a column per metric.
        lengths: what the lengths are of, for the axis.
    """
    metrics = [name for name in _NAMES if name in table.columns] or ["loss"]
    figure, axes = new_figure(len(metrics), width=max(4.0, 3.2 * len(metrics)), height=3.2)
    for ax, name in zip(axes, metrics, strict=True):
        places = np.arange(len(table))
        ax.bar(places, table[name], color=PALETTE[0], width=0.7)
        ax.set_xticks(places, [str(text).replace(" to ", "-") for text in table.iloc[:, 0]])
        label_axes(ax, _NAMES.get(name, name), lengths, "")
    rows = ", ".join(f"{rows:,}" for rows in table["rows"])
    caption(figure, f"Rows of each group: {rows}.")
    return figure


@torch.no_grad()
def attention_figure(model: SavedModel, data: Data, rows: np.ndarray) -> Figure | None:
    """Plot the attention for the given targets of the first of some rows; None for a model without attention.

    Args:
        model: the trained model.
        data: rows of the dataset.
        rows: numbers of rows.
    """
    look: Any = getattr(model.network.model, "attention", None)
    if not callable(look) or not isinstance(model.preprocessing, PairSubwords):
        return None
    network: Any = model.network.model.cpu().eval()
    shown = _short(model.preprocessing, data, rows)
    weights = []
    for row in shown:
        batch = as_fields(model.preprocessing.transform(take(data.x, np.array([row]))))
        y = model.preprocessing.targets(data.y[np.array([row])])
        found = network.attention(batch["x"][:1], batch["lengths"][:1], y[:1])
        if found is None:
            return None
        sides = (model.preprocessing.source_subwords, model.preprocessing.target_subwords)
        tokens = [s.pieces(t[0].tolist()) for s, t in zip(sides, (batch["x"][:1], y[:1]), strict=True)]
        weights.append((found[0].numpy(), *tokens))
    if not weights:
        return None
    columns = min(2, len(weights))
    lines = -(-len(weights) // columns)
    figure = Figure(
        figsize=(4.6 * columns, 4.4 * lines + 0.4), dpi=DPI, layout="constrained", facecolor="white"
    )
    for place, (values, source, target) in enumerate(weights, start=1):
        ax = figure.add_subplot(lines, columns, place)
        ax.imshow(values, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        ax.set_xticks(range(len(source)), map(_label, source), rotation=90, fontsize=FONT["small"], color=INK)
        ax.set_yticks(range(len(target)), map(_label, target), fontsize=FONT["small"], color=INK)
    caption(
        figure,
        "Weight of each source token (columns) for each token of the given target (lines): black is 1. A blank before "
        "a word is shown as ·, the end as ■.",
    )
    return figure


def _short(preprocessing: PairSubwords, data: Data, rows: np.ndarray) -> list[int]:
    """Return the first rows with source and target short enough to be legible."""
    some = rows[: 16 * _ROWS]
    sources = preprocessing.transform(take(data.x, some))["lengths"].numpy()
    targets = preprocessing.targets(data.y[some]).lengths.numpy()
    longest = np.maximum(sources, targets)
    fitting = some[longest <= _TOKENS]
    return [int(row) for row in (fitting if len(fitting) else some[np.argsort(longest)[:1]])[:_ROWS]]


def _label(piece: str) -> str:
    return "■" if piece == "</s>" else literal(shorten(piece.replace(" ", "·"), 14))
