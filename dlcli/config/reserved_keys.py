"""Arguments that dlcli passes itself: who tries to set one is told which key to use instead."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

_FROM_DATA = "It comes from the data."
_OF_TARGETS = dict.fromkeys(
    ("classes", "class_counts", "targets", "target_mean", "target_std", "target_quantiles", "naive_error"),
    _FROM_DATA,
) | dict.fromkeys(("horizon", "season"), "It is the dataset's.")

# Options of groups that stand for one that the data will decide: until then the section's keys cannot be judged.
BY_DATA = {"task": "auto", "preprocessing": "auto"}

# Section (dotted, `*` for one or more names) to the arguments that dlcli passes there, each with a hint.
Supplied = Mapping[str, Mapping[str, str]]

SUPPLIED: Supplied = {
    "model": {
        **dict.fromkeys(
            ("input_shape", "num_outputs", "cardinalities", "vocab_size", "horizon", "lookback"), _FROM_DATA
        ),
        "backbone_config": "It is read where model.name says.",
        "restored": "It says that a run's weights follow.",
    },
    "task": _OF_TARGETS
    | dict.fromkeys(("tuned_threshold", "tuned_thresholds"), "Training finds it: see task.tune_threshold."),
    "task.*": _OF_TARGETS,
    "optimizer": {"params": "They are the model's."},
    "scheduler": {
        "optimizer": "It is the optimizer group's.",
        "max_lr": "It is optimizer.lr.",
        "total_steps": "It follows from trainer.max_epochs and the number of rows.",
        "steps_per_epoch": "It follows from dataset.batch_size and the number of rows.",
    },
    "sweep.sampler": {
        "space": "It is sweep.space.",
        "seed": "It follows from seed.",
        "sweep_seed": "It is seed.",
        "earlier": "The sweep's own trials are.",
    },
    "sweep.pruner": {"max_resource": "It is trainer.max_epochs, or the number of folds."},
    "trainer": {
        "logger": "The record is MLflow's: see the tracking group.",
        "callbacks": "Use the callbacks group.",
        "enable_progress_bar": "dlcli draws its own bar.",
        "enable_model_summary": "The summary is always recorded.",
        "enable_checkpointing": "Checkpoints are always written: see tracking.checkpoint_minutes.",
        "default_root_dir": "Use runs_dir.",
        "num_sanity_val_steps": "dlcli does without.",
    },
    "trainer.profiler": {"dirpath": "It is profile/ in the run's folder."},
}


def supplied_to(section: str, supplied: Supplied) -> dict[str, str]:
    """The arguments that dlcli passes to a section's target, each with a hint."""
    return {
        argument: text
        for pattern, arguments in supplied.items()
        if fnmatchcase(section, pattern)
        for argument, text in arguments.items()
    }
