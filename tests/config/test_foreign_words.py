"""Words of other tools for keys, options, metrics and for no value are answered with dlcli's own."""

from __future__ import annotations

import pytest

from dlcli.config.metric_words import metric_called, metrics_meant
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
        ("cv.n_splits=5", "has no argument n_splits", "Options with folds: cv=kfold,"),
    ],
)
def test_keys_and_values(typed: str, message: str, hint: str) -> None:
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
def test_options(typed: str, meant: str) -> None:
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
def test_metrics(typed: str, hint: str) -> None:
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


def test_a_misspelt_metric_is_found_by_its_letters() -> None:
    assert metrics_meant("acuracy", ["accuracy", "f1"]) == ["accuracy"]
