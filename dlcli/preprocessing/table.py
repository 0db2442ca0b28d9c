"""Preprocessing of tables with columns of numbers, booleans, categories and dates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from dlcli.config.pasted import pasted
from dlcli.datasets.notices import Notice
from dlcli.datasets.reading.column import Kind, Place
from dlcli.datasets.tables.typed_frames import as_dates, as_numbers, coded_categories, named
from dlcli.errors import DataError
from dlcli.preprocessing.columns.categories import Categories, Coded, Encoding, MissingName, Rare
from dlcli.preprocessing.columns.dates import DateParts
from dlcli.preprocessing.columns.numbers import Numbers, Scaling
from dlcli.preprocessing.columns.outliers import Clip, Rule
from dlcli.preprocessing.columns.some_rows import NumericColumns, SomeRows, kinds_are_read, placed_from
from dlcli.preprocessing.columns.texts import Directions, TextDirections, has_texts
from dlcli.preprocessing.new_row_checks import select_columns

# Number of rows transformed at a time.
_ROWS = 1 << 14


class Table(BaseEstimator):
    """Conversion of columns to `x` `(N, F)`, float32, and with `categorical=embedding` to `x_cat` `(N, K)`, int64.

    The kind of a column is determined when its file is read, or by its type in the fitted rows. Columns of texts
    without blanks, such as identifiers, are left out unless the user declares them as texts, as are columns without
    values in the fitted rows. `x` consists of numbers and booleans, the parts of dates, the directions of texts,
    indicators of missing values, and the encoded categories.

    Args:
        scaling: scaling of numbers: `standard` (mean 0, deviation 1), `min_max` (range 0 to 1), `robust` (by median and
            quartiles), `quantile` (to a normal distribution), `center` (by the median, so that large numbers with small
            differences remain distinct in single precision) or `none`.
        missing: replacement of missing numbers. `drop` drops training rows with any missing value, and fills other rows
            with the median. `keep` leaves NaN, for models that accept it.
        missing_value: replacement for `missing=constant`.
        missing_indicator: add a column of 0 and 1 that marks missing numbers.
        missing_category: replacement of missing categories: a separate category (`own`), the most frequent one, or a
            constant.
        missing_category_value: replacement for `missing_category=constant`.
        duplicates: `drop` drops training rows that repeat another one, including the target.
        outliers: `clip` clips numbers to bounds computed on the training rows; `drop` drops training rows with a value
            outside the bounds.
        outlier_rule: bounds in interquartile ranges beyond the quartiles, or in deviations from the mean.
        outlier_limit: number of ranges or deviations; None takes 1.5 ranges or 3 deviations.
        categorical: encoding of categories: `one_hot`, `ordinal` (position in the sorted names), or `embedding` (codes
            that the model embeds).
        rare: categories with a smaller share of the training rows are merged into one.
        dates: `parts` (year, month, day, weekday, hour, ..., those that vary), or `drop`.
        texts: `words` (latent semantic analysis of the words), or `drop`, the behaviour of earlier versions, whose
            configurations lack this key.
        text_directions: maximum number of columns by which a column of texts is replaced.
    """

    # Default of earlier versions, which left texts out.
    texts: Literal["words", "drop"] = "drop"
    text_directions: int = 32
    texts_: Mapping[str, TextDirections] = MappingProxyType({})

    def __init__(
        self,
        scaling: Scaling = "standard",
        missing: Literal["mean", "median", "most_frequent", "constant", "drop", "keep"] = "median",
        missing_value: float = 0.0,
        missing_indicator: bool = False,
        missing_category: MissingName = "own",
        missing_category_value: str = "missing",
        duplicates: Literal["keep", "drop"] = "keep",
        outliers: Literal["none", "clip", "drop"] = "none",
        outlier_rule: Rule = "iqr",
        outlier_limit: float | None = None,
        categorical: Encoding = "one_hot",
        rare: Rare = 0.0,
        dates: Literal["parts", "drop"] = "parts",
        texts: Literal["words", "drop"] = "drop",
        text_directions: Directions = 32,
    ) -> None:
        self.scaling = scaling
        self.missing = missing
        self.missing_value = missing_value
        self.missing_indicator = missing_indicator
        self.missing_category = missing_category
        self.missing_category_value = missing_category_value
        self.duplicates = duplicates
        self.outliers = outliers
        self.outlier_rule = outlier_rule
        self.outlier_limit = outlier_limit
        self.categorical = categorical
        self.rare = rare
        self.dates = dates
        self.texts = texts
        self.text_directions = text_directions

    @property
    def drops_rows(self) -> bool:
        """Whether the settings drop training rows."""
        return "drop" in (self.duplicates, self.missing, self.outliers)

    def kept_rows(self, x: pd.DataFrame, y: np.ndarray) -> np.ndarray:
        """Return a mask `(N,)` of the training rows to keep, without the duplicates, missing values and
        outliers to be dropped."""
        kept = np.ones(len(x), dtype=bool)
        table = SomeRows(x)
        kinds = table.kinds
        if self.duplicates == "drop":
            targets = pd.DataFrame(y.reshape(len(y), -1), index=x.index).add_prefix("\0")
            kept &= ~pd.concat([x, targets], axis=1).duplicated().to_numpy()
        if self.missing == "drop":
            read = [name for name in x.columns if kinds[str(name)] != "text" or self._takes(table, str(name))]
            used = [name for name in read if x[name].notna().any()]
            kept &= x[used].notna().all(axis=1).to_numpy()
        numeric = [name for name in x.columns if kinds[str(name)] == "numeric"]
        if self.outliers == "drop" and numeric and kept.any():
            values = x[numeric].to_numpy(dtype=np.float64, na_value=np.nan)
            bounds = Clip(self.outlier_rule, self.outlier_limit).fit(values[kept])
            kept &= ~bounds.outside(values)
        return kept

    def fit(self, x: pd.DataFrame) -> Self:
        """Determine the kind of each column, and fit its transformation.

        Raises:
            DataError: no usable column is left.
        """
        return self._fit(SomeRows(x))

    def fit_on(
        self, x: pd.DataFrame, rows: np.ndarray, texts: Mapping[str, TextDirections] = MappingProxyType({})
    ) -> Self:
        """Fit on the rows with these indices; the columns of a large table are copied one at a time.

        Args:
            x: the table.
            rows: numbers of the rows.
            texts: fitted columns of texts of another table with the same rows, which are not fitted again.

        Raises:
            DataError: no usable column is left.
        """
        # The kinds of tables that are not from files are determined by the fitted rows.
        return self._fit(SomeRows(x, rows) if kinds_are_read(x) else SomeRows(x.iloc[rows]), texts)

    def _fit(self, x: SomeRows, texts: Mapping[str, TextDirections] = MappingProxyType({})) -> Self:
        self.left_out_ = {name: why for name, why in self._unused(x) if name not in texts}
        used = {name: kind for name, kind in x.kinds.items() if name not in self.left_out_}
        if not used:
            culprits = ", ".join(f"{name} ({why})" for name, why in list(self.left_out_.items())[:8])
            example = {next(iter(self.left_out_), "NAME"): "categorical"}
            raise DataError(
                f"all columns are left out: {culprits}",
                "preprocessing",
                f"Set dataset.types for columns that are not texts, such as {pasted('dataset.types', example)}; use "
                "dataset=text for a column of texts alone, and preprocessing.dates=parts for dates.",
            )
        self.numeric_ = [name for name, kind in used.items() if kind in ("numeric", "boolean")]
        self.categories_ = [name for name, kind in used.items() if kind == "categorical"]
        self.columns_ = list(used)
        self.dates_ = {name: DateParts().fit(x[name]) for name, kind in used.items() if kind == "date"}
        worded = [name for name, kind in used.items() if kind == "text"]
        self.texts_ = {
            name: texts[name] if name in texts else TextDirections(self.text_directions).fit(x[name])
            for name in worded
        }
        self.numbers_ = Numbers(
            self.scaling,
            "median" if self.missing == "drop" else self.missing,
            self.missing_value,
            self.missing_indicator,
            Clip(self.outlier_rule, self.outlier_limit) if self.outliers == "clip" else None,
        ).fit(NumericColumns(x, self.numeric_, self.dates_, self.texts_))
        if self.categories_:
            self.encoder_ = Categories(
                self.categorical, self.rare, self.missing_category, self.missing_category_value
            ).fit([Coded(*coded_categories(x[name])) for name in self.categories_])
        self.rows_seen_ = len(x)
        return self

    def _unused(self, x: SomeRows) -> Iterator[tuple[str, str]]:
        """Yield the columns that are left out, with the reasons."""
        for name, kind in x.kinds.items():
            if kind == "text" and not x.is_empty(name) and not self._takes(x, name):
                yield name, "text" if self.texts == "drop" else "identifier"
            elif kind == "date" and self.dates == "drop":
                yield name, "date"
            elif x.is_empty(name):
                yield name, "empty in the training rows"

    def _takes(self, x: SomeRows, name: str) -> bool:
        """Return whether a column of texts is used; for a table from a file, this depends on all of its rows."""
        if self.texts == "drop":
            return False
        return x.texts[name] if name in x.texts else has_texts(x[name])

    def transform(self, x: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return the fields of the rows; columns may be in any order, and those that were not fitted are ignored.

        Raises:
            DataError: there are no rows, a column is missing, or a value does not have its column's kind.
        """
        if not len(x):
            raise DataError("there are no rows")
        x = self._known(x)
        fields: dict[str, np.ndarray] = {}
        for first in range(0, len(x), _ROWS):
            for name, values in self._transformed(x.iloc[first : first + _ROWS], first).items():
                if name not in fields:
                    fields[name] = np.empty((len(x), *values.shape[1:]), dtype=values.dtype)
                fields[name][first : first + _ROWS] = values
        return fields

    def needed_columns(self) -> dict[str, Kind]:
        """Return the fitted columns and their kinds; booleans count as numbers."""
        kinds: dict[str, Kind] = dict.fromkeys(self.columns_, "numeric")
        kinds = kinds | dict.fromkeys(self.categories_, "categorical") | dict.fromkeys(self.dates_, "date")
        texts: dict[str, Kind] = dict.fromkeys(self.texts_, "text")
        return kinds | texts

    def facts(self) -> dict[str, Any]:
        """Return `cardinalities`, the number of codes of each column of `x_cat`; empty without `x_cat`."""
        embeds = self.categories_ and self.categorical == "embedding"
        return {"cardinalities": self.encoder_.cardinalities if embeds else []}

    def spread_columns(self) -> dict[str, int]:
        """Return categorical column to the number of columns of `x` that encode it; {} if each is encoded by one."""
        if not self.categories_ or self.categorical != "one_hot":
            return {}
        return {
            name: size - 1 for name, size in zip(self.categories_, self.encoder_.cardinalities, strict=True)
        }

    def on_device(self) -> None:
        """Return None: batches need no further transformation."""

    def _known(self, x: pd.DataFrame) -> pd.DataFrame:
        """Return the fitted columns; unnamed columns (of an array) are in the order of the fitted table."""
        # An index that is not 0, 1, 2, ..., such as that of a selection (2, 0), contains names, not positions.
        if isinstance(x.columns, pd.RangeIndex) and x.columns.equals(pd.RangeIndex(len(self.columns_))):
            x = x.set_axis(self.columns_, axis=1)
        return select_columns(named(x, self.columns_), self.columns_)

    def _transformed(self, x: pd.DataFrame, first: int) -> dict[str, np.ndarray]:
        place = placed_from(first)
        columns = [as_numbers(x[name], place) for name in self.numeric_] + self._parts_of(x, first)
        numbers = np.stack(columns, axis=1) if columns else np.empty((len(x), 0))
        with np.errstate(over="ignore"):
            scaled = self.numbers_.transform(numbers)
        self._check_scaled(scaled, numbers, place)
        if not self.categories_:
            return {"x": scaled}
        encoded = self.encoder_.transform(self._names_of(x))
        if self.categorical == "embedding":
            return {"x": scaled, "x_cat": encoded}
        return {"x": np.concatenate([scaled, encoded], axis=1)}

    def _check_scaled(self, scaled: np.ndarray, numbers: np.ndarray, place: Place) -> None:
        """Raise an error for a number that is infinite when it is scaled."""
        is_wrong = ~np.isfinite(scaled)
        if self.missing == "keep":
            is_wrong[:, : numbers.shape[1]] &= ~np.isnan(numbers)
        wrong = np.argwhere(is_wrong)
        if len(wrong):
            row, column = map(int, wrong[0])
            name = self.numeric_[column] if column < len(self.numeric_) else ""
            raise DataError(
                f"{numbers[row, column]:g} is too far from the training rows to be scaled",
                place(row, name),
                "Correct it, or leave the cell empty if there is no value.",
            )

    def _parts_of(self, x: pd.DataFrame, first: int) -> list[np.ndarray]:
        """Return the columns that encode dates and texts."""
        place = placed_from(first)
        dates = [
            part for name, parts in self.dates_.items() for part in parts.transform(as_dates(x[name], place))
        ]
        return dates + [one for name, texts in self.texts_.items() for one in texts.transform(x[name])]

    def notices(self) -> list[Notice]:
        """Return notices of the encoding of columns of texts."""
        said = [f"{name}: texts, as {len(texts.vectors_)} directions of {len(texts.idf_):,} words and pairs of words"
                for name, texts in self.texts_.items()]  # fmt: skip
        return [Notice("text_columns", len(said), "; ".join(said), warns=False)] if said else []

    def _names_of(self, x: pd.DataFrame) -> list[Coded]:
        return [Coded(*coded_categories(x[name])) for name in self.categories_]
