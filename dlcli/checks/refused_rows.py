"""Training rows that the preprocessing refuses, of any run of an experiment, before a run is created."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dlcli.assembly.parts import preprocessing_of
from dlcli.datasets.data import Data, take
from dlcli.errors import DlcliError, Problem
from dlcli.preprocessing.protocols import ChecksRows
from dlcli.splits.split import Split


def find_refused_rows(config: Mapping[str, Any], data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield what the preprocessing refuses in the training rows of any of the splits.

    The other checks fit it on a few rows of the first split.
    """
    preprocessing = preprocessing_of(config)
    if not isinstance(preprocessing, ChecksRows):
        return
    try:
        preprocessing.check_rows(take(data.x, np.unique(np.concatenate([split.train for split in splits]))))
    except DlcliError as error:
        yield from error.problems
