"""Exact texts of configuration errors: (where, message, hint)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_config import mistakes

Write = Callable[[str, str], Path]
pytestmark = pytest.mark.usefixtures("toy")

MESSAGES = [
    # groups and options
    ("model=wyde", "model=wyde", "there is no option wyde", "Did you mean wide? Choices: net, wide."),
    ("modle=wide", "modle=wide", "there is no group modle", "Did you mean model?"),
    ("model=null", "model=null", "an option is required", "Choices: net, wide."),
    ("~model", "model=null", "an option is required", "Choices: net, wide."),
    ("model=[net,wide]", "model=[net,wide]", "takes one option, not a list", "Choices: net, wide."),
    ("model=", "model=", "names no option", "Choices: net, wide."),
    # keys
    ("lr=0.1", "lr", "there is no such key", "Did you mean optimizer.lr?"),
    ("optimzer.lr=0.1", "optimzer.lr", "there is no such key", "Did you mean optimizer.lr?"),
    ("sed=1", "sed", "there is no such key", "Did you mean seed?"),
    (
        "+optimizer.amsgrat=true",
        "optimizer.amsgrat",
        "toy_targets.Adam has no argument amsgrat",
        "Did you mean optimizer.amsgrad?",
    ),
    (
        "task.loss.smothing=1",
        "task.loss.smothing",
        "toy_targets.Loss has no argument smothing",
        "Did you mean task.loss.smoothing?",
    ),
    (
        "task.loss.zzz=1",
        "task.loss.zzz",
        "toy_targets.Loss has no argument zzz",
        "Choices: reduction, smoothing.",
    ),
    # Only a key without a section may mean run_name.
    (
        "task.loss.name=x",
        "task.loss.name",
        "toy_targets.Loss has no argument name",
        "Choices: reduction, smoothing.",
    ),
    (
        "dataset.batch_sise=1",
        "dataset.batch_sise",
        "toy_targets.load has no argument batch_sise",
        "Did you mean dataset.batch_size?",
    ),
    ("~optimizer.lrr", "optimizer.lrr", "there is no such key to delete", "Did you mean optimizer.lr?"),
    ("seed.x=1", "seed.x", "seed is a value: there is no x in it", ""),
    (
        "callbacks.stop=null",
        "callbacks.stop",
        "is a section with keys, not a value",
        "Remove it with ~callbacks.stop.",
    ),
    # Arguments that dlcli supplies are not suggested.
    (
        "optimizer.parms=1",
        "optimizer.parms",
        "toy_targets.Adam has no argument parms",
        "Choices: amsgrad, betas, lr.",
    ),
    # grammar
    ("seed", "seed", "has no value", "Write seed=VALUE, such as optimizer.lr=0.01."),
    ("zzqq=1", "zzqq", "there is no such key", "dlcli show prints all keys."),
    (
        "seed=[1, 2",
        "seed=[1, 2",
        "[ is not closed",
        "Close it, and quote an override with spaces, so that the shell passes it as one argument.",
    ),
    (
        "run_name='a b",
        "run_name='a b",
        "' is not closed",
        "Close it, and quote an override with spaces, so that the shell passes it as one argument.",
    ),
    ("=1", "=1", "has no key", "Write KEY=VALUE, such as optimizer.lr=0.01."),
    (
        "seed = 1",
        "seed = 1",
        "has a space in the wrong place",
        "Write it without the space: seed=1",
    ),
    (
        "seed=1,2",
        "seed=1,2",
        "has several values",
        "For text, quote it twice: 'seed=\"1,2\"'; for a list write 'seed=[...]'; for several trials, use dlcli sweep.",
    ),
    (
        "run_name=a:b=c",
        "run_name=a:b=c",
        "cannot be read: mismatched input '=' expecting <EOF>",
        "Quote a value with special characters twice: 'run_name=\"a:b=c\"'.",
    ),
    (
        "model@other=net",
        "model@other=net",
        "a package for a group (@) is not allowed here",
        "Write model=net",
    ),
    (
        "hydra.run.dir=x",
        "hydra.run.dir=x",
        "Hydra's own settings cannot be changed: dlcli controls the run's folder and its logging",
        "To change where results are written, use runs_dir.",
    ),
    # types, ranges, choices
    ("seed=-1", "seed", "should be at least 0, not -1", ""),
    ("seed='3'", "seed", 'should be a valid integer, not "3"', ""),
    ("seed=true", "seed", "should be a valid integer, not true", ""),
    ("mode=mni", "mode", "should be 'auto', 'min' or 'max', not \"mni\"", "Did you mean min?"),
    ("runs_dir=null", "runs_dir", "should be text, not null", "Leave it out for the default."),
    (
        "run_name=2022",
        "run_name",
        "should be text, not 2022",
        "Quote text that looks like a number twice: 'run_name=\"2022\"'.",
    ),
    (
        "run_name=1e3",
        "run_name",
        "should be text, not 1000.0",
        "Quote text that looks like a number twice, as in 'run_name=\"1e3\"'.",
    ),
    ("optimizer.lr=0", "optimizer.lr", "should be greater than 0, not 0", ""),
    ("optimizer.lr=fast", "optimizer.lr", 'should be a valid number, not "fast"', ""),
    ("optimizer.betas=[0.9]", "optimizer.betas", "should be like tuple[float, float], not [0.9]", ""),
    (
        "model.hidden=0",
        "model.hidden",
        "should be at least 1, or a list, not 0",
        "",
    ),
    ("model.dropout=1", "model.dropout", "should be less than 1, not 1", ""),
    (
        "model.activation=rleu",
        "model.activation",
        "should be 'relu' or 'tanh', not \"rleu\"",
        "Did you mean relu?",
    ),
    (
        "dataset.batch_size=0",
        "dataset.batch_size",
        "should be at least 1, or 'auto' or 'full', not 0",
        "",
    ),
    # what dlcli supplies
    ("model.input_shape=[1]", "model.input_shape", "is set by dlcli itself", "It comes from the data."),
    # targets
    (
        "model._target_=toy_targets.Nat",
        "model._target_",
        "toy_targets has no Nat",
        "Did you mean toy_targets.Net?",
    ),
    (
        "model._target_=toy_target.Net",
        "model._target_",
        "there is no module toy_target",
        "Did you mean toy_targets?",
    ),
    ("model._target_=Net", "model._target_", "'Net' is not an import path", "Write package.module.Name."),
    (
        "model._target_=toy_targets.CONSTANT",
        "model._target_",
        "toy_targets.CONSTANT is not callable",
        "Name a class or a function.",
    ),
    # open ends
    ("dataset.root=???", "dataset.root", "is required", "Add dataset.root=..."),
    (
        "task.average=${nope}",
        "task.average",
        "${nope} cannot be resolved: Interpolation key 'nope' not found",
        "",
    ),
    (
        "task.average=${hydra:run.dir}",
        "task.average",
        "${hydra:...} cannot be used: dlcli controls the run's folder and Hydra's settings",
        "Write the value itself, or refer to a key of the configuration.",
    ),
    (
        "task.loss=${task}",
        "task.loss",
        "${task} cannot be resolved: Interpolation to parent node detected",
        "",
    ),
]


@pytest.mark.parametrize(("override", "where", "message", "hint"), MESSAGES, ids=[row[0] for row in MESSAGES])
def test_a_mistake_has_this_message_and_hint(override: str, where: str, message: str, hint: str) -> None:
    assert mistakes(override) == [(where, message, hint)]


@pytest.mark.parametrize(
    "override",
    [
        "model.bias=null",
        "model.extra=3",
        "optimizer.lr=1",
        "optimizer.betas=[0,1]",
        "model.weights={a: 1}",
        "seed=0",
    ],
)
def test_values_that_fit_are_accepted(override: str) -> None:
    from toy_config import composed

    composed(override)


def test_everything_is_reported_at_once() -> None:
    found = mistakes(
        "seed",
        "modle=wide",
        "model=nothing",
        "lr=1",
        "optimizer.lr=fast",
        "~task.average",
        "mode=???",
        "task.average=${x}",
    )
    assert [where for where, _, _ in found] == [
        "seed",
        "modle=wide",
        "model=nothing",
        "lr",
        "task.average",
        "task.average",
        "mode",
        "optimizer.lr",
    ]


def test_keys_of_a_misspelt_option_are_judged_by_the_one_that_was_meant(mine: Write) -> None:
    own = mine("conf/model/other.yaml", "_target_: toy_targets.Open\nsize: 1\n")
    assert [where for where, _, _ in mistakes("model=othr", "model.size=3", folders=[own])] == ["model=othr"]
    assert [where for where, _, _ in mistakes("model=zzz", "model.size=3", folders=[own])] == ["model=zzz"]


def test_more_arguments_have_to_be_meant() -> None:
    from toy_config import composed

    assert mistakes("optimizer=open", "optimizer.sise=3") == [
        (
            "optimizer.sise",
            "toy_targets.Open has no argument sise, but accepts arbitrary ones",
            "Did you mean optimizer.size? To pass it anyway, write +optimizer.sise=...",
        )
    ]
    assert composed("optimizer=open", "+optimizer.sise=3").config["optimizer"]["sise"] == 3


def test_a_required_argument_without_a_value_is_missing() -> None:
    ((where, message, hint),) = mistakes("~callbacks.stop.monitor")
    assert (where, hint) == ("callbacks.stop.monitor", "Add callbacks.stop.monitor=...")
    assert re.fullmatch(r"is required by toy_targets\.Stop \(.*callbacks/default\.yaml:\d\)", message)


def test_mistakes_in_files_name_file_and_line(mine: Write) -> None:
    own = mine(
        "conf/experiment/own.yaml",
        "# @package _global_\nsede: 1\noptimizer:\n  lr: fast\n  beta: 3\nmodle:\n  a: 1\n",
    )
    assert mistakes("experiment=own", folders=[own]) == [
        ("sede", "there is no such key (conf/experiment/own.yaml:2)", "Did you mean seed?"),
        ("modle", "there is no such key (conf/experiment/own.yaml:6)", "Did you mean mode or model?"),
        ("optimizer.lr", 'should be a valid number, not "fast" (conf/experiment/own.yaml:4)', ""),
        (
            "optimizer.beta",
            "toy_targets.Adam has no argument beta (conf/experiment/own.yaml:5)",
            "Did you mean optimizer.betas? Or remove it with ~optimizer.beta.",
        ),
    ]


def test_an_experiment_that_names_no_option(mine: Write) -> None:
    own = mine("conf/experiment/own.yaml", "# @package _global_\ndefaults:\n  - override /model: wyde\n")
    assert mistakes("experiment=own", "lr", folders=[own])[0][0] == "lr"
    assert mistakes("experiment=own", folders=[own]) == [
        (
            "model=wyde",
            "there is no option wyde in group model (conf/experiment/own.yaml:3)",
            "Did you mean wide? Choices: net, wide.",
        )
    ]


def test_a_dataset_that_overrides_a_group_without_its_place(mine: Write) -> None:
    own = mine(
        "conf/dataset/own.yaml", "defaults:\n  - override /preprocessing: table\n_target_: toy_targets.load\n"
    )
    assert mistakes("dataset=own", folders=[own]) == [
        (
            "dataset/own.yaml",
            "override /preprocessing does not reach the group preprocessing",
            "Write it as: override /preprocessing@_global_.preprocessing: OPTION",
        )
    ]


def test_yaml_that_cannot_be_read(mine: Write) -> None:
    own = mine("conf/model/own.yaml", "_target_: x.Y\nhidden: [1\n")
    ((where, message, _),) = mistakes("model=own", folders=[own])
    assert where == "conf/model/own.yaml:3"
    assert message.startswith("is not valid YAML: ")


def test_a_module_of_the_user_s_that_raises_shows_its_last_line(mine: Write) -> None:
    own = mine("conf/model/own.yaml", "_target_: mine_broken.net.Net\n")
    mine("mine_broken/net.py", "import toy_targets\n\nraise RuntimeError('no licence')\n")
    file = own.parent / "mine_broken" / "net.py"
    assert mistakes("model=own", folders=[own]) == [
        (
            "model._target_",
            f"mine_broken.net cannot be imported: RuntimeError: no licence ({file}:3)"
            " (conf/model/own.yaml:1)",
            "",
        )
    ]
    mine("mine_broken/syntax.py", "def f(:\n")
    ((_, message, _),) = mistakes("model=own", "model._target_=mine_broken.syntax.Net", folders=[own])
    assert "SyntaxError: invalid syntax" in message
    assert "syntax.py:1)" in message
    mine("mine_broken/needs.py", "import not_installed_anywhere\n")
    ((_, message, _),) = mistakes("model=own", "model._target_=mine_broken.needs.Net", folders=[own])
    assert "No module named 'not_installed_anywhere'" in message


def test_a_value_that_is_taken_from_another_key_has_its_mistake_once() -> None:
    assert [where for where, *_ in mistakes("monitor=3")] == ["monitor"]
    own = mistakes("monitor=3", "callbacks.stop.monitor=4")
    assert {where for where, *_ in own} == {"monitor", "callbacks.stop.monitor"}
