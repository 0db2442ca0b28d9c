"""Keys in files for an option that the command line replaces are ignored with a warning, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from toy_config import composed, mistakes

import dlcli
from dlcli.sweeps.planning import plan_sweep

Write = Callable[[str, str], Path]
toy = pytest.mark.usefixtures("toy")


@toy
def test_keys_of_an_experiment_for_another_option_are_left_out_with_a_warning(mine: Write) -> None:
    own = mine(
        "conf/experiment/own.yaml",
        "# @package _global_\ndefaults:\n  - override /optimizer: open\noptimizer:\n  size: 3\n  lr: 0.5\n",
    )
    found = composed("experiment=own", "optimizer=adam", folders=[own])
    assert found.config["optimizer"] == {"_target_": "toy_targets.Adam", "lr": 0.5}
    (warning,) = found.left_out
    assert str(warning) == (
        "optimizer.size: is left out: optimizer=adam has no argument size (conf/experiment/own.yaml:5)\n"
        "  It was set for another option of optimizer."
    )


@toy
def test_keys_of_the_project_too(mine: Write) -> None:
    own = mine("conf/dlcli.yaml", "optimizer: open\noptimizer.size: 3\n")
    assert [problem.where for problem in composed("optimizer=adam", folders=[own]).left_out] == [
        "optimizer.size"
    ]
    assert not composed(folders=[own]).left_out


@toy
def test_typed_keys_and_keys_of_the_options_own_file_are_mistakes(mine: Write) -> None:
    own = mine("conf/optimizer/odd.yaml", "_target_: toy_targets.Adam\nlr: 0.1\nsize: 3\n")
    mine("conf/experiment/own.yaml", "# @package _global_\nseed: 1\n")
    for words in (
        ("experiment=own", "optimizer=odd"),
        ("experiment=tuned", "optimizer=adam", "optimizer.size=3"),
    ):
        assert [where for where, *_ in mistakes(*words, folders=[own])] == ["optimizer.size"]


def test_check_lists_what_an_experiment_set_for_another_option() -> None:
    _, profile = dlcli.check(["experiment=wine_mlp", "cv=holdout"])
    assert [warning.where for warning in profile.warnings][:1] == ["cv.folds"]


def test_a_search_over_options_tells_what_each_of_them_leaves_out(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /dataset: iris\nmodel:\n  hidden: 8\n"
    )
    told: list[str] = []
    plan = plan_sweep(
        ["experiment=own", "model=mlp,linear", f"runs_dir='{tmp_path}/runs'"], [folder], tell=told.append
    )
    assert [problem.where for problem in plan.warnings if "model=linear has no" in problem.message] == [
        "model.hidden"
    ]
    assert sum("model.hidden: is left out: model=linear" in line for line in told) == 1
