"""The preprocessing that fits the rows, for datasets that may hold anything."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator

from dlcli.datasets.texts import Texts
from dlcli.preprocessing.base import Preprocessing
from dlcli.preprocessing.image import Image
from dlcli.preprocessing.table import Table
from dlcli.preprocessing.text import Text


class Auto(BaseEstimator):
    """`Text` for texts, `Table` for tables, `Image` for images, with their own defaults.

    Fitting gives that one, not this: nothing behind it, nor what is saved, knows of the choice.
    """

    def fit(self, x: Any) -> Preprocessing:
        """The one that fits, fitted on the training rows."""
        if isinstance(x, Texts):
            return Text().fit(x)
        return Table().fit(x) if isinstance(x, pd.DataFrame) else Image().fit(x)
