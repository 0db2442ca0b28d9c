from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_config import SUPPLIED, composed, mistakes

from dlcli.config.compose import compose
from dlcli.errors import ConfigError

Write = Callable[[str, str], Path]
pytestmark = pytest.mark.usefixtures("toy")


def test_the_default_is_resolved_and_plain() -> None:
    found = composed()
    assert found.config["callbacks"]["stop"]["monitor"] == "val/loss"
    assert found.choices == {
        "preprocessing": "image",
        "task": "classes",
        "optimizer": "adam",
        "model": "net",
        "callbacks": "default",
        "dataset": "digits",
    }
    assert json.loads(json.dumps(found.config)) == found.config


def test_precedence_of_a_group_is_command_line_experiment_dataset_config() -> None:
    def preprocessing(*overrides: str) -> str:
        return composed(*overrides).choices["preprocessing"]

    assert preprocessing("dataset=table", "dataset.root=x") == "none"
    assert preprocessing("dataset=digits") == "image"
    assert preprocessing("dataset=digits", "experiment=plain") == "table"
    assert preprocessing("dataset=digits", "experiment=plain", "preprocessing=none") == "none"


def test_the_preprocessing_that_a_model_asks_for_replaces_that_of_tables_unless_an_experiment_chose_it(
    mine: Write,
) -> None:
    asks = "defaults:\n  - override /preprocessing@_global_.preprocessing: {}\n"
    own = mine("conf/model/picky.yaml", f"{asks.format('none')}_target_: toy_targets.Net\nhidden: 8\n")
    mine("conf/dataset/rows.yaml", f"{asks.format('table')}_target_: toy_targets.load\nbatch_size: 8\n")

    def preprocessing(*overrides: str) -> str:
        return composed("model=picky", *overrides, folders=[own]).choices["preprocessing"]

    assert preprocessing("dataset=rows") == "none"
    assert preprocessing("dataset=rows", "preprocessing=table") == "table"
    assert preprocessing("dataset=rows", "experiment=plain") == "table"


def test_an_experiment_wins_over_defaults_and_the_command_line_over_it() -> None:
    found = composed("experiment=tuned")
    assert (found.choices["model"], found.config["optimizer"]["lr"]) == ("wide", 0.5)
    found = composed("experiment=tuned", "model=net", "optimizer.lr=0.25")
    assert (found.config["model"]["hidden"], found.config["optimizer"]["lr"]) == (8, 0.25)


def test_dlcli_yaml_is_weaker_than_an_experiment_and_stronger_than_config_yaml(mine: Write) -> None:
    own = mine(
        "conf/dlcli.yaml", "runs_dir: out\nmodel: wide\noptimizer.lr: 0.125\noptimizer.amsgrad: true\n"
    )
    mine(
        "conf/experiment/own.yaml", "# @package _global_\ndefaults:\n  - override /model: net\nrun_name: me\n"
    )
    found = composed(folders=[own])
    assert found.config["runs_dir"] == "out"
    assert found.config["model"]["hidden"] == 512
    assert found.config["optimizer"] == {"_target_": "toy_targets.Adam", "lr": 0.125, "amsgrad": True}
    found = composed("experiment=own", folders=[own])
    assert (found.config["model"]["hidden"], found.config["run_name"]) == (8, "me")
    assert composed("experiment=tuned", folders=[own]).config["optimizer"]["lr"] == 0.5
    assert composed("optimizer.lr=2", folders=[own]).config["optimizer"]["lr"] == 2


def test_dlcli_yaml_may_name_an_experiment(mine: Write) -> None:
    own = mine("conf/dlcli.yaml", "experiment: tuned\n")
    assert composed(folders=[own]).choices["model"] == "wide"
    assert composed("experiment=null", folders=[own]).choices["model"] == "net"


def test_mistakes_in_dlcli_yaml_name_its_line(mine: Write) -> None:
    own = mine("conf/dlcli.yaml", "model: wyde\noptimizer:\n  lrr: 1\n")
    assert mistakes("optimzer.lr=1", folders=[own]) == [
        (
            "model=wyde",
            "there is no option wyde (conf/dlcli.yaml:1)",
            "Did you mean wide? Choices: net, wide.",
        ),
        (
            "optimizer.lrr",
            "toy_targets.Adam has no argument lrr (conf/dlcli.yaml:3)",
            "Did you mean optimizer.lr?",
        ),
        ("optimzer.lr", "there is no such key", "Did you mean optimizer.lr?"),
    ]


