"""Interfaces of preprocessing classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

from torch import nn

from dlcli.datasets.notices import Notice
from dlcli.datasets.reading.column import Kind


class Preprocessing(Protocol):
    """Preprocessing of raw rows to the fields of a batch, in two stages.

    `transform` converts all rows once to compact arrays (bytes remain bytes), which saves memory and transfers;
    `on_device` completes each batch on the model's device. Implementations are scikit-learn estimators, so that skops
    can save them.
    """

    def fit(self, x: Any) -> Self:
        """Fit on the training rows only."""

    def transform(self, x: Any) -> dict[str, Any]:
        """Return the fields (`x`, ...) of raw rows; the result of a row does not depend on other rows.

        Each field is an array `(N, ...)`, or a `dlcli.training.fields.Field` if it is not one block of memory.
        """

    def facts(self) -> dict[str, Any]:
        """Return further facts, in plain types, that are arguments of models, such as `vocab_size`."""

    def on_device(self) -> nn.Module | None:
        """Return a module without trainable parameters that is applied to `x` of each batch, or None.

        If it has a method `restore(outputs, x)`, that method reverts the effect of the transformation on the outputs.
        """


@runtime_checkable
class ChecksRows(Protocol):
    """Preprocessing that can tell in little time whether it can be fitted on rows."""

    def check_rows(self, x: Any) -> None:
        """Raise an error of dlcli if `fit` would, for these raw training rows."""


@runtime_checkable
class ReshapesRows(Protocol):
    """Preprocessing whose `on_device` changes the shape of rows, or divides a row into several."""

    def facts_of_model(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of the model's input rows, from those of the rows of a batch."""


def facts_of_model(preprocessing: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that are arguments of the model: `input_shape`, `num_outputs` and others."""
    return preprocessing.facts_of_model(facts) if isinstance(preprocessing, ReshapesRows) else dict(facts)


@runtime_checkable
class HasNotices(Protocol):
    """Preprocessing with notices of truncated or converted training rows."""

    def notices(self) -> list[Notice]:
        """Return the notices about the training rows."""


@runtime_checkable
class CountsNewRows(Protocol):
    """Preprocessing that counts truncated and unknown values in new rows."""

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts, which are summed over pieces of the rows."""

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return the notices about new rows with these counts."""


def notices_of(preprocessing: Any) -> list[Notice]:
    """Return the notices about the training rows, if the preprocessing has any."""
    return preprocessing.notices() if isinstance(preprocessing, HasNotices) else []


@runtime_checkable
class HasVocabulary(Protocol):
    """Preprocessing that produces tokens."""

    def vocabulary(self) -> list[str]:
        """Return the tokens in order of their indices."""


@runtime_checkable
class NeedsColumns(Protocol):
    """Preprocessing of tables with columns that new rows must have."""

    def needed_columns(self) -> dict[str, Kind]:
        """Return the required columns and their kinds."""
