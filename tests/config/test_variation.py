"""A configuration derived from another one equals the composed one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlcli.config.compose import Composed, Draft, compose, draft
from dlcli.config.folders import groups, options
from dlcli.config.keys import Keys
from dlcli.config.reserved_keys import SUPPLIED
from dlcli.config.variation import Variations
from dlcli.errors import ConfigError

IRIS = ["dataset=iris", "task=multiclass"]


class Counted:
    """Composes overrides and counts how often."""

    def __init__(self, *folders: Path) -> None:
        self.folders, self.number = folders, 0

    def __call__(self, overrides: Sequence[str]) -> Draft:
        self.number += 1
        found = draft(overrides, self.folders, SUPPLIED)
        if found.problems:
            raise ConfigError(found.problems)
        return found


def told(make: Any, *overrides: Any) -> Any:
    """Return everything that a configuration tells, in its order, or the mistakes."""
    try:
        found: Any = make(*overrides)
    except ConfigError as error:
        return error.problems
    composed: Composed = found.composed if isinstance(found, Draft) else found
    return repr(
        (composed.config, composed.choices, composed.overrides, composed.settings)
    ), composed.origins()


def composed_for(fixed: Sequence[str], *points: Sequence[str], folder: Path | None = None) -> int:
    """Check each point against its own composition, and return how many of them were composed."""
    folders = [folder] if folder else []
    counted, alone = Counted(*folders), Counted(*folders)
    variations = Variations(counted, folders)
    for point in points:
        assert told(variations.composed, fixed, point) == told(alone, [*fixed, *point])
    return counted.number


VALUES = ["0", "1", "-1", "7", "1e-3", "0.5", "1e999", "nan", "true", "false", "null", "abc", "'1'", "'a b'", "???",
          "${seed}", "${.}", "[1,2]", "{a: 1}", "relu", "max", "val/accuracy", "torch.optim.SGD", "cpu"]  # fmt: skip


@st.deferred
def kinds() -> st.SearchStrategy[tuple[list[str], list[list[str]]]]:
    """Fixed overrides, and three points of the same keys."""
    known = [key for key in Keys(compose([], supplied=SUPPLIED).config, groups(), {}).known() if "." in key]
    keys = st.sampled_from([*known, "optimizer.lr", "model.hidden", "seed", "monitor", "mode", "lr", "model"])
    chosen = [
        f"{group}={option}" for group in ("model", "optimizer", "scheduler") for option in options(group)
    ]
    fixed = st.lists(st.sampled_from([*chosen, "mode=min", "~callbacks", "optimizer.lr=0.3"]), max_size=2)
    value = st.sampled_from(VALUES) | st.floats().map(repr) | st.integers().map(str)

    def points(names: list[str]) -> st.SearchStrategy[list[list[str]]]:
        point = st.tuples(*(st.builds(f"{name}={{}}".format, value) for name in names)).map(list)
        return st.lists(point, min_size=3, max_size=3)

    return st.tuples(fixed, st.lists(keys, min_size=1, max_size=3).flatmap(points))


@settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=10,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(kinds)
def test_a_derived_configuration_is_that_of_a_composition(kind: tuple[list[str], list[list[str]]]) -> None:
    fixed, points = kind
    composed_for([*IRIS, *fixed], *points)


def test_one_of_each_kind_is_composed() -> None:
    points = [[f"model.hidden={hidden}", f"optimizer.lr={lr}", "model.activation=gelu", "trainer.max_epochs=3"]
              for hidden in (8, 16) for lr in (0.1, 0.01, 3)]  # fmt: skip
    assert composed_for([*IRIS, "model=mlp"], *points) == 1
    models = [
        [f"model={model}", f"optimizer.lr={lr}"] for model in ("mlp", "linear") for lr in (0.1, 0.2, 0.3)
    ]
    assert composed_for(IRIS, *models) == 2


@pytest.mark.parametrize(
    ("fixed", "points", "number"),
    [
        ([], [["model.hidden=[8]"], ["model.hidden=[16]"]], 2),
        ([], [["monitor=val/loss"], ["monitor=val/accuracy"]], 2),
        ([], [["optimizer.lr=null"], ["optimizer.lr=0.1"], ["optimizer.lr=${seed}"]], 3),
        ([], [["model.hidden=8"], ["model.hidden=0"], ["model.hidden=x"], ["model.hidden=9"]], 3),
        (["model=mlp"], [["model.hidden=8", "model={hidden: 9}"], ["model.hidden=7", "model={hidden: 9}"]], 2),
        (["~optimizer.lr"], [["optimizer.lr=0.1"], ["optimizer.lr=0.2"]], 2),
        (["optimizer=sgd"], [["optimizer._target_=torch.optim.Adam"], ["optimizer._target_=torch.optim.SGD"]], 2),
    ],
    ids=["list", "interpolated", "no plain value", "mistakes", "overlapping", "deleted", "target"],
)  # fmt: skip
def test_points_that_other_keys_depend_on_are_composed(
    fixed: list[str], points: list[list[str]], number: int
) -> None:
    assert composed_for([*IRIS, *fixed], *points) == number


@pytest.mark.parametrize(
    ("read", "number"),
    [("${monitor}", 1), ("${optimizer.lr}", 2), ("${optimizer}", 2), ("${.optimizer.lr}", 2),
     ("${oc.select:optimizer.lr}", 2), ("${optimizer[lr]}", 2), ("${${optimizer.lr}}", 2), ("${oc.env:HOME}", 2)],
)  # fmt: skip
def test_targets_of_interpolations_are_composed(tmp_path: Path, read: str, number: int) -> None:
    folder = tmp_path / "conf"
    (folder / "experiment").mkdir(parents=True)
    text = f"# @package _global_\nrun_name: 'x{read}'\n"
    (folder / "experiment" / "reads.yaml").write_text(text)
    points = [["optimizer.lr=0.1"], ["optimizer.lr=0.2"]]
    assert composed_for([*IRIS, "experiment=reads"], *points, folder=folder) == number


def test_a_file_that_has_changed_is_composed_again(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    (folder / "experiment").mkdir(parents=True)
    file = folder / "experiment" / "mine.yaml"
    counted = Counted(folder)
    variations = Variations(counted, [folder])
    for number, epochs in ((1, 3), (2, 14)):
        file.write_text(f"# @package _global_\ntrainer:\n  max_epochs: {epochs}\n")
        for lr in (0.1, 0.2):
            found = variations.composed([*IRIS, "experiment=mine"], [f"optimizer.lr={lr}"]).config
            assert (found["trainer"]["max_epochs"], found["optimizer"]["lr"]) == (epochs, lr)
        assert counted.number == number


def test_configurations_share_nothing() -> None:
    variations = Variations(Counted(), ())
    first, second, third = (
        variations.composed(IRIS, [f"optimizer.lr={lr}"]).config for lr in (0.1, 0.2, 0.3)
    )
    for config in (first, second):
        config["trainer"].clear()
        config["callbacks"].clear()
    assert third["trainer"] and third["callbacks"]
    assert variations.composed(IRIS, ["optimizer.lr=0.2"]).config["trainer"] == third["trainer"]
