"""The interface of all preprocessing classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self, runtime_checkable

from torch import nn

from dlcli.datasets.notices import Notice
from dlcli.datasets.reading.column import Kind


class Preprocessing(Protocol):
    """Converts raw rows to the fields of a batch, in two stages.

    `transform` converts all rows once to compact arrays (bytes stay bytes), which saves memory and transfers;
    `on_device` finishes each batch on the model's device. Implementations are scikit-learn estimators, so that skops
    can save them.
    """

    def fit(self, x: Any) -> Self:
        """Fit on the training rows only."""

    def transform(self, x: Any) -> dict[str, Any]:
        """Return the fields (`x`, ...) of raw rows; the result of a row does not depend on other rows.

        Each field is an array `(N, ...)`, or a `dlcli.training.fields.Field` if it is not one block of memory.
        """

    def facts(self) -> dict[str, Any]:
        """Return further facts that a model may ask for by name, such as `vocab_size`, in plain types."""

    def on_device(self) -> nn.Module | None:
        """Return a module without trainable parameters that is applied to `x` of each batch, or None.

        If it has a method `restore(outputs, x)`, that method reverts the effect of the transformation on the outputs.
        """


@runtime_checkable
class ReshapesRows(Protocol):
    """A preprocessing whose `on_device` changes the shape of rows, or makes several rows of one."""

    def facts_of_model(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of the rows that the model sees, from those of the rows of a batch."""


def facts_of_model(preprocessing: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that the model is built with: `input_shape`, `num_outputs` and others."""
    return preprocessing.facts_of_model(facts) if isinstance(preprocessing, ReshapesRows) else dict(facts)


@runtime_checkable
class HasNotices(Protocol):
    """A preprocessing that knows, after fitting, what it cuts or converts."""

    def notices(self) -> list[Notice]:
        """Return the notices about the training rows."""


@runtime_checkable
class CountsNewRows(Protocol):
    """A preprocessing that counts what it cuts or does not know in new rows."""

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts, which are added over pieces of the rows."""

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return the notices about new rows with these counts."""


def notices_of(preprocessing: Any) -> list[Notice]:
    """Return the notices about the training rows, if the preprocessing has any."""
    return preprocessing.notices() if isinstance(preprocessing, HasNotices) else []


@runtime_checkable
class HasVocabulary(Protocol):
    """A preprocessing that produces tokens."""

    def vocabulary(self) -> list[str]:
        """Return the tokens in the order of their numbers."""


@runtime_checkable
class NeedsColumns(Protocol):
    """A preprocessing of tables that knows, after fitting, which columns new rows must have."""

    def needed_columns(self) -> dict[str, Kind]:
        """Return the required columns and their kinds."""
