"""Splits of a new experiment on series: a lookback that leaves windows to train on, or settings that would.

`choose_lookback` knows the lengths of the series only. How many windows are left for training also depends on the
strategy: the first of several folds in time has a fraction of those of a hold-out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlcli.config.build import build
from dlcli.config.pasted import pasted
from dlcli.datasets.data import Data
from dlcli.datasets.lookback import FEW_WINDOWS, MOST_STEPS, shorter_lookbacks
from dlcli.datasets.raw_rows import known_as, read_rows
from dlcli.datasets.windows import History
from dlcli.errors import ConfigError, DataError
from dlcli.formatting import counted
from dlcli.preprocessing.seasonal_profile import LEAST_SEASONS
from dlcli.runs.recorded_choices import choices_for, is_open, with_chosen
from dlcli.splits.carving import NoWindowLeft
from dlcli.splits.split import Split

Splits = list[Split]

# An advised setting leaves at least this number of windows, if any does.
_ADVISED = 8
# The key by which a season is computed in each window, which needs several of them.
PROFILE = "preprocessing.deseasonalize"
# Numbers of folds that are tried for an advice, because each of them is split.
_FOLDS = 20


def split_windows(
    config: dict[str, Any], data: Data, strategy: Any, *, is_new: bool, searched: Collection[str] = ()
) -> tuple[dict[str, Any], Data, Splits]:
    """Return the configuration, the rows and their splits.

    If the lookback of a new experiment is `auto`, the configuration has its number. It is the one of the rows, or the
    longest shorter one (by whole seasons, but not shorter than the horizon) that leaves each split enough windows. It
    also has what the rows choose for `business_days`.

    Args:
        config: the configuration.
        data: the rows that its section `dataset` loads.
        strategy: the strategy that its section `cv` builds.
        is_new: whether the experiment is new; others keep the lookback of their record.
        searched: keys whose values differ between trials, which have the same windows.

    Raises:
        DataError: the rows cannot be split; for series, the hint names settings that leave windows to train on.
    """
    if not isinstance(data.x, History):
        return config, data, strategy.splits(data)
    is_chosen = is_new and is_open(config["dataset"])
    # The configuration of the trial that needs the longest lookback.
    longest = _with_profile(config) if PROFILE in searched else config
    try:
        data, splits = _with_enough(longest, data, strategy) if is_chosen else (data, strategy.splits(data))
    except NoWindowLeft as error:
        raise _advised(error, longest, data) from error
    if is_new:
        config = with_chosen(config, choices_for(data))
        known_as(config["dataset"], data)
    return config, data, splits


def _with_profile(config: dict[str, Any]) -> dict[str, Any]:
    section, name = PROFILE.split(".")
    return {**config, section: {**config[section], name: True}}


def _with_enough(config: Mapping[str, Any], data: Data, strategy: Any) -> tuple[Data, Splits]:
    """Return the rows with the chosen lookback, and their splits."""
    dataset, least = config["dataset"], _steps_of_profile(config, data)
    if data.x.lookback < least:
        try:
            data = read_rows({**dataset, "lookback": least})
        except DataError as error:
            (problem,) = error.problems
            hint = f"Set {pasted(PROFILE, False)}: a season is computed on at least {least} steps."
            raise DataError(problem.message, problem.where, hint) from error
        reason = f"lookback {least}: {LEAST_SEASONS} seasons of {data.x.season}, for {pasted(PROFILE, True)}"
        data = replace(data, note="; ".join(filter(None, [data.note, reason])))
    found = {data.x.lookback: (data, *_split(data, strategy))}

    def windows(lookback: int) -> int:
        if lookback not in found:
            rows = read_rows({**dataset, "lookback": lookback})
            found[lookback] = (rows, *_split(rows, strategy))
        return found[lookback][2]

    first, shorter = data.x.lookback, shorter_lookbacks(data.x.lookback, data.x.horizon, data.x.season)
    tried = [number for number in shorter if number >= least]
    # Shorter lookbacks leave more windows.
    enough = min(bisect_left(tried, FEW_WINDOWS, key=windows), len(tried) - 1)
    if windows(tried[enough]) <= windows(first):
        enough = 0
    rows, splits, left = found[tried[enough]] if windows(tried[enough]) else found[first]
    if isinstance(splits, NoWindowLeft):
        raise splits
    if enough:
        smallest = f"in the smallest of {len(splits)} training sets " if len(splits) > 1 else ""
        before = windows(first) or "none"
        reason = f"lookback {tried[enough]}: it leaves {counted(left, 'window')} to train on {smallest}"
        reason = f"{reason.rstrip()}, and {first} would leave {before}"
        rows = replace(rows, note="; ".join(filter(None, [rows.note, reason])))
    return rows, splits


def _steps_of_profile(config: Mapping[str, Any], data: Data) -> int:
    """Return the lookback that `preprocessing.deseasonalize` needs, up to the longest that is chosen; else 0."""
    section, name = PROFILE.split(".")
    steps = LEAST_SEASONS * data.x.season if config[section].get(name) is True and data.x.season > 1 else 0
    return steps if steps <= MOST_STEPS else 0


def _split(data: Data, strategy: Any) -> tuple[Splits | NoWindowLeft, int]:
    """Return the splits, or why there are none, and the smallest number of training windows."""
    try:
        splits = strategy.splits(data)
    except NoWindowLeft as error:
        return error, 0
    return splits, min(len(split.train) for split in splits)


def _advised(error: NoWindowLeft, config: Mapping[str, Any], data: Data) -> DataError:
    """Return the error with a hint that names settings which leave windows to train on, if there are any."""
    (problem,) = error.problems
    found = []
    for section, name, values in _tried(config, data):
        left = {}
        for value in values:
            left[value] = _left({**config, section: {**config[section], name: value}})
            if left[value] >= _ADVISED:
                break
        if any(left.values()):
            best = max(left, key=lambda value: left[value])
            found.append(f"{pasted(f'{section}.{name}', best)} ({counted(left[best], 'training window')})")
    if not found:
        return error
    listed = f"{', '.join(found[:-1])} or {found[-1]}" if len(found) > 1 else found[0]
    _, series, others = problem.hint.partition("give a longer series, ")
    rest = f"{series}{others}" if series else "or give a longer series."
    return DataError(problem.message, problem.where, f"Use {listed}, {rest}")


def _tried(config: Mapping[str, Any], data: Data) -> Iterator[tuple[str, str, Sequence[Any]]]:
    """Yield sections, names of keys and their values to try, those that change least first."""
    cv, dataset, least = config["cv"], config["dataset"], _steps_of_profile(config, data)
    if isinstance(folds := cv.get("folds"), int):
        yield "cv", "folds", range(folds - 1, 1, -1)[-_FOLDS:]
    for name, values in (("test_size", (0.1, 0.05)), ("val_size", (0.1, 0.05))):
        yield "cv", name, [value for value in values if value < (cv.get(name) or 0)]
    if cv.get("gap"):
        yield "cv", "gap", [0]
    if cv.get("window"):
        yield "cv", "window", [None]
    if len(data.x.stretches.names) > 1 and dataset.get("min_lookback") is None:
        yield "dataset", "min_lookback", _fractions(max(data.x.lookback, least))
    if not is_open(dataset):
        yield "dataset", "lookback", [steps for steps in _fractions(dataset["lookback"]) if steps >= least]
    elif least:
        section, name = PROFILE.split(".")
        yield section, name, [False]
    yield "dataset", "horizon", _fractions(dataset.get("horizon", 1))


def _fractions(number: int) -> list[int]:
    return list(dict.fromkeys(max(1, number * share // 4) for share in (3, 2, 1) if number > 1))


def _left(config: Mapping[str, Any]) -> int:
    """Return the smallest number of training windows of a configuration; 0 if it cannot be used."""
    try:
        strategy, rows = build(config["cv"], where="cv"), read_rows(config["dataset"])
        if is_open(config["dataset"]):
            return min(len(one.train) for one in _with_enough(config, rows, strategy)[1])
        return _split(rows, strategy)[1]
    except (DataError, ConfigError):
        return 0
