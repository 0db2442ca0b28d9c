"""Semantic segmentation: one class for each pixel of an image."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn

from dlcli.datasets.images.image_files import ImageFiles
from dlcli.datasets.masks.class_maps import IGNORED, Masks
from dlcli.preprocessing.file_images import FileMasks
from dlcli.tasks.base import Task
from dlcli.tasks.cases import Cases, cases_of_classes
from dlcli.tasks.logits import prior_logits
from dlcli.tasks.mask_boundaries import BOUNDARY_COUNTS, TOLERANCE, boundary_counts, boundary_f
from dlcli.tasks.mask_files import mask_addresses, write_masks
from dlcli.tasks.mask_metrics import counts_of, overlaps
from dlcli.tasks.metric_choice import MetricChoice
from dlcli.tasks.pixel_losses import UNKNOWN
from dlcli.tasks.tiles import random_crops, stitched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BOUNDARY = "boundary_f"

# Number of pixels in an evaluation batch: more take more memory, and longer once they leave the caches of a CPU.
_PIXELS = 1 << 18


class Segmentation(Task):
    """Semantic segmentation. Outputs are logits `(N, C, H, W)`, targets are codes `(N, H, W)`.

    For evaluation, `(1 + C * C,)` values per image are kept: the loss of its batch and its confusion matrix, with
    targets as rows; for the metric `boundary_f`, its `boundary_counts` follow, `(1 + C * C + 4 * C,)`. For new images
    the class of each pixel is kept, as bytes `(N, H, W)`.

    Args:
        classes: names of the classes.
        class_counts: number of training pixels of each class.
        loss: maps logits and codes (-100 for pixels without a class) to the mean loss.
        metrics: names of the metrics in report order, options of the group `metric`; `default` stands for those of the
            task.
        tile: side of squares in pixels: training draws one of each image in each epoch, and outputs of whole images are
            stitched from overlapping ones. None takes whole images.
        overlap: share of the side by which neighbouring tiles overlap at least.
    """

    kind: ClassVar = "segmentation"
    accepts: ClassVar = {"segmentation"}
    default_metrics = ("miou", "dice", "pixel_accuracy", "class_accuracy")

    def __init__(
        self,
        classes: Sequence[str],
        class_counts: Sequence[int],
        loss: nn.Module,
        metrics: Sequence[str | MetricChoice] = ("default",),
        tile: Annotated[int, Ge(16)] | None = None,
        overlap: Annotated[float, Ge(0), Lt(1)] = 0.25,
    ) -> None:
        super().__init__()
        self.tile = tile
        self.overlap = overlap
        self.classes = tuple(classes)
        self.num_outputs = len(self.classes)
        self.criterion = loss
        self._prior = prior_logits(torch.tensor(class_counts))
        self.choose(metrics)
        chosen = next((one for one in self.metric_choices if one.name == _BOUNDARY), None)
        # Distance of near boundaries, if they are counted.
        self._near = None if chosen is None else float(chosen.node.get("tolerance") or TOLERANCE)

    def encode(self, y: Any) -> Any:
        """Return the codes as bytes; codes in files are read batch by batch."""
        codes = y.codes if isinstance(y, Masks) else y
        return FileMasks(codes) if isinstance(codes, ImageFiles) else np.ascontiguousarray(codes, np.uint8)

    def step(self, network: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Any]:
        """Return the loss, and what is kept of the images or of their crops."""
        if self.tile is not None and "x" in batch:
            batch = random_crops(batch, self.tile)
        loss, outputs = super().step(network, batch)
        outputs, members = outputs.detach(), outputs.ndim > 4
        kept = self._kept(self.combined(outputs) if members else outputs, batch["y"], loss.detach())
        return loss, kept[:, None] if members else kept  # as the outputs of one member

    def evaluated(
        self,
        network: Any,
        batch: Mapping[str, Tensor],
        y: Tensor | None = None,
        metrics: Collection[str] | None = None,
    ) -> Any:
        """Return the logits of whole images, stitched from tiles if there is a size of tiles."""
        if self.tile is None or "x" not in batch:
            return network(batch)
        return stitched(network, batch, self.tile, self.overlap)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss, a scalar, of logits `(N, C, H, W)` and bytes `(N, H, W)`."""
        codes = y.long()
        return self.criterion(outputs, codes.masked_fill_(codes == IGNORED, UNKNOWN))

    def kept(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is kept of each row (see the class), and empty targets `(N, 0)`."""
        if outputs.ndim > 2:  # not of training steps, which keep as much
            outputs = self._kept(outputs, y, self.loss(outputs.float(), y))
        return outputs, y.new_zeros(len(y), 0)

    def _kept(self, outputs: Tensor, y: Tensor, loss: Tensor) -> Tensor:
        rows, classes = outputs.shape[:2]
        outputs = outputs.float()
        # Pixels without a class are counted in a separate row, which is dropped.
        line = torch.where(y == IGNORED, classes, y.long()).flatten(1)
        predicted = outputs.max(dim=1).indices  # on a CPU four times as fast as `argmax`
        places = line * classes + predicted.flatten(1)
        counts = outputs.new_zeros(rows, (classes + 1) * classes)
        counts.scatter_add_(1, places, counts.new_ones(1, 1).expand_as(places))
        parts = [loss.expand(rows, 1).to(outputs.dtype), counts[:, : classes * classes]]
        if self._near is not None:
            parts.append(boundary_counts(predicted, y, classes, self._near).flatten(1).to(outputs.dtype))
        return torch.cat(parts, dim=1)

    def kept_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean of the losses of the rows' batches."""
        return outputs[:, 0].mean()

    def predicted(self, outputs: Tensor) -> Tensor:
        """Return the class of each pixel, bytes `(N, H, W)`."""
        return outputs.argmax(dim=1).byte()

    def rows_at_once(self, input_shape: Sequence[int]) -> int:
        """Return the number of rows with about a quarter of a million pixels."""
        return max(1, _PIXELS // max(1, math.prod(input_shape[1:])))

    def output_shape(self, y: Tensor) -> tuple[int, ...]:
        """Return `(N, C, H, W)`."""
        return len(y), self.num_outputs, *y.shape[1:]

    def metric_inputs(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return true, predicted and correct numbers of pixels of each class, `(N, 3, C)`.

        If boundaries are counted, their four numbers follow, `(N, 7, C)`.
        """
        counts = counts_of(self._confusions(outputs))
        return (counts if self._near is None else torch.cat([counts, self._boundaries(outputs)], dim=1)), y

    def metric_facts(self, *, tuned: bool = True) -> dict[str, Any]:
        """Return the arguments that metrics can take."""
        return {"task": "segmentation", "num_classes": self.num_outputs, "classes": self.classes}

    def baseline(self) -> tuple[Task, Tensor]:
        """Return the classes' shares of the training pixels, which predict the most frequent class everywhere."""
        return self, self._prior

    def baselines(self, x: Any, kept: Tensor | None = None, y: Any = None) -> dict[str, tuple[Task, Tensor]]:
        """Return the kept values for constant outputs, which predict the most frequent class."""
        if kept is None:
            raise TypeError("the baseline of masks needs what is kept of a model's outputs")
        there = self._confusions(kept).sum(dim=2)
        constant = torch.zeros(len(there), self.num_outputs, self.num_outputs)
        constant[:, :, int(self._prior.argmax())] = there
        parts = [self._constant_loss(there)[:, None], constant.flatten(1)]
        if self._near is not None:  # constant predictions have no boundary
            boundaries = torch.zeros(len(there), len(BOUNDARY_COUNTS), self.num_outputs)
            boundaries[:, 2] = self._boundaries(kept)[:, 2]
            parts.append(boundaries.flatten(1))
        return {"": (self, torch.cat(parts, dim=1))}

    def _constant_loss(self, there: Tensor) -> Tensor:
        """Return the loss `(N,)` of predicting the classes' shares for numbers of pixels `(N, C)`; NaN for a
        user's loss."""
        rows, classes = there.shape
        if "pixels" not in inspect.signature(self.criterion.forward).parameters:
            return there.new_full((rows,), math.nan)
        logits = self._prior[None, :, None].expand(rows, classes, classes)
        codes = torch.arange(classes).expand(rows, classes)
        loss: Tensor = self.criterion(logits, codes, there)
        return loss.expand(rows)

    def predictions(self, outputs: Tensor) -> pd.DataFrame:
        """Return a column `share(CLASS)` for each class: its share of the pixels."""
        codes = outputs.flatten(1).long()
        counts = torch.zeros(len(codes), self.num_outputs).scatter_add_(1, codes, torch.ones(codes.shape))
        shares = (counts / max(1, codes.shape[1])).numpy()
        return pd.DataFrame(shares, columns=[f"share({name})" for name in self.classes])

    def write_files(self, folder: Path, names: Sequence[str], x: Any, outputs: Tensor) -> pd.DataFrame:
        """Write a mask and an overlay of each image, and the classes' names; return columns with their files."""
        return write_masks(folder, names, x, outputs.numpy(), self.classes)

    def answered(self, outputs: Tensor, x: Any) -> pd.DataFrame:
        """Return the column `mask`, the address of a PNG of the class codes with a palette."""
        return pd.DataFrame({"mask": mask_addresses(x, outputs.numpy(), self.num_outputs)})

    def targets(self, y: Any) -> pd.DataFrame:
        """Return no columns; `judged` contains the numbers of pixels."""
        return pd.DataFrame(index=range(len(y)))

    def judged(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return IoU (mean over the image's classes), accuracy, and three numbers of pixels per class.

        `pixels(CLASS)` is the number of true, `predicted(CLASS)` of predicted, and `right(CLASS)` of correct pixels.
        """
        counts = counts_of(self._confusions(outputs)).double()
        there, predicted, right = counts.unbind(dim=1)
        table = pd.DataFrame(
            {
                "iou": overlaps(there, predicted, right).nanmean(dim=1).numpy(),
                "pixel_accuracy": (right.sum(dim=1) / there.sum(dim=1)).numpy(),
            }
        )
        named = {"pixels": there, "predicted": predicted, "right": right}
        columns = {
            f"{what}({name})": values[:, code].numpy().astype(np.int64)
            for code, name in enumerate(self.classes)
            for what, values in named.items()
        }
        if self._near is not None:
            numbers = self._boundaries(outputs).numpy().astype(np.int64)
            columns |= {
                f"{what}({name})": numbers[:, place, code]
                for code, name in enumerate(self.classes)
                for place, what in enumerate(BOUNDARY_COUNTS)
            }
        return pd.concat([table, pd.DataFrame(columns)], axis=1)

    def cases(self, outputs: Tensor, y: Any) -> Cases:
        """Return 1 - IoU of each class of each image, grouped by class and share of the image."""
        there, predicted, right = counts_of(self._confusions(outputs)).double().unbind(dim=1)
        share = (there / there.sum(dim=1, keepdim=True)).numpy()
        scores = overlaps(there, predicted, right).numpy()
        return cases_of_classes(
            "1 - IoU", "classes of images", scores, self.classes, {"share of the image": share}
        )

    def metric_inputs_of(self, table: pd.DataFrame) -> tuple[Tensor, Tensor, dict[str, Tensor]] | None:
        """Restore the numbers of pixels `(N, 3, C)` or `(N, 7, C)`."""
        kinds = ("pixels", "predicted", "right", *(() if self._near is None else BOUNDARY_COUNTS))
        columns = [[f"{what}({name})" for name in self.classes] for what in kinds]
        if not {name for names in columns for name in names} <= set(table.columns):
            return None
        counts = np.stack([table[names].to_numpy(np.float64) for names in columns], axis=1)
        return torch.from_numpy(counts), torch.empty(len(table), 0), {}

    def describe(self) -> str:
        """Return a description such as `segmentation, loss PixelCrossEntropy, crops and tiles of 256 pixels`."""
        tiles = f", crops and tiles of {self.tile} pixels" if self.tile else ""
        return f"segmentation, loss {type(self.criterion).__name__}{tiles}"

    def breakdown(self, outputs: Tensor, y: Any) -> pd.DataFrame:
        """Return IoU, Dice, precision, recall and the share of the pixels of each class."""
        there, predicted, right = counts_of(self._confusions(outputs)).double().sum(dim=0)
        return pd.DataFrame(
            {
                "class": self.classes,
                "iou": overlaps(there, predicted, right).numpy(),
                "dice": overlaps(there, predicted, right, "dice").numpy(),
                "precision": (right / predicted).numpy(),
                "recall": (right / there).numpy(),
                **(
                    {}
                    if self._near is None
                    else {_BOUNDARY: boundary_f(self._boundaries(outputs).double().sum(dim=0)).numpy()}
                ),
                "share": (there / there.sum()).numpy(),
            }
        )

    def worst(self, outputs: Tensor, y: Any) -> list[tuple[int, str]]:
        """Return the images in ascending order of IoU."""
        iou = self.judged(outputs, y)["iou"].to_numpy()
        order = np.argsort(iou, kind="stable")
        return [(int(row), f"IoU {iou[row]:.2f}") for row in order if not math.isnan(iou[row])]

    def pictures(self, outputs: Tensor, y: Any) -> Iterator[tuple[str, Figure]]:
        """Yield the IoU of each class, and the confusion matrix of pixels."""
        from dlcli.reports import mask_plots  # a prediction needs no matplotlib

        confusion = self._confusions(outputs).double().sum(dim=0).numpy()
        yield "iou", mask_plots.iou_of_classes(confusion, self.classes)
        yield (
            "confusion_matrix",
            mask_plots.share_confusion(confusion, self.classes, "Pixels of each class, in percent"),
        )

    def row_pictures(
        self, images: np.ndarray, y: Any, outputs: Callable[[], Tensor], captions: Sequence[str], of: int
    ) -> Figure:
        """Return the images next to their true and predicted masks."""
        from dlcli.reports import mask_plots  # a prediction needs no matplotlib

        shown = slice(mask_plots.MOST_MASKS)
        note = f"{len(images[shown])} of {of:,} images, those with the lowest IoU first."
        predicted = outputs()[shown].numpy()
        return mask_plots.mask_grid(
            images[shown], np.asarray(y[shown]), predicted, captions, self.classes, note
        )

    def _confusions(self, kept: Tensor) -> Tensor:
        """Return the confusion matrices `(N, C, C)`."""
        end = 1 + self.num_outputs**2
        return kept[:, 1:end].unflatten(1, (self.num_outputs, self.num_outputs))

    def _boundaries(self, kept: Tensor) -> Tensor:
        """Return the `boundary_counts` `(N, 4, C)`."""
        return kept[:, 1 + self.num_outputs**2 :].unflatten(1, (len(BOUNDARY_COUNTS), self.num_outputs))
