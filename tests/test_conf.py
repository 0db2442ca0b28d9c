"""Every shipped YAML file and key has a comment; every option composes and fits its target."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import pytest

from dlcli.config.comments import comments
from dlcli.config.compose import compose
from dlcli.config.folders import groups, options, shipped_folder
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.config.yaml_file import lines, read

# An option of each group in one composition, as often as the largest group has options: 15 compositions, not 120. An
# experiment sets keys of the options that it chooses, and is composed alone.
APART = [{"experiment": option} for option in options("experiment")]
# Metrics are chosen in a list: tests/tasks/test_metric_options.py.
SEVERAL = ("experiment", "metric")
# The model of a task of this kind computes the loss.
WITHOUT_LOSS = {"detection"}
TOGETHER = [
    {
        group: option
        for group, option in zip(groups(), chosen, strict=True)
        if option and not (group == "task/loss" and WITHOUT_LOSS & set(chosen))
    }
    for chosen in zip_longest(*(() if group in SEVERAL else options(group) for group in groups()))
]
for chosen in TOGETHER:
    if chosen.get("task") == "generate":  # its models have losses of their own
        APART += [{"task/loss": chosen.pop("task/loss")}]
FILES = [
    *sorted(shipped_folder().rglob("*.yaml")),
    *sorted((Path(__file__).parent.parent / "dlcli" / "templates").rglob("*.yaml")),
]
# Special keys of Hydra and dlcli; like the items of lists and mappings they need no comment.
SPECIAL = ("_target_", "_partial_", "defaults")


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_key_is_explained(file: Path) -> None:
    said = comments(file)
    assert said.summary, "no header line"
    assert said.summary[-1] in ".:!?", f"the header's first sentence has no end: {said.summary}"
    own = {key for key in lines(file) if key.split(".")[0] != "defaults"}
    # The items of a list are on the line of their key.
    keys = {
        key for key in own if key.rpartition(".")[2] not in SPECIAL and not key.rpartition(".")[2].isdecimal()
    }
    sections = {key.rpartition(".")[0] for key in own}
    silent = [
        key
        for key in keys
        if not said.keys[key] and not (key in sections and file.parent.name == "experiment")
    ]
    assert not silent, f"no comment above {sorted(silent)}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_comments_fit_a_terminal(file: Path) -> None:
    assert all(len(line) <= 120 for line in file.read_text().splitlines())


@pytest.mark.parametrize("chosen", [*APART, *TOGETHER], ids=lambda chosen: next(iter(chosen.values())))
def test_each_shipped_option_composes(chosen: dict[str, str]) -> None:
    words = [f"{group}={name}" for group, name in chosen.items()]
    words += [
        f"{group}.{key}=given"
        for group, name in chosen.items()
        for key, value in read(options(group)[name]).items()
        if value == "???"
    ]
    found = compose(words, supplied=SUPPLIED, by_data=BY_DATA)
    assert {group: found.choices[group] for group in chosen} == chosen


def test_the_command_line_chooses_against_a_dataset_s_own_preprocessing() -> None:
    assert compose(["dataset=iris"], supplied=SUPPLIED).choices["preprocessing"] == "table"
    found = compose(["dataset=iris", "preprocessing=none"], supplied=SUPPLIED)
    assert found.choices["preprocessing"] == "none"


def test_arguments_of_foreign_classes_need_no_plus() -> None:
    found = compose(
        [
            "trainer.fast_dev_run=true",
            "optimizer.amsgrad=true",
            "optimizer.betas=[0.9,0.99]",
            "trainer.precision=16-mixed",
        ],
        supplied=SUPPLIED,
    )
    assert found.config["trainer"]["fast_dev_run"] is True
    assert found.config["optimizer"]["betas"] == [0.9, 0.99]
