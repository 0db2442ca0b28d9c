"""Values of windows that are too low for a logarithm, and are raised to a lower bound first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dlcli.datasets.notices import Notice
from dlcli.datasets.windows import History

# Lower bound of a value whose logarithm is taken, as a share of the mean of its window, and of that mean.
LEAST_SHARE, LEAST_MEAN = 1e-3, 1e-10


def count_raised(x: History) -> dict[str, int]:
    """Return the numbers of windows, of those with a target value below the bound, and of those with a negative one."""
    # A step more, as the end of a window must be an index.
    values = np.vstack([x.values[:, : x.targets], np.zeros((1, x.targets))])
    edges = np.stack([x.first_steps(), x.origins], axis=1).ravel()
    lowest = np.minimum.reduceat(values, edges)[::2]
    means = np.add.reduceat(np.abs(values), edges)[::2] / x.lengths()[:, None]
    raised = lowest < LEAST_SHARE * np.maximum(means, LEAST_MEAN)
    return {
        "windows": len(x),
        "raised_windows": int(raised.any(axis=1).sum()),
        "negative_windows": int((lowest < 0).any(axis=1).sum()),
    }


def told_of_raised(counts: Mapping[str, int], key: str, windows: str) -> list[Notice]:
    """Return the notice on raised values, which is a warning if some are negative; none if no window has any.

    Args:
        counts: counts of `count_raised`.
        key: the key of the notice.
        windows: what the windows are, in plural.
    """
    raised, negative = counts.get("raised_windows", 0), counts.get("negative_windows", 0)
    if not raised:
        return []
    among = f" (negative ones in {negative:,})" if negative else ""
    text = (
        f"{raised:,} of {counts['windows']:,} {windows} have values below a thousandth of their mean{among}, "
        "which are raised to it for the logarithm"
    )
    hint = "If such values are usual, train with preprocessing.log=false."
    return [Notice(key, raised, text, "preprocessing.log", hint, warns=negative > 0)]
