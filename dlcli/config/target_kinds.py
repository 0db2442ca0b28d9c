"""The kinds of targets."""

from __future__ import annotations

from typing import Literal

TargetKind = Literal[
    "binary",
    "multiclass",
    "multilabel",
    "regression",
    "forecast",
    "segmentation",
    "answer_span",
    "tag",
    "detection",
    "seq2seq",
    "language_model",
    "masked_language_model",
    "ctc",
]

# The purpose of a task: a kind of targets, or the generation of images of given classes.
TaskKind = TargetKind | Literal["generate"]

# Kinds for which a model has one vector of outputs per row, whose length is determined by the task.
ONE_A_ROW = frozenset({"binary", "multiclass", "multilabel", "regression", "forecast"})


def linear_model(kind: str) -> str:
    """Return the option of the linear model for a kind of targets; empty if there is none."""
    if kind == "forecast":
        return "linear_forecast"
    return "linear" if kind in ONE_A_ROW else ""
