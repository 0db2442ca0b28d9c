from __future__ import annotations

import re
from functools import partial

import pytest
from toy_targets import Loss, Net, Open, Stop, Task

from dlcli.config.build import build, locate
from dlcli.config.signature import signature
from dlcli.errors import ConfigError, DataError


def test_nested_nodes_and_lists_are_built() -> None:
    task = build(
        {
            "_target_": "toy_targets.Task",
            "loss": {"_target_": "toy_targets.Loss", "smoothing": 0.5},
            "parts": [{"_target_": "toy_targets.Loss"}, {"_target_": "toy_targets.Loss", "reduction": "sum"}],
        }
    )
    assert isinstance(task, Task)
    assert isinstance(task.arguments["loss"], Loss)
    assert [part.arguments["reduction"] for part in task.arguments["parts"]] == ["mean", "sum"]


def test_a_target_gets_the_facts_that_it_names_and_no_others() -> None:
    facts = {"input_shape": (1, 8, 8), "num_outputs": 10}
    net = build({"_target_": "toy_targets.Net", "hidden": 4}, where="model", **facts)
    assert isinstance(net, Net)
    assert net.arguments["input_shape"] == (1, 8, 8)
    assert build({"_target_": "toy_targets.Open"}, where="model", **facts).arguments == {"size": 1}


def test_more_keys_reach_a_target_that_takes_them() -> None:
    made = build({"_target_": "toy_targets.Open", "depth": 2})
    assert isinstance(made, Open)
    assert made.arguments == {"size": 1, "depth": 2}


def test_a_section_is_not_built_as_a_partial() -> None:
    for where in ("model", "task", "tracking", "executor"):
        with pytest.raises(
            ConfigError, match=f"{where}._partial_: a section describes an object, not a function"
        ):
            build({"_target_": "toy_targets.Adam", "_partial_": True}, where=where)


def test_partial_waits_for_its_call() -> None:
    made = build({"_target_": "toy_targets.Adam", "_partial_": True, "lr": 0.1})
    assert isinstance(made, partial)
    assert made(params=[1]).arguments["params"] == [1]


def test_keys_of_dlcli_in_a_section_are_not_passed_to_the_target() -> None:
    node = {"_target_": "toy_targets.load", "root": "x", "batch_size": 3}
    assert build(node, where="dataset") == {"root": "x", "columns": None}


def test_the_constructor_s_own_words_are_kept() -> None:
    with pytest.raises(ConfigError) as caught:
        build({"_target_": "toy_targets.Stop", "monitor": "a", "patience": -1}, where="callbacks.stop")
    (problem,) = caught.value.problems
    assert problem.where == "callbacks.stop"
    assert re.fullmatch(
        r"toy_targets\.Stop cannot be built from these keys: ValueError: patience must not be negative "
        r"\(.*toy_targets\.py:\d+\)",
        problem.message,
    )


def test_errors_of_ours_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise DataError("no such file", where="x.csv")

    monkeypatch.setattr("toy_targets.load", fails)
    with pytest.raises(DataError, match=r"x\.csv: no such file"):
        build({"_target_": "toy_targets.load"}, where="dataset")


def test_a_target_that_is_not_there_is_named_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        build({"_target_": "toy_targets.Task", "loss": {"_target_": "toy_targets.Los"}}, where="task")
    (problem,) = caught.value.problems
    assert (problem.where, problem.message) == ("task.loss._target_", "toy_targets has no Los")
    assert problem.hint == "Did you mean toy_targets.Loss?"


@pytest.mark.parametrize("target", ["", "a", ".a", "a.", "a..b", "os.pa th", "a/b.c", 3, None])
def test_invalid_import_paths_are_refused(target: object) -> None:
    with pytest.raises(ConfigError, match="is not an import path"):
        locate(target)  # type: ignore[arg-type]


def test_locate_finds_modules_classes_and_methods() -> None:
    assert locate("toy_targets.Stop") is Stop
    assert locate("pathlib.Path.cwd").__name__ == "cwd"
    with pytest.raises(ConfigError, match=r"there is no module os\.pth"):
        locate("os.pth.join")


def test_a_signature_follows_a_replaced_function(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sized:
        def __init__(self, size: int = 1) -> None: ...

    def other(self: Sized, depth: float = 2.0) -> None: ...

    assert list(signature(Sized).arguments) == ["size"]
    monkeypatch.setattr(Sized, "__init__", other)
    assert list(signature(Sized).arguments) == ["depth"]


def test_the_signature_of_an_unhashable_object_is_read() -> None:
    class Callable(list):  # type: ignore[type-arg]
        def __call__(self, size: int) -> None: ...

    assert signature(Callable()).arguments["size"].required
