"""Errors by slice for tasks without a single predicted value per row: masks, boxes, sentences, and texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from dlcli.datasets.data import Data, take
from dlcli.inference.saved_model import SavedModel
from dlcli.runner.row_errors import columns_of_any, without_row_errors
from dlcli.statistics.slices import Slice, find_slices


@dataclass(frozen=True, eq=False)
class JudgedCases:
    """Slices of the errors of rows, or of their parts.

    Attributes:
        loss: Mean loss; for several models, the mean of their losses, weighted by their numbers of rows.
        error: Name of the error.
        slices: The slices.
        messages: Sentences for the user.
    """

    loss: float
    error: str
    slices: list[Slice]
    messages: list[str]


def judge_cases(
    parts: Sequence[tuple[SavedModel, np.ndarray]], data: Data, device: torch.device
) -> JudgedCases:
    """Return the slices of rows that are evaluated by the outputs that the task keeps.

    Args:
        parts: Models, and the rows that each was not trained on.
        data: All rows.
        device: Device of the forward passes.

    Raises:
        InputError: The task defines no errors.
    """
    losses: list[float] = []
    found = []
    for model, own in parts:
        y = data.y[own]
        kept, targets = model.kept_of(model.fields(take(data.x, own)), y, device)
        losses.append(float(model.task.kept_loss(kept, targets)))
        cases = model.task.cases(kept, y)
        if cases is None:
            raise without_row_errors(model.task)
        found.append(cases)
    loss = float(np.average(losses, weights=[len(own) for _, own in parts]))
    rows = np.concatenate([own[one.rows] for (_, own), one in zip(parts, found, strict=True)])
    errors = np.concatenate([one.errors for one in found])
    columns = {
        name: pd.concat([one.columns[name] for one in found], ignore_index=True) for name in found[0].columns
    }
    columns |= columns_of_any(data, rows)
    known = ~np.isnan(errors)
    numbers = rows[known]
    slices = find_slices(
        {name: values[known].reset_index(drop=True) for name, values in columns.items()},
        errors[known],
        None if len(np.unique(numbers)) == len(numbers) else numbers,
    )
    distinct = {int(row) for _, own in parts for row in own}
    messages = _about(found[0].are, len(numbers), len(np.unique(numbers)), len(distinct), int((~known).sum()))
    if len(parts) > 1:
        messages.append(
            "The loss is the mean of the losses of the models, weighted by their numbers of rows."
        )
    if not math.isfinite(loss):
        messages.append("The loss is undefined on these rows.")
    return JudgedCases(loss, found[0].error, slices, [*messages, *filter(None, [found[0].note])])


def _about(are: str, cases: int, judged: int, rows: int, undefined: int) -> list[str]:
    told = []
    if cases > judged:
        told.append(
            f"Errors are those of {cases:,} {are} in {judged:,} rows: slices count rows, and intervals allow for "
            "errors of a row that depend on each other."
        )
    if undefined:
        told.append(f"{undefined:,} {are} without a defined error are left out.")
    if judged < rows and not undefined:
        told.append(f"{rows - judged:,} of {rows:,} rows have none of the {are}, and are left out.")
    return told
