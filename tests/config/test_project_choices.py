"""Options in dlcli.yaml stand above what files of datasets and models choose, and below experiments and the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dlcli
from dlcli.config.compose import Composed, draft, with_decided
from dlcli.config.folders import options, user_folders
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.config.yaml_file import read
from dlcli.errors import ConfigError, DataError

TEXT = ["dataset=text", "dataset.path=x.csv", "dataset.target=y"]
TABLE = ["dataset=table", "dataset.path=x.csv", "dataset.target=y"]


@pytest.fixture
def project(tmp_path: Path) -> Any:
    def compose(text: str, *words: str) -> Composed:
        (tmp_path / "dlcli.yaml").write_text(text)
        return draft(words, (tmp_path,), SUPPLIED, BY_DATA).composed

    return compose


def overridden(file: Path) -> dict[str, str]:
    """Return the options that a file chooses for other groups."""
    return {
        key.removeprefix("override /").partition("@")[0]: option
        for entry in read(file).get("defaults", ())
        if isinstance(entry, dict)
        for key, option in entry.items()
        if key.startswith("override /")
    }


def with_own_options(group: str) -> list[str]:
    """Return an option of a group for each set of options that files of the group choose."""
    chosen = {name: overridden(file) for name, file in options(group, ()).items()}
    return list({tuple(own.items()): name for name, own in chosen.items() if own}.values())


@pytest.mark.parametrize("dataset", with_own_options("dataset"))
def test_an_option_of_the_project_replaces_each_that_a_dataset_suggests(dataset: str, project: Any) -> None:
    suggested = overridden(options("dataset", ())[dataset])
    other = {
        group: next(
            name
            for name in ("mlp", "linear", *options(group, ()))
            if name in options(group, ()) and name != option
        )
        for group, option in suggested.items()
    }
    text = "".join(f"{group}: {option}\n" for group, option in other.items())
    found = project(text, f"dataset={dataset}")
    assert {group: found.choices[group] for group in other} == other
    assert not found.left_out
    assert suggested.items() <= {**dict(found.replaced), "optimizer": suggested.get("optimizer")}.items()
    # The command line stands above both.
    found = project(text, f"dataset={dataset}", *(f"{group}={option}" for group, option in suggested.items()))
    assert {group: found.choices[group] for group in suggested} == suggested


@pytest.mark.parametrize("model", with_own_options("model"))
def test_a_model_comes_with_its_own_options_if_it_is_named_above_the_project(
    model: str, project: Any
) -> None:
    own = overridden(options("model", ())[model])
    other = {
        group: next(name for name in options(group, ()) if name not in (option, "auto"))
        for group, option in own.items()
    }
    text = "".join(f"{group}: {option}\n" for group, option in other.items())
    named = project(text, *TABLE, f"model={model}")
    assert {group: named.choices[group] for group in own} == own
    assert [problem.where for problem in named.left_out] == [
        f"{group}={name}" for group, name in other.items()
    ]
    # In the project, its options stand beside the model, as they do on the command line.
    beside = project(f"{text}model: {model}\n", *TABLE)
    assert {group: beside.choices[group] for group in own} == other
    assert beside.choices["model"] == model
    assert not beside.left_out
    # Without any, the model has its own.
    assert {**own, **project(f"model: {model}\n", *TABLE).choices} == project(
        f"model: {model}\n", *TABLE
    ).choices


def test_what_is_not_used_is_told_with_the_key_that_decides(project: Any) -> None:
    found = project("seed: 3\noptimizer: sgd\noptimizer.momentum: 0.5\n", "dataset=iris", "model=linear")
    assert found.choices["optimizer"] == "penalty_path"
    first, second = found.left_out
    assert first.line.startswith(
        "optimizer=sgd: is not used: model=linear comes with optimizer=penalty_path ("
    )
    assert first.line.endswith("dlcli.yaml:2)")
    assert first.hint == "To use it, add optimizer=sgd to the command."
    assert second.where == "optimizer.momentum"
    found = project(
        "optimizer: sgd\noptimizer.momentum: 0.5\n", "dataset=iris", "model=linear", "optimizer=sgd"
    )
    assert (found.choices["optimizer"], found.config["optimizer"]["momentum"]) == ("sgd", 0.5)
    assert not found.left_out


def test_an_experiment_stands_above_the_project(project: Any, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults:\n  - override /dataset: iris\n  - override /model: {}\n"
    for model in ("linear", "table_resnet"):
        (tmp_path / "experiment" / f"{model}.yaml").write_text(text.format(model))
    (tmp_path / "experiment" / "rows.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /dataset: iris\n"
    )
    mine = "model: ft_transformer\noptimizer: sgd\n"
    for words, model, optimizer in (
        (["experiment=linear"], "linear", "penalty_path"),
        (["experiment=table_resnet"], "table_resnet", "sgd"),
        (["experiment=rows"], "ft_transformer", "sgd"),
        (["experiment=linear", "model=mlp"], "mlp", "sgd"),
    ):
        found = project(mine, *words)
        assert (found.choices["model"], found.choices["optimizer"]) == (model, optimizer)
        named = project(f"{mine}experiment: {words[0].partition('=')[2]}\n", *words[1:])
        assert named.choices == found.choices
        assert [problem.where for problem in found.left_out] == ["optimizer=sgd"] * (optimizer != "sgd")


def test_keys_of_an_option_belong_to_the_one_that_the_project_chooses(project: Any) -> None:
    found = project(
        "model: mlp\nmodel.hidden: 3\nmodel.layers: 1\n", "dataset=text", "dataset.path=x", "dataset.target=y"
    )
    assert (found.config["model"]["hidden"], found.config["model"]["layers"]) == (3, 1)
    assert found.origins()["model.hidden"].endswith("dlcli.yaml:2")
    alone = project("model: {hidden: 3}\n", "dataset=iris")
    assert (alone.choices["model"], alone.config["model"]["hidden"]) == ("mlp", 3)
    typed = project("model: mlp\nmodel.hidden: 3\n", *TABLE, "model.hidden=5")
    assert typed.config["model"]["hidden"] == 5


def test_keys_of_an_option_that_an_experiment_replaces_are_left_out(project: Any) -> None:
    found = project("model: mlp\nmodel.hidden: 3\nmodel.dropout: 0.5\n", "experiment=etth1_linear")
    assert found.choices["model"] == "linear_forecast"
    assert [problem.where for problem in found.left_out] == ["model.hidden", "model.dropout"]


def test_a_preprocessing_that_a_model_replaces_is_told_also_once_the_data_has_decided(
    project: Any, tmp_path: Path
) -> None:
    (tmp_path / "dlcli.yaml").write_text("preprocessing: image\ntask.average: macro\n")
    found = draft([*TABLE, "model=random_forest"], (tmp_path,), SUPPLIED, BY_DATA)
    for one in (found, with_decided(found, {"task": "multiclass"})):
        assert one.composed.choices["preprocessing"] == "trees"
        assert [problem.where for problem in one.composed.left_out] == ["preprocessing=image"]


def test_a_search_that_is_asked_for_has_its_own_section(project: Any) -> None:
    assert project("sweep: default\n", "dataset=iris", "effort=best").choices["sweep"] == "auto"
    assert project("sweep: default\neffort: best\n", "dataset=iris").choices["sweep"] == "default"
    assert project("effort: best\n", "dataset=iris").choices["sweep"] == "auto"


@pytest.mark.parametrize("task", ([], ["task=regression"]))
def test_an_option_within_a_group_may_be_chosen_too(task: list[str], project: Any) -> None:
    found = project("task/loss: mae\nsweep/sampler: random\n", "dataset=diabetes", *task)
    assert (found.choices["task/loss"], found.choices["sweep/sampler"]) == ("mae", "random")
    assert (
        project("task/loss: mae\n", "dataset=diabetes", *task, "task/loss=huber").choices["task/loss"]
        == "huber"
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("scheduler: cosine", ["dataset=iris", "model=random_forest"]),
        ("weight_averaging: ema", ["dataset=digits", "model=linear"]),
        ("finder: lr", TEXT),
        ("augmentation: image", ["dataset=digits", "model=linear"]),
    ],
)
def test_settings_of_steps_are_left_out_for_a_model_that_the_command_chooses_and_that_takes_none(
    line: str, words: list[str], project: Any
) -> None:
    group, option = line.split(": ")
    found = project(f"seed: 1\n{line}\n{group}._target_: x.Y\ntrainer.gradient_clip_val: 1\n", *words)
    assert (group in found.choices and found.choices[group], found.config["seed"]) == ("none", 1)
    assert [(one.where, one.message.rpartition(":")[2]) for one in found.left_out] == [
        (f"{group}={option}", "2)"),
        (f"{group}._target_", "3)"),
        ("trainer.gradient_clip_val", "4)"),
    ]
    # A model that is trained by steps uses them, and so does the model with another optimizer.
    assert project(f"{line}\n", "dataset=digits", "model=mlp").choices[group] == option
    assert not project(f"{line}\n", "dataset=digits", "model=linear", "optimizer=adam").left_out
    # What the command or the project itself combines is not left out: the check refuses it.
    assert project(f"{line}\n", *words, f"{group}={option}").choices[group] == option
    assert project(f"{line}\nmodel: linear\n", "dataset=digits").choices[group] == option


def test_keys_that_options_of_the_command_lack_are_left_out(project: Any) -> None:
    for line, *words in (
        ("model.hidden: 64", "dataset=iris", "model=linear"),
        ("optimizer.lr: 0.1", "dataset=iris", "model=random_forest"),
        ("dataset.path: x.csv", "dataset=iris"),
        ("task.average: macro", "dataset=diabetes", "task=regression"),
        ("task.loss.label_smoothing: 0.1", "dataset=diabetes", "task=regression"),
        ("preprocessing.missing: keep", "dataset=digits"),
    ):
        assert [one.where for one in project(f"{line}\n", *words).left_out] == [line.split(":")[0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optimizer.momentum: 0.9", ["dataset=iris"]),  # nothing was chosen in place of the option
        ("model.hiden: 64", ["dataset=iris", "model=linear"]),  # no option has the key
        ("cv.folds: 5", ["dataset=iris"]),
    ],
)
def test_other_keys_that_do_not_exist_are_mistakes(text: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "dlcli.yaml").write_text(text)
    with pytest.raises((ConfigError, DataError)) as caught:
        dlcli.check(words, conf_dirs=[tmp_path])
    (problem,) = caught.value.problems
    assert problem.where == text.split(":")[0]
    assert "dlcli.yaml:1" in problem.message


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("seed: 1\nmodel: linear\nscheduler: cosine", ["dataset=iris"], 3),
        ("cv: stratified_kfold", ["dataset=diabetes"], 1),
        ("seed: 1\nmonitor: val/accuracy", ["dataset=diabetes"], 2),
        ("task.metrics: [f1]", ["dataset=diabetes"], 1),
        ("task/loss: mae", ["dataset=iris"], 1),
        ("finetune: fine_tuning", ["dataset=iris"], 1),
    ],
)
def test_mistakes_that_the_data_shows_name_the_file_too(
    text: str, words: list[str], line: int, tmp_path: Path
) -> None:
    (tmp_path / "dlcli.yaml").write_text(text)
    with pytest.raises((ConfigError, DataError)) as caught:
        dlcli.check(words, conf_dirs=[tmp_path])
    (problem,) = caught.value.problems
    assert problem.message.endswith(f"dlcli.yaml:{line})")
    key, option = text.splitlines()[-1].split(": ")
    if "." not in key:  # the command's own mistake
        with pytest.raises((ConfigError, DataError)) as caught:
            dlcli.check(
                [*words, f"{key}={option}", *(["model=linear"] if line == 3 else [])], conf_dirs=[tmp_path]
            )
        assert all("dlcli.yaml" not in problem.message for problem in caught.value.problems)


def test_the_file_of_a_project_above_the_current_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, below = tmp_path / "conf" / "dlcli.yaml", tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert not draft(["dataset=iris"]).composed.left_out
    file.parent.mkdir()
    file.write_text("seed: 3\n")
    (told,) = draft(["dataset=iris"]).composed.left_out
    assert told.where == str(file)
    assert told.hint.startswith(f"Run the command in {tmp_path}, ")
    assert not draft(["dataset=iris"], [file.parent]).composed.left_out
    monkeypatch.chdir(tmp_path)
    assert not draft(["dataset=iris"], user_folders()).composed.left_out
