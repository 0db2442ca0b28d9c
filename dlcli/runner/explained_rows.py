"""Attributions of the worst and of typical predictions to pixels or words, for `dlcli explain`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlcli.datasets.data import Data, take
from dlcli.formatting import counted
from dlcli.inference.saved_model import SavedModel
from dlcli.reports.run_plots import as_bytes
from dlcli.reports.saliency_plots import SalientImage, saliency_figure
from dlcli.reports.style import save
from dlcli.tasks.base import Task
from dlcli.training.fields import as_fields

KINDS = {"image": "pixels", "tokens": "words"}

_SAMPLED = 1000  # rows among which typical ones are found
_GAP = 0.05  # of the difference of outputs, above which the user is warned
_INSTALL = "pip install captum"


@dataclass(frozen=True, eq=False)
class ExplainedRow:
    """Attributions of the prediction of a row.

    Attributes:
        row: Number of the row in the data.
        which: `worst` or `typical`.
        target: Its target, as the user wrote it.
        prediction: The prediction.
        output: The class, label or target whose output is attributed.
        difference: This output minus that for the baseline, in units of the model's output (logits of classes).
        gap: Difference between this and the sum of the attributions.
        words: For a text, its words and the characters between them, each with its attribution.
        statistics: For a text, properties of the whole text that the model reads, each with its attribution.
        pixels: For an image, the attribution of each pixel `(H, W)`.
        regions: For an image, Grad-CAM from 0 to 1 `(H, W)`; None for models that are not convolutional.
    """

    row: int
    which: str
    target: str
    prediction: str
    output: str
    difference: float
    gap: float
    words: tuple[tuple[str, float], ...] = ()
    pixels: np.ndarray | None = None
    regions: np.ndarray | None = None
    statistics: tuple[tuple[str, float], ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return the row without heat maps, as `--json` has it."""
        found = {name: value for name, value in vars(self).items() if name not in ("pixels", "regions")}
        return found | {name: [list(pair) for pair in found[name]] for name in ("words", "statistics")}


def explained_rows(
    parts: Sequence[tuple[SavedModel, np.ndarray]],
    data: Data,
    task: Task,
    outputs: Tensor,
    device: torch.device,
    examples: int,
) -> tuple[list[ExplainedRow], list[str]]:
    """Return the worst and typical rows, each explained by a model that was not trained on it, and sentences.

    Args:
        parts: Models, and the rows that each was not trained on.
        data: All rows, images or texts.
        task: The task that defines the units of the outputs.
        outputs: The outputs for all rows of the parts, one part after the other.
        device: Device on which gradients are computed.
        examples: Number of the worst, and of typical rows.
    """
    if not examples:
        return [], []
    try:
        # Imported late, since captum is an optional package.
        from dlcli.inference.saliency import output_of, saliency_of
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "captum":
            raise
        return [], [f"The {KINDS[data.kind]} that predictions depend on need captum: {_INSTALL}"]
    numbers = np.concatenate([own for _, own in parts])
    of_part = np.repeat(np.arange(len(parts)), [len(own) for _, own in parts])
    found: list[ExplainedRow] = []
    for which, position in _chosen(task, outputs, data.y[numbers], numbers, examples):
        row, own = int(numbers[position]), outputs[position : position + 1]
        output = output_of(task, own)
        try:
            one = saliency_of(parts[of_part[position]][0], take(data.x, np.array([row])), output, device)
        except ValueError as error:
            return [], [f"The {KINDS[data.kind]} that predictions depend on are not available: {error}."]
        target, predicted = task.targets(data.y[[row]]).iloc[0], task.predictions(own).iloc[0]
        found.append(
            ExplainedRow(
                row,
                which,
                ", ".join(_shown(value) for value in target),
                _predicted(predicted),
                output.name,
                one.difference,
                one.gap,
                one.words,
                one.pixels,
                one.regions,
                one.statistics,
            )
        )
    return found, _about(found, data.kind)


