"""Every shipped option composes, its targets exist and its keys and types fit their signatures."""

from __future__ import annotations

import pytest

from dlcli.config.compose import compose
from dlcli.config.folders import groups, options
from dlcli.config.supplied import SUPPLIED

OPTIONS = [f"{group}={option}" for group in groups() for option in options(group)]


@pytest.mark.parametrize("option", OPTIONS)
def test_option_composes(option: str) -> None:
    found = compose([option], supplied=SUPPLIED)
    group, name = option.split("=")
    assert found.choices[group] == name


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
