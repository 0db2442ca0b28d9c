"""`Data`: the raw rows and targets that every dataset returns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from dlcli.config.target_kinds import TargetKind
from dlcli.datasets.array_targets import ClassCodes, kind_of_array
from dlcli.datasets.notices import Notice, doubts_of
from dlcli.datasets.reading.columns import Columns
from dlcli.datasets.target_rows import TargetRows
from dlcli.errors import Problem

Kind = Literal["table", "image", "sequence", "tokens", "audio", "questions", "words"]


@dataclass(frozen=True, eq=False)
class Data:
    """Raw rows and targets, before splitting and preprocessing.

    The type of `y` determines `target_kind`:

    - int64 codes `(N,)`, positions in `classes`: one class per row, binary if there are two classes;
    - integers 0 and 1 `(N, K)`: multilabel, where `classes` are the names of the K labels;
    - floats `(N,)` or `(N, K)` in the user's own unit: regression, where `targets` are the names of the K columns;
    - floats `(N, horizon, K)`, as `dlcli.datasets.windows.Windows`: a forecast;
    - integers `(N, H, W)`, an array or `dlcli.datasets.masks.class_maps.Masks`: segmentation, where each pixel is a
      position in `classes`, or 255 without a class;
    - a `dlcli.datasets.target_rows.TargetRows`: `dlcli.datasets.questions.answers.Answers`,
      `dlcli.datasets.words.word_tags.Tags`, `dlcli.datasets.boxes.boxes.Boxes`, `dlcli.datasets.pair_texts.PairTexts`,
      `dlcli.datasets.passages.Passages`.

    Attributes:
        name: name of the dataset.
        kind: kind of rows.
        x: one entry per row: a pandas DataFrame for tables, `dlcli.datasets.text_rows.Texts` for texts,
            `dlcli.datasets.audio.recordings.Recordings` for audio, `dlcli.datasets.questions.questions.Questions`,
            `dlcli.datasets.words.sentences.Sentences` for words, else an array;
            images are bytes `(N, H, W)` or `(N, H, W, C)`.
        y: the targets.
        classes: names of the classes or labels.
        source: origin of the rows, for messages.
        test_rows: indices of the dataset's own test set, which splits never use for training or validation.
        targets: names of the target columns of a regression or forecast.
        groups: group of each row, such as a patient or one of several series; rows of a group are kept together.
        times: time of each row, of any sortable type.
        order: meaning of `times`: `time`, if the model will be used on later rows, or `position` of rows in a text,
            whose parts are consecutive.
        parts: predefined split of each row: train, val and test, or fold numbers with -1 for rows that always train.
        note: how the rows are stored, for the panel.
        content: digest that replaces `x` in the fingerprint, for rows that may be in files or in memory.
        reach: for overlapping windows of a series, how far a row's target extends beyond its time (an integer). Such
            rows are split in time, or by groups if these are series, so that no target is in two parts.
        val_rows: indices of the dataset's own validation set. A hold-out validates on them; folds treat them as any
            other rows.
        warnings: peculiarities of the rows that are not errors, with their place in the file.
        notices: counts of what was left out or converted while reading; they are recorded.
        kinds: for images in files, number of images by kind of pixels; new images of other kinds are reported.
        columns: how the columns of a table are read, which is saved with the model.
    """

    name: str
    kind: Kind
    x: Any
    y: Any
    classes: tuple[str, ...] = ()
    source: str = ""
    test_rows: np.ndarray | None = None
    targets: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    parts: np.ndarray | None = None
    note: str = ""
    content: str = ""
    reach: int | None = None
    val_rows: np.ndarray | None = None
    warnings: tuple[Problem, ...] = ()
    notices: tuple[Notice, ...] = ()
    kinds: Mapping[str, int] = field(default_factory=dict)
    columns: Columns | None = None
    order: Literal["time", "position"] = "time"

    @property
    def told(self) -> tuple[Notice, ...]:
        """All notices about the reading, including doubts about it."""
        return (*self.notices, *doubts_of(self.warnings))

    def __post_init__(self) -> None:
        if isinstance(self.y, TargetRows):
            return
        if np.issubdtype(self.y.dtype, np.floating):
            self._check_names(
                self.targets, 1 if self.y.ndim == 1 else self.y.shape[-1], "one name per target column"
            )
        elif not np.issubdtype(self.y.dtype, np.integer):
            raise TypeError(f"targets must be int64 codes, 0/1 integers or floats, not {self.y.dtype}")
        elif self.y.ndim == 2:
            self._check_names(self.classes, self.y.shape[1], "one name per label")

    def _check_names(self, names: tuple[str, ...], columns: int, requirement: str) -> None:
        if len(names) != columns:
            raise ValueError(f"{self.name} needs {requirement}: {columns}, not {len(names)}")

    def __len__(self) -> int:
        return len(self.y)

    @property
    def target_kind(self) -> TargetKind:
        """Kind of the targets, which is also the name of the matching task."""
        return self.targets_of_kind.target_kind

    @property
    def targets_of_kind(self) -> TargetRows:
        """The targets, as the class of their kind."""
        return self.targets_of(slice(None))

    def targets_of(self, rows: slice | np.ndarray) -> TargetRows:
        """Return the targets of some rows, as the class of their kind."""
        y = self.y if isinstance(rows, slice) else self.y[rows]
        return y if isinstance(y, TargetRows) else kind_of_array(y, self.classes)

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the classes or labels, or of the target columns of numbers."""
        return self.classes or self.targets

    @property
    def strata(self) -> np.ndarray | None:
        """Class codes `(N,)` for stratified splits; None if rows do not have one class each."""
        return self.y if isinstance(self.targets_of_kind, ClassCodes) else None

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all raw values, targets and names; equal data have equal fingerprints."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((self.kind, self.classes, self.targets)).encode())
        digest.update(self.content.encode())
        own_val = () if self.val_rows is None else (self.val_rows,)
        for part in (None if self.content else self.x, self.y, self.test_rows, *own_val):
            _update(digest, part)
        return digest.hexdigest()

    @cached_property
    def fingerprint_of_x(self) -> str:
        """Digest of the raw values of all rows, without their targets."""
        digest = hashlib.blake2b(f"{self.kind} {self.content}".encode(), digest_size=16)
        _update(digest, None if self.content else self.x)
        return digest.hexdigest()


def take(x: Any, rows: Sequence[int] | np.ndarray) -> Any:
    """Return the given rows of raw data in this order."""
    return x.iloc[rows] if hasattr(x, "iloc") else x[rows]


def _update(digest: hashlib.blake2b, part: Any) -> None:
    if part is None:
        digest.update(b"none")
    elif hasattr(part, "pieces"):
        for piece in part.pieces():
            _update(digest, piece)
    elif isinstance(part, int | str | tuple):
        digest.update(repr(part).encode())
    elif hasattr(part, "iloc"):
        digest.update(repr(list(part.columns)).encode())
        digest.update(pd.util.hash_pandas_object(part, index=False).to_numpy().tobytes())
    else:
        array = np.ascontiguousarray(part)
        digest.update(repr((array.dtype.str, array.shape)).encode())
        digest.update(array.data.cast("B") if array.size else b"")
