"""Names of dlcli's commands and keys in other tools: Hydra, LightningCLI, Keras, scikit-learn, yolo."""

from __future__ import annotations

# Commands of other tools.
FOREIGN_COMMANDS = {
    "fit": "train",
    "run": "train",
    "tune": "sweep",
    "experiment": "train",
    "hyperopt": "sweep",
    "search": "sweep",
    "optimize": "sweep",
    "hpo": "sweep",
    "test": "eval",
    "evaluate": "eval",
    "score": "eval",
    "validate": "eval",
    "val": "eval",
    "infer": "predict",
    "inference": "predict",
}

# Keys of other tools that continue a run.
RESUMED = frozenset({"resume", "ckpt_path", "resume_from_checkpoint", "resume_from"})

# Names that other tools give to keys; `-` and `_` are the same.
KEYS = {
    "epochs": "trainer.max_epochs",
    "e": "trainer.max_epochs",
    "epoch": "trainer.max_epochs",
    "max_epoch": "trainer.max_epochs",
    "num_epoch": "trainer.max_epochs",
    "n_epoch": "trainer.max_epochs",
    "nb_epoch": "trainer.max_epochs",
    "trainer.epochs": "trainer.max_epochs",
    "max_epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "n_epochs": "trainer.max_epochs",
    "nepochs": "trainer.max_epochs",
    "num_train_epochs": "trainer.max_epochs",
    "max_steps": "trainer.max_steps",
    "devices": "trainer.devices",
    "gpus": "trainer.devices",
    "trainer.gpus": "trainer.devices",
    "nproc_per_node": "trainer.devices",
    "num_processes": "trainer.devices",
    "precision": "trainer.precision",
    "accelerator": "trainer.accelerator",
    "grad_clip": "trainer.gradient_clip_val",
    "clip_grad": "trainer.gradient_clip_val",
    "max_grad_norm": "trainer.gradient_clip_val",
    "gradient_accumulation_steps": "trainer.accumulate_grad_batches",
    "gradient_clip_val": "trainer.gradient_clip_val",
    "accumulate_grad_batches": "trainer.accumulate_grad_batches",
    "lr": "optimizer.lr",
    "lr0": "optimizer.lr",
    "learning_rate": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "wd": "optimizer.weight_decay",
    "momentum": "optimizer.momentum",
    "batch": "dataset.batch_size",
    "b": "dataset.batch_size",
    "per_device_train_batch_size": "dataset.batch_size",
    "batch_size": "dataset.batch_size",
    "bs": "dataset.batch_size",
    "max_tokens": "dataset.batch_tokens",
    "tokens_per_batch": "dataset.batch_tokens",
    "target": "dataset.target",
    "label": "dataset.target",
    "target_column": "dataset.target",
    "label_column": "dataset.target",
    "y": "dataset.target",
    "imgsz": "dataset.size",
    "image_size": "dataset.size",
    "img_size": "dataset.size",
    "hidden": "model.hidden",
    "hidden_size": "model.hidden",
    "hidden_dim": "model.hidden",
    "num_layers": "model.layers",
    "n_layers": "model.layers",
    "layers": "model.layers",
    "dropout": "model.dropout",
    "test_size": "cv.test_size",
    "test_split": "cv.test_size",
    "val_size": "cv.val_size",
    "val_split": "cv.val_size",
    "validation_split": "cv.val_size",
    "patience": "callbacks.early_stopping.patience",
    "early_stopping_patience": "callbacks.early_stopping.patience",
    "seed": "seed",
    "random_state": "seed",
    "monitor": "monitor",
    "experiment_name": "experiment_name",
    "run_name": "run_name",
    "output_dir": "runs_dir",
    "save_dir": "runs_dir",
    "project": "runs_dir",
    "paths.output_dir": "runs_dir",
    "paths.log_dir": "runs_dir",
    "paths.data_dir": "dataset.root",
    "data.data_dir": "dataset.root",
    "data.batch_size": "dataset.batch_size",
    "model.optimizer.lr": "optimizer.lr",
    "model.optimizer.weight_decay": "optimizer.weight_decay",
    "name": "run_name",
    "task_name": "experiment_name",
    "n_trials": "sweep.trials",
    "num_trials": "sweep.trials",
    "hydra.sweeper.n_trials": "sweep.trials",
    "n_jobs": "executor.jobs",
    "hydra.sweeper.n_jobs": "executor.jobs",
    "hydra.launcher.n_jobs": "executor.jobs",
    "hydra.run.dir": "runs_dir",
    "hydra.sweep.dir": "runs_dir",
}

