"""Commands and programs of other tools: Hydra, LightningCLI, Ludwig, Guild AI, MLflow, yolo."""

from __future__ import annotations

# Commands of other tools to those of dlcli.
FOREIGN_COMMANDS = {
    **dict.fromkeys(("fit", "run", "experiment", "finetune", "pretrain", "learn"), "train"),
    **dict.fromkeys(("cross-validate", "cross_validate", "crossval", "cv", "kfold"), "train cv=kfold"),
    **dict.fromkeys(("tune", "hyperopt", "search", "optimize", "hpo", "multirun"), "sweep"),
    **dict.fromkeys(("test", "evaluate", "score", "validate", "val"), "eval"),
    **dict.fromkeys(("infer", "inference", "generate", "sample"), "predict"),
    **dict.fromkeys(("continue", "resume-training", "resume_training"), "resume"),
    **dict.fromkeys(("deploy", "serving"), "serve"),
    **dict.fromkeys(("convert", "onnx", "quantize"), "export"),
    **dict.fromkeys(("plot", "visualize", "summary"), "report"),
    **dict.fromkeys(("interpret", "importance"), "explain"),
    **dict.fromkeys(("ls", "status", "history", "experiments", "jobs", "logs"), "runs"),
    **dict.fromkeys(("delete", "remove", "rm"), "runs rm"),
    **dict.fromkeys(("tensorboard", "view", "dashboard"), "ui"),
    **dict.fromkeys(("checks", "info", "env", "diagnose"), "doctor"),
    **dict.fromkeys(("settings", "cfg", "config", "print_config", "print-config"), "show"),
    **dict.fromkeys(("init", "create", "setup", "new-project"), "new project"),
    "models": "list model",
    "datasets": "list dataset",
    "metrics": "list metric",
}

# What yolo and others call `mode`, `task` and the command in one.
MODES = {"train": "train", "val": "eval", "test": "eval", "predict": "predict", "export": "export"}

# Programs in front of a command. Others are recognized by what follows them.
PROGRAMS = frozenset(
    {
        *("accelerate", "dlcli", "keras", "lightning", "ludwig", "mlflow", "poetry", "python", "python3"),
        *("srun", "torchrun", "uv", "yolo"),
    }
)
