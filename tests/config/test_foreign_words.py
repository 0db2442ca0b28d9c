"""For the names that other tools give keys, options, metrics and null, dlcli suggests its own."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from dlcli.config.build import locate
from dlcli.config.folders import options
from dlcli.config.foreign_options import OPTIONS
from dlcli.config.foreign_words import BY_DEFAULT
from dlcli.config.habits import translate_habits
from dlcli.config.metric_section import fitting_metrics
from dlcli.config.metric_words import metric_called, metrics_meant
from dlcli.config.yaml_file import read
from dlcli.errors import InputError
from dlcli.runner.check import check

IRIS = ["dataset=iris", "model=mlp", "trainer.accelerator=cpu"]
COMPUTED = ["val/loss", "val/accuracy", "val/auroc", "val/f1", "val/log_loss", "train/loss", "train/accuracy"]


def mistakes(*words: str) -> list[tuple[str, str, str]]:
    with pytest.raises(InputError) as caught:
        check([*IRIS, *words])
    return [(p.where, p.message, p.hint) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("typed", "message", "hint"),
    [
        ("seed=None", 'is the text "None", but needs int >= 0 and < 4294967296', "Leave it out"),
        ("callbacks.early_stopping.patience=none", 'is the text "none", but needs int', "Leave it out"),
        ("trainer.gradient_clip_val=none", 'is the text "none"', "For no value, write null."),
        ("trainer.max_epochs=None", 'is the text "None"', "For no value, write null."),
        ("run_name=true", "should be text, not true", "'run_name=\"true\"'"),
        ("optimizer.learning_rate=0.1", "has no argument learning_rate", "Did you mean optimizer.lr?"),
        ("optimizer.wd=0.1", "has no argument wd", "Did you mean optimizer.weight_decay?"),
        ("trainer.num_epochs=3", "has no argument num_epochs", "Did you mean trainer.max_epochs?"),
        ("model.lr=0.1", "has no argument lr", "Did you mean optimizer.lr?"),
        ("optimizer.momentum=0.9", "has no argument momentum", "Options with momentum: optimizer=sgd,"),
        ("cv.folds=5", "has no argument folds", "Options with folds: cv=kfold,"),
        ("task.quantiles=[0.1]", "has no argument quantiles", "Options with quantiles: task/loss=quantile."),
        ("cv.n_splits=5", "has no argument n_splits", "Options with folds: cv=kfold,"),
    ],
)
def test_keys_and_values_of_other_programs_get_the_setting_meant(typed: str, message: str, hint: str) -> None:
    ((where, found, advice),) = mistakes(typed)
    assert where == typed.partition("=")[0]
    assert message in found
    assert hint in advice


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("task=classification", "multiclass or binary"),
        ("task=reg", "regression"),
        ("task=timeseries", "forecast"),
        ("task/loss=bce", "binary_cross_entropy"),
        ("task/loss=CrossEntropyLoss", "cross_entropy"),
        ("scheduler=CosineAnnealingLR", "cosine"),
        ("scheduler=ReduceLROnPlateau", "plateau"),
        ("model=xgboost", "hist_gradient_boosting"),
        ("model=logistic_regression", "linear"),
    ],
)
def test_options_of_other_programs_get_the_option_meant(typed: str, meant: str) -> None:
    where, _, hint = mistakes(typed)[0]
    assert where == typed
    assert hint.startswith(f"Did you mean {meant}?")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("metric=acc", "'task.metrics=[default, accuracy]'"),
        ("metric=[acc,AUC]", "'task.metrics=[default, accuracy, auroc]'"),
        ("metric=nothing", "Choices: accuracy"),
        ("monitor=val_acc", "Did you mean val/accuracy?"),
        ("monitor=valid_f1_macro", "Did you mean val/f1?"),
        ("monitor=val/kappa", "'task.metrics=[default, cohen_kappa]' monitor=val/cohen_kappa"),
        ("task.metrics=[roc_auc]", "Did you mean auroc?"),
    ],
)
def test_metrics_of_other_programs_get_the_metric_meant(typed: str, hint: str) -> None:
    assert hint in mistakes(typed)[0][2]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("Accuracy", "val/accuracy"),
        ("train_acc", "train/accuracy"),
        ("test/roc_auc", "val/auroc"),
        ("validation.macro_f1", "val/f1"),
        ("f1_score", "val/f1"),
        ("neg_log_loss", "val/log_loss"),
        ("val_loss", "val/loss"),
        ("anything", ""),
    ],
)
def test_the_part_is_that_of_the_word(word: str, meant: str) -> None:
    assert metric_called(word, COMPUTED) == meant


CONLL = "".join(f"Ada B-PER\nsaw O\nBath {tag}\n\n" for tag in ("B-LOC", "O") * 15)
WITHOUT_DATA = {
    "tags": ["dataset=tags", "dataset.path=words.conll", "model.hidden=4"],
    "iris": ["dataset=iris", "model=mlp"],
    "two": ["dataset=breast_cancer", "model=mlp"],
    "numbers": ["dataset=diabetes", "model=mlp"],
}


@pytest.mark.parametrize(
    ("rows", "typed", "meant"),
    [
        ("tags", "monitor=val/f1", "monitor=val/entity_f1"),
        ("tags", "monitor=val/accuracy", "monitor=val/tag_accuracy"),
        ("tags", "monitor=val/macro_f1", ""),
        ("tags", "task=tags", "task=tag"),
        ("tags", "task=ner", "task=tag"),
        ("tags", "task=token_classification", "task=tag"),
        ("iris", "monitor=val/kappa", "'task.metrics=[default, cohen_kappa]' monitor=val/cohen_kappa"),
        ("iris", "--metric=mcc", "'task.metrics=[default, mcc]' monitor=val/mcc"),
        ("iris", "--metrics=acc,f1,", "'task.metrics=[default, accuracy, f1]'"),
        ("iris", "--metric=train_acc", "monitor=train/accuracy"),
        ("iris", "--train-size=.7", "cv.test_size=0.3"),
        ("two", "--objective=binary", "task=binary"),
        ("two", "--objective=binary:logistic", "task=binary"),
        ("numbers", "--objective=reg:squarederror", "task=regression"),
        ("numbers", "--loss=l1", "task/loss=mae"),
        ("numbers", "monitor=val/r2_score", "monitor=val/r2"),
    ],
)
def test_the_hint_composes_when_it_is_pasted(
    rows: str, typed: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.conll").write_text(CONLL)
    asked = [*WITHOUT_DATA[rows], "trainer.accelerator=cpu"]
    if typed.startswith("--"):
        problem = translate_habits(["train", typed], {})
        assert problem is not None
        hint = problem.hint
    else:
        with pytest.raises(InputError) as caught:
            check([*asked, typed])
        hint = caught.value.problems[0].hint
    if not meant:
        assert "task.metrics=[default, f1]" not in hint
        return
    assert (meant if typed.startswith("--") or " " in meant else meant.partition("=")[2]) in hint
    check([*asked, *shlex.split(meant)])


@pytest.mark.parametrize("group", OPTIONS)
def test_other_tools_names_mean_options_that_exist(group: str) -> None:
    there = options(group, ())
    assert {name for names in OPTIONS[group].values() for name in names} <= set(there)
    assert not set(OPTIONS[group]) & set(there)


def test_metrics_that_need_not_be_asked_for_are_computed_by_each_task_that_they_are_for() -> None:
    for task in ("multiclass", "binary", "multilabel", "regression", "forecast"):
        found = locate(read(options("task", ())[task])["_target_"], "task")
        for name in fitting_metrics(found):
            assert name not in BY_DEFAULT or name in found.default_metrics, (task, name)


def test_a_misspelt_metric_is_found_by_its_letters() -> None:
    assert metrics_meant("acuracy", ["accuracy", "f1"]) == ["accuracy"]
