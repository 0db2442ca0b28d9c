"""Missed boxes of images, by class, size and number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlcli.datasets.boxes.boxes import BOTTOM, CODE, CROWD, LEFT, RIGHT, TOP, Boxes
from dlcli.tasks.box_matching import LABEL, SCORE, found_boxes
from dlcli.tasks.cases import Cases

_NOTE = "A box that the model invents is not a case: the table by class of dlcli report has the precision."


def cases_of_boxes(detections: Tensor, y: Boxes, classes: Sequence[str], least: float) -> Cases:
    """Return for each box whether no detection is correct at an overlap of 0.5; crowds are left out.

    Args:
        detections: detections in descending order of scores, `(N, D, 6)`.
        y: the boxes of the images.
        classes: names of the classes.
        least: minimum score of detections.
    """
    sure = detections.clone()
    sure[..., LABEL] = torch.where(sure[..., SCORE] >= least, sure[..., LABEL], -1)
    padded = np.asarray(y)
    is_found = found_boxes(sure, torch.as_tensor(padded)).numpy()
    there = (padded[..., CODE] >= 0) & (padded[..., CROWD] == 0)
    rows, places = np.nonzero(there)
    boxes = padded[rows, places]
    area = (boxes[:, RIGHT] - boxes[:, LEFT]) * (boxes[:, BOTTOM] - boxes[:, TOP])
    return Cases(
        "share of missed boxes",
        "boxes",
        rows,
        1.0 - is_found[rows, places],
        {
            "class": pd.Series(
                np.asarray(classes, dtype=object)[boxes[:, CODE].astype(np.int64)], dtype=object
            ),
            "share of the image": pd.Series(area.astype(np.float64)),
            "boxes of the image": pd.Series(there.sum(axis=1)[rows]),
        },
        _NOTE,
    )
