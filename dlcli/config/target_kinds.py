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
    "ctc",
]

# What a task is for: a kind of targets, or images to make of given classes.
TaskKind = TargetKind | Literal["generate"]

# Those for which a model has one vector of outputs per row, whose length is the task's.
ONE_A_ROW = frozenset({"binary", "multiclass", "multilabel", "regression", "forecast"})
