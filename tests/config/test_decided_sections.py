"""Values that depend on the data are filled in with the same result as a second composition."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.config import hydra_compose
from dlcli.config.compose import Draft, draft, with_decided
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.errors import ConfigError

DECIDED = {
    "iris": {"task": "multiclass"},
    "digits": {"task": "multiclass"},
    "breast_cancer": {"task": "binary"},
    "diabetes": {"task": "regression"},
    "series": {"task": "forecast"},
    "text": {"task": "multilabel", "preprocessing": "text"},
    "hf": {"task": "multiclass", "preprocessing": "pretrained_text"},
}


def both(words: list[str], decided: dict[str, str], *folders: Path) -> tuple[Draft, Draft, int]:
    """Return the draft that is filled, the one that is composed again, and the number of Hydra's compositions."""
    hydra_compose._merge.cache_clear()
    found = draft(words, folders, SUPPLIED, BY_DATA)
    filled = with_decided(found, decided)
    number = hydra_compose._merge.cache_info().misses
    again = [*words, *(f"{group}={option}" for group, option in decided.items())]
    return filled, draft(again, folders, SUPPLIED), number


def same(filled: Draft, composed: Draft) -> None:
    assert filled.composed.config == composed.composed.config
    assert list(filled.composed.config) == list(composed.composed.config)  # the order in config.yaml
    assert filled.composed.choices == composed.composed.choices
    assert filled.composed.overrides == composed.composed.overrides
    assert filled.composed.origins() == composed.composed.origins()
    assert (set(filled.problems), filled.unsound) == (set(composed.problems), composed.unsound)


@pytest.mark.parametrize("dataset", DECIDED)
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["task.loss.label_smoothing=0.1", "seed=3", "model=mlp", "model.hidden=4"],
        ["~task.average", "task.thresold=0.4", "preprocessing.max_length=9"],
        ["task.loss={_target_: torch.nn.MSELoss}", "augmentation=none", "scheduler=none"],
    ],
    ids=["plain", "keys", "wrong keys", "a mapping"],
)
def test_a_filled_section_is_that_of_a_composition(dataset: str, words: list[str]) -> None:
    place = ["dataset.path=x"] if dataset in ("text", "hf", "series") else []
    place += ["dataset.target=y"] if dataset in ("text", "series") else []
    filled, composed, number = both([f"dataset={dataset}", *place, *words], DECIDED[dataset])
    same(filled, composed)
    assert number == 1 or words


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a conf folder with an experiment and options of the user's own."""
    files = {
        "experiment/smooth.yaml": "# @package _global_\ntask:\n  loss:\n    label_smoothing: 0.3\n  average: micro\n",
        "preprocessing/own.yaml": "_target_: dlcli.preprocessing.table.Table\nscaling: none\n",
        "preprocessing/far.yaml": "# @package _global_\nseed: 5\npreprocessing:\n"
        "  _target_: dlcli.preprocessing.table.Table\n",
        "preprocessing/early.yaml": "# @package _global_\ntask:\n  average: micro\npreprocessing:\n"
        "  _target_: dlcli.preprocessing.table.Table\n",
        "preprocessing/odd.yaml": "defaults:\n  - override /model@_global_.model: mlp\n  - _self_\n"
        "_target_: dlcli.preprocessing.table.Table\n",
        "preprocessing/text2.yaml": "defaults:\n  - text\n  - _self_\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "dlcli.yaml").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "option", "project", "compositions"),
    [
        (["experiment=smooth"], "own", "", 1),
        (
            ["experiment=smooth", "task.average=weighted"],
            "own",
            "seed: 4\n",
            2,
        ),  # values of dlcli.yaml take one
        (["experiment=smooth", "task=auto"], "own", "", 2),
        (["task/loss=focal"], "own", "", 3),  # Hydra refuses a group that task=auto does not have, once
        (["preprocessing=early"], "", "", 2),
        ([], "own", "task.average: micro\n", 3),
        ([], "far", "", 2),
        ([], "odd", "", 2),
        ([], "text2", "", 2),
    ],
    ids=[
        "experiment",
        "project",
        "typed",
        "below",
        "an earlier group",
        "project's keys",
        "package",
        "override",
        "defaults list",
    ],
)
def test_options_that_set_more_than_their_section_are_composed(
    words: list[str], option: str, project: str, compositions: int, folder: Path
) -> None:
    (folder / "dlcli.yaml").write_text(project)
    text = ["dataset=text", "dataset.path=x", "dataset.target=y"]
    decided = {"task": "multiclass", **({"preprocessing": option} if option else {})}
    filled, composed, number = both([*text, *words], decided, folder)
    same(filled, composed)
    assert number == compositions


GLOBAL = "# @package _global_\n"


@pytest.mark.parametrize(
    ("name", "text", "option"),
    [
        ("experiment/mine", f"{GLOBAL}task: regression\n", ""),
        ("experiment/mine", f"{GLOBAL}task: null\n", ""),
        ("experiment/mine", f"{GLOBAL}task: ${{model}}\n", ""),
        ("experiment/mine", f"{GLOBAL}preprocessing:\n  scaling:\n    b: 2\n", "linked"),
    ],
    ids=["a text", "null", "an interpolation", "keys in an interpolation"],
)
def test_a_section_that_cannot_be_filled_is_composed(name: str, text: str, option: str, folder: Path) -> None:
    (folder / f"{name}.yaml").write_text(text)
    own = "_target_: dlcli.preprocessing.table.Table\nscaling: ${callbacks}\n"
    (folder / "preprocessing" / "linked.yaml").write_text(own)
    decided = {"task": "multiclass", **({"preprocessing": option} if option else {})}
    words = ["dataset=text", "dataset.path=x", "dataset.target=y", "experiment=mine"]
    filled, composed, number = both(words, decided, folder)
    same(filled, composed)
    assert number == 2


@pytest.mark.parametrize(
    ("experiment", "option", "message"),
    [
        ("task: [1, 2]\n", "", "should be a mapping, not a list"),
        ("defaults:\n  - /task/loss@task.loss: mse\n", "", "Multiple values for task/loss"),
        ("", "blank", "defaults must be a list"),
    ],
    ids=["a list", "a loss that is added", "blank defaults"],
)
def test_what_hydra_refuses_is_a_mistake_of_the_configuration(
    experiment: str, option: str, message: str, folder: Path
) -> None:
    (folder / "experiment" / "mine.yaml").write_text(GLOBAL + experiment)
    blank = "defaults:\n_target_: dlcli.preprocessing.table.Table\n"
    (folder / "preprocessing" / "blank.yaml").write_text(blank)
    decided = {"task": "multiclass", **({"preprocessing": option} if option else {})}
    words = ["dataset=text", "dataset.path=x", "dataset.target=y", "experiment=mine"]
    with pytest.raises(ConfigError, match=message):
        both(words, decided, folder)
