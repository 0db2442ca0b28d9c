"""Object detection: a box and a class for each object of an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from dlcli.datasets.boxes.boxes import Boxes
from dlcli.tasks.base import Task
from dlcli.tasks.box_cases import cases_of_boxes
from dlcli.tasks.box_files import boxes_text, matches_of, matches_text, placed_boxes, write_boxes
from dlcli.tasks.box_matching import DETECTION, LABEL, SCORE, matched_boxes, paired_detections
from dlcli.tasks.box_metrics import best_score, box_precision, curve
from dlcli.tasks.cases import Cases
from dlcli.tasks.metric_choice import MetricChoice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Number of pixels in an evaluation batch, which limits its memory.
_PIXELS = 1 << 20
# The score threshold if there are no validation rows to choose it on.
_THRESHOLD = 0.5


class Detection(Task):
    """Object detection. The model computes the loss from images and padded boxes `(N, T, 6)`.

    Outputs for new images are detections `(N, D, 6)`. If targets are known, loss and weight of each row precede them,
    `(N, 2 + D * 6)` (`dlcli.models.detections.with_loss`). Both are kept unchanged. Rows recorded by earlier versions
    have no weight, `(N, 1 + D * 6)`.

    Args:
        classes: names of the classes.
        class_counts: number of training boxes of each class.
        typical_boxes: typical boxes `(B, 6)` of training images with a score and a class, the baseline.
        score_threshold: minimum score of detections in tables and pictures; None chooses it on validation rows (the
            highest mean F1 score over classes, at an overlap of 0.5), or takes 0.5 if no detection there is correct.
            Average precision uses all detections.
        tuned_threshold: the threshold found by `tune`.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
    """

    kind: ClassVar = "detection"
    accepts: ClassVar = {"detection"}
    loss_of_model: ClassVar = True
    judges_training_rows: ClassVar = False  # in training, models compute no detections
    default_metrics = ("map_50", "map", "map_75")
    needs_targets = True

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        typical_boxes: Sequence[Sequence[float]],
        score_threshold: Annotated[float, Ge(0), Le(1)] | None = None,
        tuned_threshold: float | None = None,
        metrics: Sequence[str | MetricChoice] = ("default",),
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.num_outputs = len(self.classes)
        self.criterion = nn.Identity()  # the model's own
        self.finds_threshold = score_threshold is None
        self._is_found = tuned_threshold is not None
        given = next((value for value in (score_threshold, tuned_threshold) if value is not None), _THRESHOLD)
        self.score_threshold = float(given)
        self._typical = torch.tensor(typical_boxes, dtype=torch.float32).reshape(-1, DETECTION)
        self.choose(metrics)

    def encode(self, y: Any) -> Any:
        """Return the padded boxes `(N, T, 6)`."""
        return np.asarray(y)

    def step(self, network: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Any]:
        """Return the loss that the model computes, and the outputs."""
        outputs = network(batch)
        return self.kept_loss(outputs, batch["y"]), outputs

    def kept_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss over the objects or images, as the model computes it for a batch."""
        if _leading(outputs) == 1:
            return outputs[:, 0].mean()
        return outputs[:, 0].sum() / outputs[:, 1].sum().clamp_min(1)

    def loss_weight(self, outputs: Tensor, y: Tensor) -> float:
        """Return the number of objects or images that the loss is the mean of."""
        return len(outputs) if _leading(outputs) == 1 else float(outputs[:, 1].sum())

    def predicted(self, outputs: Tensor) -> Tensor:
        """Return the detections `(N, D, 6)`."""
        return outputs if outputs.ndim == 3 else _detections(outputs)

    def paired(self, found: Tensor, expected: Tensor) -> Tensor:
        """Return the detections of an exported program in the order of those of the model."""
        return paired_detections(found, expected)

    def rows_at_once(self, input_shape: Sequence[int]) -> int:
        """Return the number of rows with about a million pixels."""
        return max(1, _PIXELS // max(1, math.prod(input_shape[1:])))

    def output_shape(self, y: Tensor) -> tuple[int, ...]:
        """Return `(N, 2)`: loss and weight."""
        return len(y), 2

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the matches of detections, `(N, D, 4)` of `matched_boxes`, and the number of boxes of each
        class `(N, C)`."""
        there = (y[..., 4, None] == torch.arange(self.num_outputs, device=y.device)) & (y[..., 5, None] == 0)
        return matched_boxes(_detections(outputs), y), there.sum(dim=1)

    def metric_facts(self, *, tuned: bool = True) -> dict[str, Any]:
        """Return the arguments that metrics can take."""
        return {"task": "detection", "num_classes": self.num_outputs, "classes": self.classes}

    def baseline(self) -> tuple[Task, Tensor]:
        """Return the typical boxes of training images."""
        return self, torch.cat([torch.tensor([math.nan]), self._typical.flatten()])

    def baseline_descriptions(self) -> dict[str, str]:
        """Return a description of the baseline."""
        return {"": "the same boxes in every image, centres of clusters of the training boxes"}

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return the number of boxes of each class with scores above the threshold, and the boxes as JSON.

        A box is `[left, top, right, bottom, score, class]`, in shares of the image's sides.
        """
        sizes = np.ones((len(outputs), 2))
        return self._told(outputs, sizes)

    def described(self, outputs: Tensor, x: Any) -> pd.DataFrame:
        """Return the columns of `predictions` with boxes in pixels of the images' files."""
        return self._told(outputs, placed_boxes(x))

    def _told(self, outputs: Tensor, sizes: np.ndarray) -> pd.DataFrame:
        shown = (outputs[..., LABEL] >= 0) & (outputs[..., SCORE] >= self.score_threshold)
        columns: dict[str, Any] = {"objects": shown.sum(dim=1).numpy()}
        for code, name in enumerate(self.classes):
            columns[f"count({name})"] = (shown & (outputs[..., LABEL] == code)).sum(dim=1).numpy()
        texts = [
            boxes_text(own[keep].numpy(), size, self.classes)
            for own, keep, size in zip(outputs, shown, sizes, strict=True)
        ]
        return pd.DataFrame({**columns, "boxes": pd.Series(texts, dtype=object)})

    def write_files(self, folder: Path, names: Sequence[str], x: Any, outputs: Tensor) -> pd.DataFrame:
        """Write a picture of each image with its boxes, `detections.json` (COCO results) and `boxes.csv`."""
        return write_boxes(folder, names, x, outputs.numpy(), self.classes, self.score_threshold)

    def targets(self, y: Any) -> pd.DataFrame:
        """Return no columns; `judged` contains the boxes."""
        return pd.DataFrame(index=range(len(y)))

    def judged(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return the numbers of found, missed and wrong boxes of each image, and all boxes.

        `found`, `missed` and `wrong` are at the score threshold and an overlap of 0.5; `boxes(CLASS)` are the image's
        boxes of a class, `targets` and `predicted` all boxes as JSON, in pixels of the file. `matches` contains score,
        class and bit masks of `matched_boxes` of each detection, from which metrics are restored.
        """
        kept, counts = self.metric_inputs(outputs, torch.as_tensor(self.encode(y)))
        detections = _detections(outputs)
        sure = (kept[..., 1] >= 0) & (kept[..., 0] >= self.score_threshold) & (_bit(kept[..., 3]) == 0)
        right = (sure & (_bit(kept[..., 2]) == 1)).sum(dim=1)
        padded = np.asarray(y)
        table = {
            "found": right.numpy(),
            "missed": (counts.sum(dim=1) - right).numpy(),
            "wrong": (sure.sum(dim=1) - right).numpy(),
            **{f"boxes({name})": counts[:, code].numpy() for code, name in enumerate(self.classes)},
            "targets": [
                boxes_text(own[own[:, 4] >= 0], size, self.classes, has_scores=False)
                for own, size in zip(padded, y.sizes, strict=True)
            ],
            "predicted": [
                boxes_text(own[own[:, LABEL] >= 0].numpy(), size, self.classes)
                for own, size in zip(detections, y.sizes, strict=True)
            ],
            "matches": [matches_text(own.numpy()) for own in kept],
        }
        return pd.DataFrame(table)

    def cases(self, outputs: Tensor, y: Any) -> Cases:
        """Return for each box whether it is missed at the score threshold, grouped by class, size and number."""
        return cases_of_boxes(_detections(outputs), y, self.classes, self.score_threshold)

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore the matches of detections and the numbers of boxes."""
        counts = [f"boxes({name})" for name in self.classes]
        if not {*counts, "matches"} <= set(table.columns):
            return None
        found = matches_of(table["matches"].tolist())
        return torch.from_numpy(found), torch.tensor(table[counts].to_numpy(np.float64)), {}

    @property
    def tunes(self) -> bool:
        """Whether anything is to be tuned, by the settings or by `tune` of a derived class."""
        return self.finds_threshold or type(self).tune is not Detection.tune

    def tune(self, outputs: Tensor, y: Any) -> dict[str, Any]:
        """Return the score threshold with the highest mean F1 score over classes, if none is set."""
        if not self.finds_threshold:
            return {}
        kept, counts = self.metric_inputs(outputs, torch.as_tensor(self.encode(y)))
        found = best_score(_flat(kept), counts.sum(dim=0).numpy())
        return {} if found is None else {"tuned_threshold": found}

    def tuned(self) -> str:
        """Return a description of the chosen threshold."""
        return (
            ""
            if not self._is_found
            else f"score threshold {self.score_threshold:.2f} by F1 on validation rows"
        )

    def describe(self) -> str:
        """Return `detection, loss of the model`."""
        return "detection, loss of the model"

    def breakdown(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return average precision of each class, and precision and recall at the score threshold."""
        kept, counts = self.metric_inputs(outputs, torch.as_tensor(self.encode(y)))
        found, number = _flat(kept), counts.sum(dim=0).double().numpy()
        values = np.where(number[:, None] > 0, box_precision(found, number, tuple(range(10))), np.nan)
        sure = found[(found[:, 0] >= self.score_threshold) & (found[:, 3].astype(np.int64) & 1 == 0)]
        shown = np.bincount(sure[:, 1].astype(np.int64), minlength=self.num_outputs).astype(np.float64)
        right = np.bincount(
            sure[:, 1].astype(np.int64), weights=sure[:, 2].astype(np.int64) & 1, minlength=self.num_outputs
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            return pd.DataFrame(
                {
                    "class": self.classes,
                    "map_50": values[:, 0],
                    "map": values.mean(axis=1),
                    "map_75": values[:, 5],
                    "precision": right / shown,
                    "recall": right / number,
                    "boxes": number.astype(np.int64),
                }
            )

    def worst(self, outputs: Tensor, y: Any) -> list[tuple[int, str]]:
        """Return the images in descending order of the number of missed and wrong boxes."""
        table = self.judged(outputs, y)
        missed, wrong = table["missed"].to_numpy(), table["wrong"].to_numpy()
        order = np.argsort(-(missed + wrong), kind="stable")
        return [(int(row), f"{missed[row]} missed, {wrong[row]} wrong") for row in order]

    def pictures(self, outputs: Tensor, y: Any) -> Iterator[tuple[str, Figure]]:
        """Yield the curves of precision over recall, and the average precision of each class by overlap."""
        from dlcli.reports import box_plots  # a prediction needs no matplotlib

        kept, counts = self.metric_inputs(outputs, torch.as_tensor(self.encode(y)))
        found, number = _flat(kept), counts.sum(dim=0).double().numpy()
        ordered = found[np.argsort(-found[:, 0], kind="stable")]
        curves = []
        for code in range(self.num_outputs):
            own = ordered[ordered[:, 1] == code]
            hits, ignored = own[:, 2].astype(np.int64), own[:, 3].astype(np.int64)
            curves.append((*curve(hits, ignored, max(number[code], 1), 0), own[ignored & 1 == 0, 0]))
        values = box_precision(found, number, tuple(range(10)))
        yield (
            "precision_recall",
            box_plots.recall_curves(curves, values[:, 0], number, self.classes, self.score_threshold),
        )
        yield "precision_by_overlap", box_plots.precision_by_overlap(values, number, self.classes)

    def row_pictures(
        self, images: np.ndarray, y: Any, outputs: Callable[[], Tensor], captions: Sequence[str], of: int
    ) -> Figure:
        """Return the images with found, missed and wrong boxes."""
        from dlcli.reports import box_plots  # a prediction needs no matplotlib

        shown = slice(box_plots.MOST_IMAGES)
        boxes: Boxes = y[shown]
        detections = outputs()[shown]
        kept = matched_boxes(detections, torch.as_tensor(self.encode(boxes)))
        sure = (kept[..., 1] >= 0) & (kept[..., 0] >= self.score_threshold)
        note = (
            f"{len(boxes)} of {of:,} images, those with the most errors first, "
            f"at a score of {self.score_threshold:.2f}."
        )
        return box_plots.box_grid(
            images[shown], np.asarray(boxes), detections.numpy(), sure.numpy(), captions, self.classes, note
        )


def _leading(outputs: Tensor) -> int:
    """Return the number of values before the detections."""
    return outputs.shape[1] % DETECTION


def _detections(outputs: Tensor) -> Tensor:
    return outputs[:, _leading(outputs) :].unflatten(1, (-1, DETECTION))


def _bit(numbers: Tensor) -> Tensor:
    """Return whether the bit of overlap 0.5 is set."""
    return numbers.long() & 1


def _flat(kept: Tensor) -> np.ndarray:
    """Return the detections of all images without padding, `(M, 4)`."""
    found = kept.flatten(0, 1)
    flat: np.ndarray = found[found[:, 1] >= 0].double().cpu().numpy()
    return flat
