"""Bundles for series and sequences: the script scales the steps of each and reads them as windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlcli.datasets.data import take
from dlcli.datasets.reading.number_formats import PLAIN, REWRITES
from dlcli.datasets.windows import History
from dlcli.errors import InputError
from dlcli.exporting.bundle_table import column_spec
from dlcli.exporting.bundle_table_rows import form_of
from dlcli.exporting.bundled_rows import BundleSource, CsvRows
from dlcli.exporting.heads import INSTEAD
from dlcli.inference.example import number_text, usual_numbers
from dlcli.preprocessing.raised_values import LEAST_MEAN, LEAST_SHARE
from dlcli.preprocessing.sequences import Sequences
from dlcli.preprocessing.series import Series

# Number of series or sequences on which the bundle is compared with the model, and of the example.
_COMPARED, _EXAMPLES = 32, 2

# Number of steps of an example, if sequences may have any length.
_STEPS = 5

# Digits of the numbers that are compared.
_DIGITS = 6


class StepRows(CsvRows):
    """Series, of which the next steps are forecast, or sequences with one prediction each."""

    reader = "read_steps.txt"
    card = (
        "`predict.py` reads a line per step, in their order: times are not read. It scales the columns; `model.onnx` "
        "takes the scaled steps. The predictions were compared with those of the trained model before this folder was "
        "written."
    )

    def __init__(self, source: BundleSource) -> None:
        fitted: Any = source.model.preprocessing
        if type(fitted) not in (Series, Sequences) or source.model.columns is None:
            what = (
                f"a bundle of {type(fitted).__name__} cannot be made: only of series and sequences in tables"
            )
            raise InputError(what, "--bundle", INSTEAD)
        self._fitted = fitted
        self._label = fitted.id_ or ("series" if isinstance(fitted, Series) else "row")
        # Texts of cells to the numbers that they are, by file.
        raw, example = (
            self._tables(source, _raw_steps(source, fitted)),
            self._tables(source, _made_up(fitted)),
        )
        form, notes = form_of(source)
        super().__init__(source, form, raw[0], example[0], notes)
        self._numbers = {"rows.csv": raw[1], self.example: example[1]}

    def spec(self) -> dict[str, Any]:
        """Return how the script reads and scales steps."""
        fitted, form, columns = self._fitted, self.form, self.source.model.columns
        assert columns is not None
        is_series = isinstance(fitted, Series)
        length = fitted.lookback_ if is_series else fitted.length_
        return {
            "label": self._label, "separator": form.separator, "encoding": form.python_encoding,
            "quoting": form.quoting, "rewrites": REWRITES, "inputs": self.inputs,
            "columns": [column_spec(columns[name], fitted) for name in fitted.columns_],
            "mean": np.asarray(fitted.mean_).tolist(), "std": np.asarray(fitted.std_).tolist(),
            "lookback": length, "exact": bool(length) and not is_series,
            "least": fitted.least if is_series else length,
            "horizon": fitted.horizon_ if is_series else 0, "known": fitted.known_ if is_series else 0,
            "logarithms": fitted.targets_ if is_series and fitted.takes_logarithms else 0, "raised": LEAST_SHARE,
            "least_mean": LEAST_MEAN,
        }  # fmt: skip

    def predicted(self, place: Path) -> pd.DataFrame:
        """Return the model's predictions for the steps of a file, by the names of their series or sequences."""
        found = []
        for name, frame in self._numbers[place.name].items():
            own = frame.assign(**{self._fitted.id_: name}) if self._fitted.id_ else frame
            table = self.source.model.predict(own, are_read=True)
            table.insert(0, self._label, name)
            found.append(table)
        return pd.concat(found, ignore_index=True)

    def _tables(
        self, source: BundleSource, steps: list[np.ndarray]
    ) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
        """Return the cells of all series or sequences as one table of texts, and the numbers of each by its name."""
        names, columns = self._fitted.columns_, source.model.columns
        assert columns is not None
        cells, numbers = [], {}
        for place, values in enumerate(steps):
            frame = pd.DataFrame(values, columns=names).astype(np.float64)
            texts = {name: [_text(value, columns[name]) for value in frame[name]] for name in names}
            cells.append(pd.DataFrame({self._label: f"{place}", **texts}))
            numbers[f"{place}"] = frame
        return pd.concat(cells, ignore_index=True), numbers


def _text(value: float, column: Any) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.{_DIGITS}f}" if column.number == PLAIN else number_text(value, column.number)


def _raw_steps(source: BundleSource, fitted: Any) -> list[np.ndarray]:
    """Return the steps `(T, F)` of some of the run's rows, with as many digits as are written."""
    rows = source.some()[:: max(1, len(source.some()) // _COMPARED)][:_COMPARED]
    some = take(source.data.x, rows)
    if not isinstance(some, History):
        found = (
            list(some) if isinstance(some, np.ndarray) else np.split(some.flat(), some.lengths.cumsum()[:-1])
        )
    else:
        ahead = some.horizon if some.known else 0
        steps = zip(some.first_steps(), some.origins, strict=True)
        found = [some.values[first : origin + ahead].copy() for first, origin in steps]
        for values in found if ahead else ():
            values[-ahead:, : -some.known] = np.nan
    digits = _DIGITS if all(column.number == PLAIN for column in _columns_of(source, fitted)) else 2
    return [np.round(np.asarray(values, np.float64), digits) for values in found]


def _columns_of(source: BundleSource, fitted: Any) -> list[Any]:
    columns = source.model.columns
    return [] if columns is None else [columns[name] for name in fitted.columns_]


def _made_up(fitted: Any) -> list[np.ndarray]:
    """Return synthetic steps: usual values that rise."""
    usual = usual_numbers(fitted)
    length = fitted.lookback_ if isinstance(fitted, Series) else fitted.length_ or _STEPS
    ahead = fitted.horizon_ if isinstance(fitted, Series) and fitted.known_ else 0
    start = np.array([usual.get(name, 0.0) for name in fitted.columns_])
    found = []
    for place in range(_EXAMPLES):
        rise = np.arange(length + ahead)[:, None] * (place + 1) / 100
        values = np.round(start * (1 + rise), 2)
        if ahead:
            values[length:, : -fitted.known_] = np.nan
        found.append(values)
    return found