# Names that other tools give to groups.
GROUPS = {
    "arch": "model",
    "architecture": "model",
    "model_type": "model",
    "model_name": "model",
    "datamodule": "dataset",
    "net": "model",
    "network": "model",
    "optim": "optimizer",
    "opt": "optimizer",
    "lr_scheduler": "scheduler",
    "loss": "task/loss",
    "criterion": "task/loss",
}

# Names of options in other tools, by group; the likeliest first.
OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "task": {
        "classification": ("multiclass", "binary"),
        "classify": ("multiclass", "binary"),
        "categorical": ("multiclass",),
        "softmax": ("multiclass",),
        "sigmoid": ("binary",),
        "numeric": ("regression",),
        "timeseries": ("forecast",),
        "time_series": ("forecast",),
        "tags": ("tag",),
        "tagging": ("tag",),
        "ner": ("tag",),
        "pos": ("tag",),
        "pos_tagging": ("tag",),
        "named_entity_recognition": ("tag",),
        "token_classification": ("tag",),
        "qa": ("answer_span",),
        "squad": ("answer_span",),
        "question_answering": ("answer_span",),
        "extractive_qa": ("answer_span",),
        "multi_label": ("multilabel",),
        "multi_label_classification": ("multilabel",),
        "object_detection": ("detection",),
        "detect": ("detection",),
        "semantic_segmentation": ("segmentation",),
        "segment": ("segmentation",),
        "translation": ("seq2seq",),
        "summarization": ("seq2seq",),
        "text2text_generation": ("seq2seq",),
        "asr": ("ctc",),
        "speech_recognition": ("ctc",),
        "automatic_speech_recognition": ("ctc",),
        "speech_to_text": ("ctc",),
        "lm": ("language_model",),
        "causal_lm": ("language_model",),
        "language_modeling": ("language_model",),
        "text_generation": ("language_model",),
    },
    "task/loss": {
        "bce": ("binary_cross_entropy",),
        "log_loss": ("cross_entropy", "binary_cross_entropy"),
        "logloss": ("cross_entropy", "binary_cross_entropy"),
        "ce": ("cross_entropy",),
        "nll": ("cross_entropy",),
        "l1": ("mae",),
        "l2": ("mse",),
        "smooth_l1": ("huber",),
        "pinball": ("quantile",),
    },
    "model": {
        "logistic_regression": ("linear",),
        "logistic": ("linear",),
        "logreg": ("linear",),
        "ridge": ("linear",),
        "rf": ("random_forest",),
        "xgboost": ("hist_gradient_boosting",),
        "lightgbm": ("hist_gradient_boosting",),
        "catboost": ("hist_gradient_boosting",),
        "gbm": ("hist_gradient_boosting",),
        "bert": ("pretrained_text",),
        "mobilenet": ("pretrained_image",),
        "efficientnet": ("pretrained_image",),
        "vit": ("pretrained_image",),
    },
    "dataset": {
        "csv": ("table",),
        "parquet": ("table",),
        "excel": ("table",),
        "images": ("image_folder",),
        "ner": ("tags",),
        "pos": ("tags",),
        "conll": ("tags",),
        "conll2003": ("tags",),
        "token_classification": ("tags",),
        "qa": ("squad",),
        "squad_v2": ("squad",),
        "question_answering": ("squad",),
        "masks": ("image_masks",),
        "segmentation": ("image_masks",),
        "coco": ("detection",),
        "translation": ("pairs",),
        "audio": ("audio_folder",),
        "asr": ("speech",),
        "ljspeech": ("speech",),
        "librispeech": ("speech",),
        "common_voice": ("speech",),
        "timeseries": ("series",),
    },
    "scheduler": {
        "reducelronplateau": ("plateau",),
        "reduce_on_plateau": ("plateau",),
        "constant": ("none",),
    },
    "callbacks": {
        "early_stopping": ("default",),
        "model_checkpoint": ("default",),
        "rich_progress_bar": ("default",),
    },
    "cv": {"loo": ("leave_one_out",), "train_test_split": ("holdout",), "timeseriessplit": ("time_series",)},
}

