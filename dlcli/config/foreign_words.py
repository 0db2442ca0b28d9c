"""Names of dlcli's keys and options in other tools: Hydra, LightningCLI, Keras, scikit-learn, yolo."""

from __future__ import annotations

# Keys of other tools that continue a run.
RESUMED = frozenset({"resume", "ckpt_path", "checkpoint", "resume_from_checkpoint", "resume_from"})

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
    "time_limit": "trainer.max_time",
    "max_time": "trainer.max_time",
    "timeout": "trainer.max_time",
    "budget": "trainer.max_time",
    "grad_clip": "trainer.gradient_clip_val",
    "clip_grad": "trainer.gradient_clip_val",
    "max_grad_norm": "trainer.gradient_clip_val",
    "grad_accum": "trainer.accumulate_grad_batches",
    "accumulation_steps": "trainer.accumulate_grad_batches",
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
    "drop": "dataset.drop",
    "drop_columns": "dataset.drop",
    "ignore_columns": "dataset.drop",
    "ignored_columns": "dataset.drop",
    "id_column": "dataset.drop",
    "group": "dataset.group",
    "groups": "dataset.group",
    "group_column": "dataset.group",
    "sep": "dataset.separator",
    "delimiter": "dataset.separator",
    "test_file": "dataset.test_path",
    "test_csv": "dataset.test_path",
    "test_data": "dataset.test_path",
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
    "n_estimators": "model.n_estimators",
    "max_depth": "model.max_depth",
    "class_weight": "task.loss.class_weights",
    "class_weights": "task.loss.class_weights",
    "label_smoothing": "task.loss.label_smoothing",
    "weights": "model.weights",
    "init_from": "model.weights",
    "from_checkpoint": "model.weights",
    "pretrained_weights": "model.weights",
    "warmup": "scheduler.warmup_epochs",
    "warmup_epochs": "scheduler.warmup_epochs",
    "mixup": "augmentation.mixup",
    "test_size": "cv.test_size",
    "test_split": "cv.test_size",
    "test_ratio": "cv.test_size",
    "val_ratio": "cv.val_size",
    "val_size": "cv.val_size",
    "val_split": "cv.val_size",
    "validation_split": "cv.val_size",
    "patience": "callbacks.early_stopping.patience",
    "early_stopping_patience": "callbacks.early_stopping.patience",
    "seed": "seed",
    "seed_everything": "seed",
    "random_state": "seed",
    "monitor": "monitor",
    "experiment_name": "experiment_name",
    "run_name": "run_name",
    "output_dir": "runs_dir",
    "out": "runs_dir",
    "out_dir": "runs_dir",
    "log_dir": "runs_dir",
    "logdir": "runs_dir",
    "results_dir": "runs_dir",
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
    "max_trials": "sweep.trials",
    "trials": "sweep.trials",
    "count": "sweep.trials",
    "n_iter": "sweep.trials",
    "hydra.sweeper.n_trials": "sweep.trials",
    "n_jobs": "executor.jobs",
    "jobs": "executor.jobs",
    "parallel": "executor.jobs",
    "nproc": "executor.jobs",
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
    "sched": "scheduler",
    "lr_schedule": "scheduler",
    "loss": "task/loss",
    "criterion": "task/loss",
    "problem_type": "task",
    "task_type": "task",
}

# Options of one letter, or a few, by their names.
SHORT = {
    **{
        "c": "config",
        "cn": "config_name",
        "d": "data",
        "i": "input",
        "f": "file",
        "t": "target",
        "y": "target",
    },
    **{
        "m": "model",
        "e": "epochs",
        "ep": "epochs",
        "b": "batch_size",
        "bs": "batch_size",
        "l": "lr",
        "lr": "lr",
    },
    **{
        "wd": "weight_decay",
        "s": "seed",
        "k": "folds",
        "g": "gpu",
        "w": "workers",
        "n": "name",
        "o": "output_dir",
    },
    **{"v": "verbose", "q": "quiet"},
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
    "trainer.fast_dev_run": ("trainer=debug",),
    "early_stopping": ("callbacks=default",),
    "stratify": ("cv.stratify=true",),
    "stratified": ("cv.stratify=true",),
    "augment": ("augmentation=image",),
    "deterministic": ("trainer.deterministic=true",),
    "profile": ("trainer=profile",),
    "ema": ("weight_averaging=ema",),
    "swa": ("weight_averaging=swa",),
    "freeze": ("finetune=feature_extraction",),
    "freeze_backbone": ("finetune=feature_extraction",),
    "lora": ("finetune=lora",),
    "tpu": ("trainer.accelerator=tpu",),
    "balanced": ("task.loss.class_weights=balanced",),
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
    **dict.fromkeys(("trainer.logger", "trainer.callbacks", "save", "no_save"), _IN_MLFLOW),
    **dict.fromkeys(
        ("overwrite", "force", "exist_ok"), "Each run has a folder of its own, so nothing is overwritten."
    ),
    **dict.fromkeys(
        ("features", "columns", "feature_columns"),
        "All columns but the target are used, except those of dataset.drop.",
    ),
    **dict.fromkeys(
        ("verbose", "quiet", "silent", "progress"), "Progress is shown where the output is a terminal."
    ),
    **dict.fromkeys(
        ("val_file", "validation_file", "val_csv", "val_data", "valid"),
        "Validation rows are split off (cv.val_size), or named by a column of the file (dataset.split).",
    ),
    **dict.fromkeys(("do_train", "do_eval", "train", "test"), _BOTH),
}

# Options of the trainer group in other projects that are accelerators here.
ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps", "tpu": "tpu"}

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
    *("data.path", "dataset.file"),
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