def test_a_user_s_model_composes_from_another_folder(mine: Write) -> None:
    own = mine("conf/model/own.yaml", "_target_: mine_models.nets.Net\nsize: 3\n")
    mine("mine_models/nets.py", "class Net:\n    def __init__(self, input_shape, size: int): ...\n")
    assert composed("model=own", folders=[own]).config["model"]["size"] == 3
    assert [m for _, m, _ in mistakes("model=own", "model.size=x", folders=[own])] == [
        'should be a valid integer, not "x"'
    ]


def test_a_folder_with_a_comma_and_quotes_in_its_name(tmp_path: Path) -> None:
    own = tmp_path / "a, b's = [1]" / "conf"
    (own / "model").mkdir(parents=True)
    (own / "model" / "my net.yaml").write_text("_target_: toy_targets.Net\nhidden: 3\n")
    assert composed("model='my net'", folders=[own]).config["model"]["hidden"] == 3


def test_a_group_that_only_the_user_has_is_added_without_a_plus(mine: Write) -> None:
    own = mine("conf/augmentation/flip.yaml", "_target_: toy_targets.Loss\n")
    found = composed("augmentation=flip", folders=[own])
    assert found.config["augmentation"] == {"_target_": "toy_targets.Loss"}
    assert found.choices["augmentation"] == "flip"


def test_a_nested_group_is_chosen_with_a_slash(mine: Write) -> None:
    own = mine("conf/sweep/default.yaml", "defaults:\n  - sampler: tpe\n  - _self_\n")
    mine("conf/sweep/sampler/tpe.yaml", "_target_: toy_targets.Loss\n")
    mine("conf/sweep/sampler/grid.yaml", "_target_: toy_targets.Stop\nmonitor: a\n")
    found = composed("sweep=default", "sweep/sampler=grid", "sweep.sampler.patience=4", folders=[own])
    assert found.choices["sweep/sampler"] == "grid"
    assert found.config["sweep"]["sampler"] == {"_target_": "toy_targets.Stop", "monitor": "a", "patience": 4}


def test_an_argument_that_the_yaml_lacks_needs_no_plus() -> None:
    found = composed(
        "optimizer.amsgrad=true", "task.loss.reduction=sum", "+model.dropout=0.5", "dataset.root=x"
    )
    assert found.config["optimizer"]["amsgrad"] is True
    assert found.config["task"]["loss"] == {
        "_target_": "toy_targets.Loss",
        "smoothing": 0.0,
        "reduction": "sum",
    }
    assert (found.config["model"]["dropout"], found.config["dataset"]["root"]) == (0.5, "x")


def test_keys_can_be_deleted_and_nodes_added() -> None:
    found = composed(
        "~callbacks.stop",
        "callbacks.late={_target_: toy_targets.Stop, monitor: x}",
        "callbacks.late.patience=9",
        "~model.hidden",
    )
    assert found.config["callbacks"] == {
        "late": {"_target_": "toy_targets.Stop", "monitor": "x", "patience": 9}
    }
    assert "hidden" not in found.config["model"]


def test_an_option_without_keys_leaves_an_empty_section() -> None:
    assert composed("callbacks=none").config["callbacks"] == {}


def test_a_section_set_to_none_takes_no_keys_of_an_experiment(mine: Write) -> None:
    own = mine(
        "conf/experiment/own.yaml", "# @package _global_\ncallbacks:\n  stop:\n    monitor: train/loss\n"
    )
    found = composed("experiment=own", folders=[own])
    assert found.config["callbacks"]["stop"]["monitor"] == "train/loss"
    assert composed("experiment=own", "callbacks=none", folders=[own]).config["callbacks"] == {}


def test_a_replaced_target_decides_which_keys_there_are() -> None:
    found = composed(
        "task.loss.patience=3",
        "task.loss._target_=toy_targets.Stop",
        "~task.loss.smoothing",
        "task.loss.monitor=a",
    )
    assert found.config["task"]["loss"] == {"_target_": "toy_targets.Stop", "patience": 3, "monitor": "a"}