def draw_rows(rows: Sequence[ExplainedRow], data: Data, file: Path, about: str) -> bool:
    """Draw explained images with their heat maps; False if there are none."""
    shown = [one for one in rows if one.pixels is not None]
    if not shown:
        return False
    images = as_bytes(np.asarray(take(data.x, np.array([one.row for one in shown]))))
    drawn = [
        SalientImage(
            image,
            one.pixels if one.pixels is not None else np.zeros(image.shape[:2]),
            one.regions,
            f"row {one.row}: {one.target}, predicted {one.prediction}",
        )
        for image, one in zip(images, shown, strict=True)
    ]
    groups = [
        (f"{which.capitalize()} rows", [d for d, one in zip(drawn, shown, strict=True) if one.which == which])
        for which in ("worst", "typical")
    ]
    note = (
        "Second picture: integrated gradients; red pixels raise the output of the prediction, blue lower it."
    )
    if any(one.regions is not None for one in shown):
        note += " Third: Grad-CAM; the last convolution found most in bright regions."
    save(saliency_figure(groups, note), file, about)
    return True


def _chosen(task: Task, outputs: Tensor, y: Any, numbers: np.ndarray, examples: int) -> list[tuple[str, int]]:
    """Return positions of the worst and of typical rows: those with the median loss, of each class in turn."""
    taken: set[int] = set()
    chosen: list[tuple[str, int]] = []

    def take_first(which: str, positions: Sequence[int]) -> None:
        for position in positions:
            if sum(name == which for name, _ in chosen) < examples and int(numbers[position]) not in taken:
                taken.add(int(numbers[position]))
                chosen.append((which, int(position)))

    take_first("worst", [position for position, _ in task.worst(outputs, y)])
    some = np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), _SAMPLED)).astype(int))
    encoded = as_fields({"y": task.encode(y[some])})["y"][:]
    losses = np.array(
        [float(task.loss(outputs[p : p + 1], encoded[place : place + 1])) for place, p in enumerate(some)]
    )
    groups = np.asarray(y)[some] if task.kind in ("binary", "multiclass") else np.zeros(len(some), int)
    in_turn: list[tuple[int, int]] = []
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        near = own[np.argsort(np.abs(losses[own] - np.median(losses[own])), kind="stable")]
        in_turn += [(turn, int(some[place])) for turn, place in enumerate(near)]
    take_first("typical", [position for _, position in sorted(in_turn, key=lambda pair: pair[0])])
    return chosen


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _predicted(line: Any) -> str:
    """Return a prediction with its probability."""
    named = {str(name): value for name, value in line.items()}
    shown = ", ".join(_shown(value) for name, value in named.items() if name.startswith("prediction"))
    share = named.get(f"p({named.get('prediction')})")
    return f"{shown} ({share:.0%})" if share is not None else shown


def _about(rows: Sequence[ExplainedRow], kind: str) -> list[str]:
    if not rows:
        return ["No row is explained: there are no wrong or typical rows."]
    number = {which: sum(one.which == which for one in rows) for which in ("worst", "typical")}
    base = "the mean pixel of the training rows" if kind == "image" else "a text without its words"
    if any(one.statistics for one in rows):
        base += ", with the mean statistics of the training texts"
    told = [
        f"The predictions of the {number['worst']} worst and of {counted(number['typical'], 'typical row')} are "
        f"attributed to their {KINDS[kind]} by integrated gradients: the output of the prediction minus that for "
        f"{base}."
    ]
    if not number["worst"]:
        told.append("No prediction is wrong, so there are no worst rows.")
    if kind == "image" and any(one.regions is None for one in rows):
        told.append("Grad-CAM needs a convolutional network.")
    gaps = [abs(one.gap) / max(abs(one.difference), 1e-9) for one in rows]
    if (worst := max(gaps)) > _GAP and math.isfinite(worst):
        told.append(
            f"The attributions of {sum(gap > _GAP for gap in gaps)} of {len(rows)} rows have a sum that differs from "
            f"this difference by up to {worst:.0%}: they are approximate."
        )
    return told