# Objectives of XGBoost, LightGBM and CatBoost: the task, with its loss if that is not the default.
OBJECTIVES = {
    "binary:logistic": ("task=binary",),
    "logloss": ("task=binary",),
    "cross_entropy": ("task=binary",),
    "multi:softmax": ("task=multiclass",),
    "multi:softprob": ("task=multiclass",),
    "multilogloss": ("task=multiclass",),
    "reg:squarederror": ("task=regression",),
    "regression_l2": ("task=regression",),
    "rmse": ("task=regression",),
    "reg:absoluteerror": ("task/loss=mae",),
    "regression_l1": ("task/loss=mae",),
    "reg:pseudohubererror": ("task/loss=huber",),
}

# Names of the number of folds.
FOLDS = (
    *("folds", "n_splits", "n_folds", "num_folds", "nfolds", "cv_folds"),
    *("k_folds", "k_fold", "kfold", "kfolds"),
)

# Options without a value.
FLAGS = {
    "no_gpu": ("trainer.accelerator=cpu",),
    "no_cuda": ("trainer.accelerator=cpu",),
    "cpu": ("trainer.accelerator=cpu",),
    "gpu": ("trainer.accelerator=gpu",),
    "cuda": ("trainer.accelerator=gpu",),
    "fp16": ("trainer.precision=16-mixed",),
    "amp": ("trainer.precision=16-mixed",),
    "bf16": ("trainer.precision=bf16-mixed",),
    "debug": ("trainer=debug",),
    "fast_dev_run": ("trainer=debug",),
    "early_stopping": ("callbacks=default",),
    "stratify": ("cv.stratify=true",),
    "stratified": ("cv.stratify=true",),
    "augment": ("augmentation=image",),
}

# Keys for which dlcli needs no word, with the reason.
_IN_MLFLOW = "Every run is recorded in MLflow, which dlcli ui shows."
_BOTH = "dlcli train trains and evaluates."
UNNEEDED = {
    **dict.fromkeys(
        ("workers", "num_workers", "dataloader_num_workers", "dataset.num_workers", "data.num_workers"),
        "Batches are read from memory, without worker processes.",
    ),
    **dict.fromkeys(("logger", "report_to", "wandb", "tensorboard", "use_wandb"), _IN_MLFLOW),
    "tags": "Tags are given to a run: dlcli runs tag last KEY=VALUE.",
    **dict.fromkeys(("do_train", "do_eval", "train", "test"), _BOTH),
}

# Options of the trainer group in other projects that are accelerators here.
ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps", "tpu": "tpu"}

# What yolo and others call `mode`, `task` and the command in one.
MODES = {"train": "train", "val": "eval", "test": "eval", "predict": "predict", "export": "export"}

YOLO_TASKS = {"detect": "detection", "segment": "segmentation", "classify": "multiclass"}

# Names of a run, of files of new rows, and of the file that is written, in commands that take a trained model.
RUNS = frozenset(
    {"model", "checkpoint", "ckpt", "ckpt_path", "weights", "run", "run_id", "run_dir", "model_path"}
)
NEW_ROWS = frozenset({"data", "dataset", "input", "i", "source", "file", "files", "csv", "test_file"})
WRITTEN = frozenset({"out", "output_file", "save", "save_path"})
FORMATS = {"onnx": "onnx", "torchscript": "pt2", "pt2": "pt2", "executorch": "pte", "pte": "pte"}

DATA = (
    *("data", "dataset", "data_path", "data_file", "dataset_path", "file", "input", "input_file"),
    *("csv", "csv_path", "csv_file", "train_file", "train_csv", "train_data", "train_path"),
)
METRICS = ("metric", "metrics", "eval_metric", "val_metric")
# Metrics that each task with targets of their kind computes by default.
BY_DEFAULT = frozenset(
    {
        *("loss", "accuracy", "balanced_accuracy", "precision", "recall", "f1"),
        *("auroc", "average_precision", "log_loss", "mae", "mse", "rmse"),
    }
)

# The share of rows to train on, of which the rest is tested on.
SHARES = ("train_size", "train_split", "train_ratio")
EXPERIMENTS = ("config", "config_name", "config_file", "cfg", "cn")
DEVICES = ("device", "cuda_device", "gpu", "gpu_id")
# The number of GPUs, or which.
GPUS = ("gpus", "num_gpus", "n_gpus", "n_gpu", "trainer.gpus")