def test_interpolations_follow_the_command_line() -> None:
    found = composed("monitor=val/f1", "task.average=${mode}")
    assert found.config["callbacks"]["stop"]["monitor"] == "val/f1"
    assert found.config["task"]["average"] == "min"


def test_each_value_has_its_origin(mine: Write, toy: Path) -> None:
    own = mine(
        "conf/dlcli.yaml",
        "# mine\nruns_dir: out\noptimizer.amsgrad: true\n",
    )
    origins = composed("experiment=tuned", "seed=3", "task.loss.smoothing=0.5", folders=[own]).origins()
    assert origins["seed"] == origins["task.loss.smoothing"] == "command line"
    assert origins["runs_dir"] == "conf/dlcli.yaml:2"
    assert origins["optimizer.amsgrad"] == "conf/dlcli.yaml:3"
    assert origins["optimizer.lr"] == f"{toy / 'experiment/tuned.yaml'}:6"
    assert origins["model.hidden"] == f"{toy / 'model/wide.yaml'}:2"
    assert origins["monitor"] == f"{toy / 'config.yaml'}:12"


def test_hydra_s_global_state_is_the_notebook_s_own(toy: Path) -> None:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    composed()
    assert not GlobalHydra.instance().is_initialized()
    with initialize_config_dir(str(toy / "model"), version_base="1.3"):
        mine = GlobalHydra.instance().hydra
        assert composed("model=wide").config["model"]["hidden"] == 512
        mistakes("model=nothing")
        assert GlobalHydra.instance().hydra is mine
        assert hydra_compose("net").hidden == 8


def test_hydra_s_own_parts_are_in_place_after_composing() -> None:
    from hydra._internal import defaults_list
    from hydra._internal.sources_registry import SourcesRegistry

    composed()
    before = dict(SourcesRegistry.instance().types), defaults_list._create_interpolation_map
    mistakes("model=nothing")
    composed("model=wide")
    assert (SourcesRegistry.instance().types, defaults_list._create_interpolation_map) == before
    assert "dlcli" not in before[0]["file"].__module__


def test_a_file_that_changes_is_read_again(mine: Write) -> None:
    own = mine("conf/model/mine.yaml", "_target_: toy_targets.Net\nhidden: 8\n")
    assert composed("model=mine", folders=[own]).config["model"]["hidden"] == 8
    mine("conf/model/mine.yaml", "_target_: toy_targets.Net\nhidden: 16\n")
    assert composed("model=mine", folders=[own]).config["model"]["hidden"] == 16


def test_an_option_may_be_chosen_by_another_one(mine: Write) -> None:
    own = mine("conf/model/chosen.yaml", "defaults:\n  - /part@_here_: ${dataset}\n  - _self_\n")
    mine("conf/part/digits.yaml", "_target_: toy_targets.Net\nhidden: 8\n")
    mine("conf/part/table.yaml", "_target_: toy_targets.Net\nhidden: 16\n")
    for words, hidden in (("dataset=digits",), 8), (("dataset=table", "dataset.root=x"), 16):
        assert composed("model=chosen", *words, folders=[own]).config["model"]["hidden"] == hidden


def test_threads_may_compose_at_once() -> None:
    found: dict[int, int] = {}

    def run(seed: int) -> None:
        found[seed] = composed(f"seed={seed}").config["seed"]

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: seed for seed in range(4)}


def test_conflicting_folders_are_refused(mine: Write) -> None:
    own = mine("conf/model/net.yaml", "")
    with pytest.raises(ConfigError, match="is defined in two folders"):
        composed(folders=[own])


def test_a_section_that_is_left_to_the_data_is_not_judged_until_an_option_is_named(mine: Write) -> None:
    own = mine("conf/task/auto.yaml", "# the data decides\n")

    def task(*overrides: str) -> Any:
        return compose(["task=auto", *overrides], [own], SUPPLIED, {"task": "auto"}).config["task"]

    assert task("task.loss.smoothing=0.5") == {}
    assert task("task.loss.smoothing=0.5", "task=classes")["loss"]["smoothing"] == 0.5
    with pytest.raises(ConfigError, match=r"task\.lss"):
        task("task.lss=1", "task=classes")
