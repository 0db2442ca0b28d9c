"""Preprocessing of series: columns scaled by statistics of the training part, read as windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from annotated_types import Ge
from sklearn.base import BaseEstimator
from torch import nn

from dlcli.config.pasted import pasted
from dlcli.datasets.notices import Notice
from dlcli.datasets.tables.typed_frames import as_categories, named
from dlcli.datasets.windows import History, Stretches
from dlcli.errors import ConfigError, DataError
from dlcli.formatting import counted
from dlcli.preprocessing.model_windows import ModelWindows, Relative
from dlcli.preprocessing.new_row_checks import blocks, numbers
from dlcli.preprocessing.raised_values import count_raised, told_of_raised
from dlcli.preprocessing.seasonal_profile import LEAST_SEASONS
from dlcli.preprocessing.window_fields import KnownAhead, WindowField

# With `auto`, windows of several series are normalized if a tenth of the series vary by less than this share of the
# deviation of all. It was chosen on nine sets of series, with one seed: at 1/19 and below, `revin` was better for each
# network; at 1/11 and above, `last` was from 9 % better to 4 % worse, by network (docs/time-series.md).
_SMALL_SHARE = 0.07


class Series(BaseEstimator):
    """Conversion of series to windows `x` `(N, lookback, F)`, or `(N, lookback + horizon, F)` with covariates known
    ahead.

    Each column is scaled to mean 0 and standard deviation 1 over the part of the series covered by the training rows,
    counting each step once. The task scales targets in the same way, so that forecasts can be converted back from
    relative values of `on_device`.

    Steps before the beginning of a series (`dataset.min_lookback`) are NaN in `x`; `on_device` computes statistics
    of a window without them, and replaces them by 0 in the model's input.

    Args:
        relative: reference of the values of a window: its last values (`last`, or true), its mean and standard
            deviation (`revin`), or none (`none`, or false). `auto` is `revin` for series of very different sizes, see
            `automatic_for`, else `last`.
        channels: `independent` passes each target to the model as a separate row, so that all share its weights;
            `mixed` passes all targets in one row. `auto` is `mixed` for models that process all variables together.
            Runs of earlier versions lack this key and are `mixed`.
        takes_variables: whether the model processes all variables together.
        log: whether the targets of each window are replaced by their logarithms, for series that grow and vary in
            proportion to their level. Values below a thousandth of the mean of their window are raised to it, and
            counted; training rows with negative values are refused.
        deseasonalize: whether the seasonal profile of each window is subtracted, and added to its forecast.
        recent: number of last steps of a window that the model receives; None for all. The profile is that of the whole
            window.
    """

    only_told: ClassVar = frozenset({"measured_"})
    measured_: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        relative: bool | Relative | Literal["auto"] = "last",
        channels: Literal["auto", "independent", "mixed"] = "mixed",
        takes_variables: bool = False,
        log: bool = False,
        deseasonalize: bool = False,
        recent: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        self.relative = relative
        self.channels = channels
        self.takes_variables = takes_variables
        self.log = log
        self.deseasonalize = deseasonalize
        self.recent = recent

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:  # noqa: N803 scikit-learn's name
        """Return the settings that differ from their defaults, without the one that is determined by the model."""
        channels: Any = getattr(self, "channels", "mixed")
        shown = Series(
            self.relative, channels, False, self.takes_logarithms, self._deseasonalize, self._recent
        )
        return BaseEstimator.__repr__(shown, N_CHAR_MAX)

    @staticmethod
    def automatic_for(x: History) -> dict[str, tuple[Any, str]]:
        """Return the value of `relative=auto` for the training rows, with the reason.

        A network sees windows of a small series as almost constant if they are only shifted, because they are scaled by
        the deviation of all series.
        """
        if len(x.stretches.names) < 2:
            return {"relative": ("last", "for one series")}
        small = np.nanquantile(x.sizes()[:, : x.targets], 0.1, axis=0).min()
        told = f"as a tenth of the series vary by less than {small:.2g} of the deviation of all"
        return {"relative": ("revin" if small < _SMALL_SHARE else "last", told)}

    def fit(self, x: History) -> Self:
        """Compute mean and deviation of each column.

        Raises:
            ConfigError: the lookback is too short for `deseasonalize` or `recent`, or there is no season.
            DataError: a target has negative values, which have no logarithm.
        """
        self.check_rows(x)
        if self.relative == "auto":
            self.relative_ = self.automatic_for(x)["relative"][0]
        self.columns_ = list(x.columns)
        self.lookback_, self.horizon_ = x.lookback, x.horizon
        self.targets_, self.known_, self.season_ = x.targets, x.known, x.season
        self.id_ = x.stretches.column
        self.min_lookback_ = x.min_lookback
        self.business_days_ = x.business_days
        self.mean_, self.std_ = x.scale()
        self.rows_seen_ = len(x)
        self.measured_ = self._counts(x)
        return self

    def transform(self, x: History | pd.DataFrame | np.ndarray) -> dict[str, Any]:
        """Return `x` as a field; the series is scaled once, not each of its windows.

        Raises:
            DataError: raw steps (see `history`) are too few or incomplete.
        """
        if not isinstance(x, History):
            x = self.history(x)
        first = int(x.first_steps().min()) if len(x) else 0
        last = int(x.origins.max()) + (x.horizon if x.known else 0) if len(x) else 0
        scaled = ((x.values[first:last] - self.mean_) / self.std_).astype(np.float32)
        origins = x.origins - first
        padding = None if x.min_lookback is None else x.lookback - x.lengths()
        past = WindowField.of(scaled, origins - x.lookback, x.lookback, padding)
        if not x.known:
            return {"x": past}
        return {"x": KnownAhead(past, WindowField.of(scaled[:, -x.known :], origins, x.horizon))}

    def transform_and_count(self, x: Any) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields as `transform` does, and counts of windows whose values are raised for the logarithm."""
        x = x if isinstance(x, History) else self.history(x)
        return self.transform(x), self._counts(x)

    def notices(self) -> list[Notice]:
        """Return the notice on raised values in training windows."""
        return told_of_raised(self.measured_, "raised_values", "training windows")

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return the notice on raised values in new windows."""
        return told_of_raised(counts, "raised_new_values", "windows")

    def notices_of_windows(self, x: History, windows: str) -> list[Notice]:
        """Return the notice on raised values in windows that it was not fitted on, named `windows`, in plural."""
        return told_of_raised(self._counts(x), "raised_new_values", windows)

    def facts(self) -> dict[str, Any]:
        """Return `lookback` and `horizon` in steps, and the number of `targets`."""
        return {"lookback": self.lookback_, "horizon": self.horizon_, "targets": self.targets_}

    def on_device(self) -> nn.Module | None:
        """Return the module that makes windows relative and separates targets; None if neither is configured."""
        relative: Any = self.relative_ if self.relative == "auto" else self.relative
        if isinstance(relative, bool):
            relative = "last" if relative else "none"
        independent = self._independent()
        padded = self.least < self.lookback_
        adjusted = self.takes_logarithms or self._deseasonalize or self._recent is not None or padded
        if relative == "none" and not independent and not adjusted:
            return None
        scale = self.mean_[: self.targets_], self.std_[: self.targets_]
        return ModelWindows(
            self.lookback_,
            self.horizon_,
            self.targets_,
            self.known_,
            relative,
            independent=independent,
            scale_of=(scale[0].tolist(), scale[1].tolist()) if self.takes_logarithms else None,
            season=self.season_ if self._deseasonalize else None,
            recent=self._recent,
            padded=padded,
        )

    def facts_of_model(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of the model's input rows: with `recent` they have fewer steps, with independent channels
        one target each.
        """
        if self._recent is not None:
            steps, features = facts["input_shape"]
            shape = (steps - self.lookback_ + self._recent, features)
            facts = {**facts, "input_shape": shape, "lookback": self._recent}
        if not self._independent():
            return dict(facts)
        steps, features = facts["input_shape"]
        return {
            **facts,
            "input_shape": (steps, features - self.targets_ + 1),
            "num_outputs": facts["num_outputs"] // self.targets_,
            "targets": 1,
        }

    @property
    def least(self) -> int:
        """Number of history steps that a forecast needs at least."""
        return getattr(self, "min_lookback_", None) or self.lookback_  # earlier versions did not save it

    @property
    def has_business_days(self) -> bool:
        """Whether a step is a day from Monday to Friday."""
        return getattr(self, "business_days_", False)  # likewise

    def _counts(self, x: History) -> dict[str, int]:
        return count_raised(x) if self.takes_logarithms else {}

    # Objects saved by earlier versions lack these settings.
    @property
    def takes_logarithms(self) -> bool:
        """Whether the model receives logarithms of the targets."""
        return getattr(self, "log", False)

    @property
    def _deseasonalize(self) -> bool:
        return getattr(self, "deseasonalize", False)

    @property
    def _recent(self) -> int | None:
        return getattr(self, "recent", None)

    def check_rows(self, x: History) -> None:
        """Check that the settings are applicable to raw training rows, as `fit` does, which raises the same errors."""
        if self._recent is not None and self._recent > x.lookback:
            hint = f"{pasted('preprocessing.recent', x.lookback)} is all of it."
            raise ConfigError(
                f"the model cannot receive {self._recent} of {counted(x.lookback, 'step')}",
                "preprocessing.recent",
                hint,
            )
        if self._deseasonalize and x.season < 2:
            raise ConfigError(
                "the series has no known season",
                "preprocessing.deseasonalize",
                f"Give its period in steps, such as {pasted('dataset.season', 12)}, or leave it out: "
                "preprocessing.deseasonalize=false.",
            )
        if self._deseasonalize and x.lookback < (least := LEAST_SEASONS * x.season):
            raise ConfigError(
                f"a lookback of {x.lookback} is shorter than {LEAST_SEASONS} seasons of {x.season} steps",
                "preprocessing.deseasonalize",
                f"Set {pasted('dataset.lookback', least)} or more, or preprocessing.deseasonalize=false.",
            )
        if self.takes_logarithms:
            lowest = x.values[x.covered(), : x.targets].min(axis=0, initial=0)
            if (lowest < 0).any():
                name = x.columns[int(lowest.argmin())]
                raise DataError(
                    f"negative values, such as {lowest.min():g}, have no logarithm",
                    f"column {name}",
                    "Set preprocessing.log=false.",
                )

    def _independent(self) -> bool:
        channels = getattr(self, "channels", "mixed")  # objects saved by earlier versions lack it
        return self.targets_ > 1 and (
            channels == "independent" or (channels == "auto" and not self.takes_variables)
        )

    def history(self, steps: pd.DataFrame | np.ndarray) -> History:
        """Convert raw steps to one row, with a forecast that starts after them; other columns are ignored.

        If the table has the column of series names, there is one row per series, in the order of their first step.

        The input of the model is the last `lookback` steps. With covariates known ahead, `horizon` further steps must
        follow, with values for those covariates only. An array has the columns in the order of `columns_`: `(T, F)`, or
        one such block per row.

        Raises:
            DataError: a column is missing, there are too few steps, or a value is missing or not a number.
        """
        if not isinstance(steps, pd.DataFrame):
            return self._rows(blocks(steps, self.columns_))
        steps = named(steps, [*self.columns_, *filter(None, [self.id_])])
        values = numbers(steps, self.columns_, _step)
        if not self.id_ or self.id_ not in steps:
            return self._rows([values])
        codes, names = pd.factorize(as_categories(steps[self.id_]))
        return self._rows([values[codes == code] for code in range(len(names))], list(names))

    def _rows(self, series: Sequence[np.ndarray] | np.ndarray, names: Sequence[str] = ()) -> History:
        """Build rows from the steps `(T, F)` of each series."""
        ahead = self.horizon_ if self.known_ else 0
        needed, features, least = self.lookback_ + ahead, len(self.columns_), self.least + ahead

        def place(row: int, *details: str) -> str:
            which = [f"series {names[row]}"] if names else [f"row {row}"] if len(series) > 1 else []
            return ": ".join(filter(None, ["new data", ", ".join([*which, *details])]))

        for row, steps in enumerate(series):
            if len(steps) < least:
                expected = f"{least} steps of {counted(features, 'column')} ({', '.join(self.columns_)})"
                past, hint = max(1, len(steps) - ahead), "Give earlier steps"
                if self.least == self.lookback_:
                    hint += f", or train with {pasted('dataset.min_lookback', past)}"
                message = f"a forecast needs {expected}, but got {counted(len(steps), 'step')}"
                raise DataError(message, place(row), f"{hint}.")
        parts = [steps[max(0, len(steps) - needed) :] for steps in series]
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        values, begins = np.concatenate(parts), lengths.cumsum() - lengths
        unknown = np.isnan(values)
        if ahead:
            unknown[(lengths.cumsum() - ahead)[:, None] + np.arange(ahead), : -self.known_] = False
        if unknown.any():
            step, column = np.argwhere(unknown)[0]
            row = int(np.searchsorted(begins, step, side="right")) - 1
            number = len(series[row]) - lengths[row] + step - begins[row]
            raise DataError(
                "a value is missing",
                place(row, f"step {number}", f"column {self.columns_[column]}"),
                "Fill it in, such as with the previous value.",
            )
        return History(
            values,
            begins + lengths - ahead,
            self.horizon_,
            tuple(self.columns_),
            self.lookback_,
            self.targets_,
            self.known_,
            self.season_,
            min_lookback=getattr(self, "min_lookback_", None),
            stretches=Stretches(begins),
        )


def _step(row: int, column: str) -> str:
    return f"new data: step {row}, column {column}"
