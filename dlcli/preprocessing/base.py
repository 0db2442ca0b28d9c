"""What every preprocessing can do."""

from __future__ import annotations

from typing import Any, Protocol, Self, runtime_checkable

from torch import nn

from dlcli.datasets.tables.columns import Kind


class Preprocessing(Protocol):
    """From raw rows to the fields of a batch.

    The two halves exist because memory and the device are scarce: `transform` gives compact arrays (bytes stay
    bytes), once; `on_device` finishes a batch where the model is. A scikit-learn estimator, so that skops saves it.
    """

    def fit(self, x: Any) -> Self:
        """Learn from the training rows, and only those."""

    def transform(self, x: Any) -> dict[str, Any]:
        """Raw rows to fields (`x`, ...), row by row: a row's result does not depend on its neighbours.

        Each is an array `(N, ...)`, or a `dlcli.training.fields.Field` where one block of memory does not do.
        """

    def facts(self) -> dict[str, Any]:
        """What else a model may ask for by name, such as `vocab_size`; plain types."""

    def on_device(self) -> nn.Module | None:
        """What remains to be done to `x` in each batch; a module without trainable parameters.

        Where it has a method `restore(outputs, x)`, that undoes in the outputs what was done to this `x`.
        """


@runtime_checkable
class HasVocabulary(Protocol):
    """A preprocessing that makes tokens."""

    def vocabulary(self) -> list[str]:
        """The tokens in the order of their numbers."""


@runtime_checkable
class NeedsColumns(Protocol):
    """A preprocessing of tables that knows, once it is fitted, what new rows have to bring."""

    def needed_columns(self) -> dict[str, Kind]:
        """The columns, and what they hold."""
