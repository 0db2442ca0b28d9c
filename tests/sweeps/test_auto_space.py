"""`sweep=auto` and `effort=best`: the ranges that models declare, where a search starts, and its messages."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.config.compose import compose
from dlcli.config.folders import options
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.datasets.data import Data
from dlcli.errors import ConfigError
from dlcli.result import Result
from dlcli.sweeps.auto_space import declared_ranges, defaults_of, with_starts
from dlcli.sweeps.candidate_models import candidate_folds
from dlcli.sweeps.dimension import Dimension, Range
from dlcli.sweeps.planning import plan_sweep
from dlcli.sweeps.space import Space
from dlcli.sweeps.space_parser import as_overrides, searched_space
from dlcli.sweeps.sweep_options import MOST_TRIALS
from dlcli.sweeps.sweep_summary import describe_sweep
from dlcli.tracking.ledger import Ledger

UNTIMED = [
    "effort=best",
    "sweep.timeout=null",
]  # with a limit, trials run in processes that take seconds to start
QUICK = ["trainer.max_epochs=2", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("model", sorted(options("model")))
def test_declared_ranges_are_valid_and_contain_the_defaults(model: str) -> None:
    config = compose([f"model={model}"], supplied=SUPPLIED, by_data=BY_DATA).config
    ranges = declared_ranges(config)
    if not ranges:
        assert model in ("linear", "nlinear")
        return
    space = searched_space(ranges, [f"model={model}"], ())
    for place in range(5):  # each value of each key at least once
        point = space.walk(partial(_value, place))
        compose([f"model={model}", *as_overrides(point)], supplied=SUPPLIED, by_data=BY_DATA)
    started = with_starts(space, {model: config}, {model: ranges})
    assert started.dimensions == space.dimensions  # nothing had to be extended
    assert started.starts == (defaults_of(config, list(ranges)),)


def _value(place: int, dimension: Dimension) -> Any:
    values = dimension.domain.values_in_order()
    return values[place % len(values)]


@pytest.fixture(scope="module")
def swept(runs_dir: Path) -> Result:
    words = ["dataset=iris", "model=mlp", *QUICK, "sweep.trials=2", "run_name=own", f"runs_dir='{runs_dir}'"]
    return dlcli.sweep(words)


def test_without_a_space_the_models_own_is_searched_and_the_defaults_come_first(
    swept: Result, runs_dir: Path
) -> None:
    first, second = swept.trials
    assert first["params"] == {
        "optimizer.lr": 0.001, "model.hidden": 128, "model.layers": 2, "model.dropout": 0.0,
        "model.normalization": "none",
    }  # fmt: skip
    assert second["params"] != first["params"]
    plain = dlcli.train(["dataset=iris", "model=mlp", *QUICK, f"runs_dir='{runs_dir}'"])
    assert first["metrics"]["val/loss"] == plain.metrics["val/loss"]
    assert any(line.startswith("Effect of the search: ") for line in swept.messages)


def test_a_search_that_continues_has_the_trials_of_one_that_was_never_stopped(
    swept: Result, runs_dir: Path
) -> None:
    more = dlcli.resume(swept.run_dir, ["sweep.trials=4"])
    words = ["dataset=iris", "model=mlp", *QUICK, "sweep=auto", "sweep.trials=4", f"runs_dir='{runs_dir}'"]
    whole = dlcli.sweep(words)
    assert [t["params"] for t in more.trials] == [t["params"] for t in whole.trials]
    assert [t["value"] for t in more.trials] == [t["value"] for t in whole.trials]


def test_what_the_command_line_gives_is_not_searched(tmp_path: Path) -> None:
    words = ["dataset=iris", "model=mlp", "sweep=auto", f"runs_dir='{tmp_path}'"]
    plan = plan_sweep([*words, "model.layers=1", "model.hidden=4,8"])
    domains = {dimension.key: dimension.domain for dimension in plan.space.dimensions}
    assert "model.layers" not in domains
    assert domains["model.hidden"].values_in_order() == (4, 8)  # the default, 128, is none of them
    assert plan.space.first["model.hidden"] == 4
    assert plan.total == 20
    assert plan_sweep([*words, "sweep.timeout=5m"]).total == MOST_TRIALS


def test_a_default_outside_of_the_ranges_is_where_the_search_starts(tmp_path: Path) -> None:
    own = tmp_path / "conf"
    (own / "experiment").mkdir(parents=True)
    (own / "dlcli.yaml").write_text("")
    text = "# @package _global_\ndefaults:\n  - override /model: mlp\nmodel:\n  hidden: 96\n  dropout: 0.7\n"
    (own / "experiment" / "wide.yaml").write_text(text)
    plan = plan_sweep(["experiment=wide", "dataset=iris", f"runs_dir='{tmp_path}'"], [own])
    assert plan.space.first["model.hidden"] == 96
    assert plan.space.first["model.dropout"] == 0.7


def test_a_model_of_one_s_own_declares_its_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    own = tmp_path / "conf"
    (own / "model").mkdir(parents=True)
    (own / "dlcli.yaml").write_text("")
    (own / "model" / "ranged.yaml").write_text("_target_: ranged_model_of_a_test.Ranged\n")
    (tmp_path / "ranged_model_of_a_test.py").write_text(
        "from dlcli.models.mlp import MLP\nclass Ranged(MLP):\n    search_space = "
        "{'hidden': '8,128', 'optimizer.lr': 'tag(log,interval(1e-4,1e-2))',"
        " 'preprocessing.scaling': 'standard,robust'}\n"
    )
    plan = plan_sweep(["model=ranged", "dataset=iris", f"runs_dir='{tmp_path}'"], [own])
    assert plan.space.first == {
        "optimizer.lr": 0.001, "model.hidden": 128, "preprocessing.scaling": "standard",
    }  # fmt: skip


@pytest.mark.parametrize(("target", "has_classes"), [("label", True), ("score", False)])
def test_bags_of_ngrams_are_searched_with_values_that_can_be_trained(
    target: str, has_classes: bool, tmp_path: Path
) -> None:
    rows = "".join(
        f"{'ab'[row % 2]},{row / 7},{'good' if row % 2 else 'bad'} thing {row % 5}\n" for row in range(60)
    )
    (tmp_path / "t.csv").write_text(f"label,score,text\n{rows}")
    words = [
        "dataset=text",
        f"dataset.path='{tmp_path}/t.csv'",
        f"dataset.target={target}",
        "dataset.text=text",
    ]
    words += ["model=linear", "sweep/sampler=random", "sweep.trials=4", "sweep.refit=false", *QUICK[1:]]
    found = dlcli.sweep([*words, f"runs_dir='{tmp_path}/runs'"])
    keys = set(found.trials[0]["params"])
    assert {"preprocessing.ngrams", "preprocessing.characters", "preprocessing.min_df"} < keys
    assert ("optimizer.class_ratios" in keys) == has_classes
    assert [trial["status"] for trial in found.trials] == ["FINISHED"] * 4


def test_a_model_without_ranges_asks_for_values(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"nothing to search\n.*declares no ranges.*Give several values"
    ) as caught:
        plan_sweep(["dataset=iris", "model=linear", f"runs_dir='{tmp_path}'"])
    words = "model=linear,mlp sweep=auto"
    assert words in str(caught.value)
    assert plan_sweep(["dataset=iris", *words.split(), f"runs_dir='{tmp_path}'"]).space.dimensions


@pytest.fixture(scope="module")
def best(runs_dir: Path) -> Result:
    """The best of the candidates for a table; few epochs and one split, which the panel tells."""
    words = ["dataset=iris", *UNTIMED, *QUICK, "cv=holdout", "sweep.trials=2", "model.members=2"]
    return dlcli.train([*words, "run_name=best-of", f"runs_dir='{runs_dir}'"])


def test_effort_compares_the_models_that_fit_and_tests_the_winner(best: Result) -> None:
    # model.members is an argument of TabM only: the others are left out, which is told.
    assert [trial["params"].get("model") for trial in best.trials] == [None] * 2
    assert "test/accuracy" in best.metrics
    panel = Ledger.load(best.run_dir).about["panel"]
    assert panel["models"] == "auto: tabm, for multiclass of table rows"
    assert panel["models left out"].count("model.members: ") == 4  # and mlp, the default of iris
    assert [one["key"] for one in best.to_json()["notices"]][:4] == ["left_out_models"] * 4
    assert "effort" not in best.best["command"]
    assert any("none is better on the validation rows than the best trial" in text for text in best.messages)
    assert (best.run_dir / "model").exists()
    assert "model=tabm" in best.best["command"]


def test_a_single_finished_trial_is_told_and_columns_are_left_out_as_in_a_training(tmp_path: Path) -> None:
    rows = "".join(f"{row % 7},,{row % 5},{'uv'[row % 7 > 3]}\n" for row in range(60))
    (tmp_path / "t.csv").write_text(f"a,none,b,y\n{rows}")
    table = [
        "dataset=table",
        f"dataset.path='{tmp_path}/t.csv'",
        "dataset.target=y",
        f"runs_dir='{tmp_path}/runs'",
    ]
    found = dlcli.train(
        [*table, *UNTIMED, "model=hist_gradient_boosting", "cv=kfold", "cv.folds=2", "sweep.trials=1"]
    )
    assert any(
        message.endswith("-trial-0 is the only candidate for the ensemble, as no other trial finished.")
        for message in found.messages
    )
    plain = dlcli.train([*table, "model=hist_gradient_boosting"])
    panels = [Ledger.load(one.run_dir).about["panel"]["left out"] for one in (found, plain)]
    assert panels == ["none (empty in the training rows)"] * 2


@pytest.mark.parametrize(
    ("size", "left", "reason"),
    [
        (4, "values left out", "cnn: model.channels=[32,64,128] (an image of 4 x 4 pixels is too small for block 3"),
        (2, "models left out", "cnn (an image of 2 x 2 pixels is too small for block 2 of 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_for_small_images_is_left_out_and_told(
    size: int, left: str, reason: str, tmp_path: Path
) -> None:
    for number in range(20):
        folder = tmp_path / "images" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (size, size), number).save(folder / f"{number}.png")
    words = ["dataset=image_folder", f"dataset.path='{tmp_path}/images'", f"runs_dir='{tmp_path}/runs'"]
    plan = plan_sweep([*words, *UNTIMED])
    assert describe_sweep(plan)[left].startswith(reason)
    (notice,) = plan.left_out
    assert reason in notice.text
    with pytest.raises(ConfigError, match="too small for block"):  # values of the user are not left out
        plan_sweep([*words, "model=cnn", "model.channels=[32],[32,64,128,256]"])


def test_the_folds_that_were_decided_are_recorded_for_single_trials(tmp_path: Path) -> None:
    words = ["dataset=iris", *UNTIMED, *QUICK, "model.layers=1", f"runs_dir='{tmp_path}'"]
    plan = plan_sweep(words)
    assert plan.folds == ("cv=stratified_kfold", "cv.folds=5", "cv.test_size=0.2")
    assert set(plan.folds) < set(plan.fixed)


def test_effort_starts_with_the_defaults_of_each_model(runs_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "dlcli.yaml").write_text("effort: best\n")
    words = [
        "dataset=iris",
        "sweep.timeout=null",
        *QUICK,
        "sweep.models=[mlp,table_resnet,linear]",
    ]
    found = dlcli.train(
        [*words, "sweep.trials=4", "cv=kfold", "cv.folds=2", "cv.test_size=0.2", f"runs_dir='{runs_dir}'"],
        conf_dirs=[tmp_path],
    )
    models = ["mlp", "table_resnet", "linear"]
    # The solved model comes first: a search that is too short for a network has a result.
    assert [trial["params"]["model"] for trial in found.trials][:3] == ["linear", "mlp", "table_resnet"]
    assert {one["model"] for one in found.models} == set(models)
    assert found.models[0]["value"] == min(one["value"] for one in found.models) == found.best["value"]
    assert sum(one["trials"] for one in found.models) == 4
    assert found.to_json()["models"] == list(found.models)
    told = "\n".join(found.messages)
    assert f"Tried: {found.models[0]['model']} " in told
    assert f"Why {found.models[0]['model']}: val/loss lower by " in told
    assert "in the mean of 2 folds" in told
    again = dlcli.resume(found.run_dir, ["sweep.trials=5"])
    assert [trial["value"] for trial in again.trials][:4] == [trial["value"] for trial in found.trials]
    # An ensemble of the trials, with the models of both folds, is the final model.
    assert len(again.members) in (2, 4, 6, 8, 10)
    assert not (again.run_dir / "model").exists()
    assert dlcli.evaluate("best", runs_dir=runs_dir).metrics["test/loss"] == again.metrics["test/loss"]
    single = dlcli.resume(found.run_dir, ["sweep.ensemble=0"])
    assert not single.members
    assert dlcli.evaluate("best", runs_dir=runs_dir).metrics["test/loss"] == single.metrics["test/loss"]


def test_models_that_a_search_did_not_reach_are_named(runs_dir: Path) -> None:
    words = ["dataset=iris", "sweep=auto", "model=mlp,table_resnet,linear", *QUICK, "sweep.trials=1"]
    found = dlcli.sweep([*words, f"runs_dir='{runs_dir}'"])
    told = "\n".join(found.messages)
    assert "Tried: mlp " in told
    assert "Not tried: table_resnet, linear." in told
    again = dlcli.resume(found.run_dir, ["sweep.trials=3"])
    assert "Not tried" not in "\n".join(again.messages)


def test_the_time_of_a_search_is_refused_for_a_plain_training(tmp_path: Path) -> None:
    words = ["train", "dataset=iris", "model=mlp", "--time", "1m", "--runs-dir", str(tmp_path / "runs")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "sweep.timeout" in done.output
    assert not (tmp_path / "runs").exists()


def data(rows: int, **fields: Any) -> Data:
    x = np.zeros((rows, 2))
    return Data(name="d", kind="table", x=x, y=np.arange(rows) % 2, classes=("a", "b"), **fields)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (data(300), ("cv=stratified_kfold", "cv.folds=5", "cv.test_size=0.2")),
        (data(9_000), ("cv=stratified_kfold", "cv.folds=3", "cv.test_size=0.2")),
        (data(30_000), ()),
        (data(300, test_rows=np.arange(50)), ("cv=stratified_kfold", "cv.folds=5")),
        (data(300, groups=np.arange(300) // 3), ("cv=stratified_group_kfold", "cv.folds=5", "cv.test_size=0.2")),
        (data(300, groups=np.arange(300) // 50), ()),
        (data(300, times=np.arange(300)), ()),
        (data(300, parts=np.repeat(["train", "val", "test"], 100)), ()),
        (data(6), ("cv=stratified_kfold", "cv.folds=2", "cv.test_size=0.2")),
        (data(3), ()),
    ],
)  # fmt: skip
def test_folds_follow_from_the_rows(rows: Data, words: tuple[str, ...]) -> None:
    assert candidate_folds(rows, {"trainer": {}}).words == words


def test_values_that_exclude_a_default_are_reported(tmp_path: Path) -> None:
    words = ["dataset=iris", "sweep=auto", f"runs_dir='{tmp_path}'"]
    plan = plan_sweep([*words, "model=mlp", "model.hidden=4,8"])
    assert "the first has the defaults but for model.hidden" in describe_sweep(plan)["trials"]
    plan = plan_sweep([*words, "model=mlp,linear", "sweep.trials=1"])
    assert describe_sweep(plan)["trials"].startswith("1, the first has the defaults, too few to try linear")


def test_a_default_between_the_steps_of_a_range_is_one_more_value() -> None:
    space = Space((Dimension("model.hidden", Range(8, 64, 8)), Dimension("model.layers", Range(1, 4, 1))))
    config = compose(
        ["model=mlp", "model.hidden=10", "model.layers=6"], supplied=SUPPLIED, by_data=BY_DATA
    ).config
    ranges = {"model.hidden": "range(8,65,8)", "model.layers": "range(1,5)"}
    hidden, layers = with_starts(space, {"mlp": config}, {"mlp": ranges}).dimensions
    assert hidden.domain.values_in_order() == (8, 10, 16, 24, 32, 40, 48, 56, 64)
    assert layers.domain.values_in_order() == (1, 2, 3, 4, 5, 6)


def test_a_section_of_one_s_own_keeps_its_options_in_the_models_own_space(tmp_path: Path) -> None:
    own = tmp_path / "conf"
    (own / "sweep").mkdir(parents=True)
    (own / "dlcli.yaml").write_text("")
    (own / "sweep" / "mine.yaml").write_text("defaults:\n  - default\n  - _self_\ntrials: 3\n")
    plan = plan_sweep(["dataset=iris", "model=mlp", "sweep=mine", f"runs_dir='{tmp_path}'"], [own])
    assert plan.total == 3
    assert plan.space.starts
