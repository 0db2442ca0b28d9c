"""Input layer of networks for tables: embeddings of numbers and categories."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from dlcli.models.layers import CategoryVectors
from dlcli.models.number_embeddings import NumberEmbedding, NumberVectors, Quantiles

# These are functions rather than a module, because saved weights are named `numbers` and `categories` in the model.


def table_inputs(
    input_shape: Sequence[int],
    cardinalities: Sequence[int],
    quantiles: Quantiles | None,
    numbers: NumberEmbedding,
    number_size: int,
    bins: int,
    frequency: float,
) -> tuple[NumberVectors | None, CategoryVectors | None, int]:
    """Return the embeddings of numbers and of categories (None if there are none), and the width of an embedded row.

    Args:
        input_shape: shape of one row of numbers.
        cardinalities: number of codes of each categorical column.
        quantiles: quantiles of each column over the training rows, see `NumberVectors`.
        numbers: the embedding of numbers.
        number_size: size of the embedding of a number.
        bins: number of bins of `piecewise`, and of frequencies of `periodic`.
        frequency: standard deviation of the initial frequencies.

    Raises:
        ValueError: numbers are to be embedded, but `quantiles` is None.
    """
    vectors = None if numbers == "plain" else NumberVectors(quantiles, numbers, number_size, bins, frequency)
    categories = CategoryVectors(cardinalities) if cardinalities else None
    width = vectors.width if vectors is not None else math.prod(input_shape)
    return vectors, categories, width + (categories.width if categories is not None else 0)


def embedded(
    x: Tensor, x_cat: Tensor | None, numbers: NumberVectors | None, categories: CategoryVectors | None
) -> Tensor:
    """Return rows `(N, width)` of numbers `(N, F)` and codes of categories `(N, K)`."""
    if numbers is not None:
        x = numbers(x)
    if categories is not None and x_cat is not None:
        x = categories(x, x_cat)
    return x
