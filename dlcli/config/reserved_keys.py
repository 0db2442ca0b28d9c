"""Arguments that dlcli passes itself, each with a hint for a user who tries to set it."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

_FROM_DATA = "It comes from the data."
_OF_TARGETS = dict.fromkeys(
    (
        "classes",
        "class_counts",
        "typical_boxes",
        "targets",
        "target_mean",
        "target_std",
        "target_quantiles",
        "naive_error",
        "naive_quantiles",
        "relative_quantiles",
        "several_series",
        "longest",
        "usual_words",
        "usual_tags",
        "unanswerable",
        "characters",
        "character_counts",
        "pair_counts",
        "words",
        "word_counts",
        "typical_text",
        "transcripts",
    ),
    _FROM_DATA,
) | dict.fromkeys(("horizon", "season"), "It comes from the dataset.")

# Group to the option that lets the data decide. Until then the section's keys cannot be validated.
BY_DATA = {"task": "auto", "preprocessing": "auto"}

# Section (dotted, `*` for one or more names) to the arguments that dlcli passes there, each with a hint.
Supplied = Mapping[str, Mapping[str, str]]

SUPPLIED: Supplied = {
    "model": {
        **dict.fromkeys(
            (
                "input_shape",
                "num_outputs",
                "outputs_of",
                "output_names",
                "cardinalities",
                "vocab_size",
                "shares_vocabulary",
                "context",
                "horizon",
                "lookback",
                "targets",
                "quantiles",
                "training_rows",
            ),
            _FROM_DATA,
        ),
        "backbone_config": "It is read from the pretrained model that model.name gives.",
        "restored": "dlcli sets it when it loads a run's weights.",
    },
    "preprocessing": dict.fromkeys(
        ("reads_text", "longest_text", "takes_variables", "reads_audio"), "It follows from the model."
    ),
    "task": _OF_TARGETS
    | dict.fromkeys(("tuned_threshold", "tuned_thresholds"), "Training tunes it: see task.tune_threshold.")
    | dict.fromkeys(
        (
            "judge_weights",
            "judge_image",
            "judge_reference",
            "judge_accuracy",
            "judge_rows",
            "judge_network",
            "judge_name",
        ),
        "They come from the judge: see task.judge.",
    )
    | dict.fromkeys(
        ("calibrated_by", "calibration", "calibration_scores"), "Training finds it: see task.calibrate."
    ),
    "task.*": _OF_TARGETS,
    "metric.*": _OF_TARGETS
    | dict.fromkeys(
        ("task", "num_classes", "num_labels", "num_types", "num_outputs", "around", "offset", "deviation"),
        _FROM_DATA,
    )
    | {"levels": "Use task.loss.quantiles."},
    "optimizer": {"params": "dlcli passes the model's parameters."},
    "scheduler": {
        "optimizer": "Use the optimizer group.",
        "max_lr": "Use optimizer.lr.",
        "total_steps": "It follows from trainer.max_epochs and the number of rows.",
        "steps_per_epoch": "It follows from dataset.batch_size and the number of rows.",
    },
    "sweep.sampler": {
        "space": "Use sweep.space.",
        "seed": "It follows from seed.",
        "sweep_seed": "Use seed.",
        "earlier": "dlcli passes the sweep's earlier trials.",
    },
    "sweep.pruner": {"max_resource": "It follows from trainer.max_epochs or the number of folds."},
    "trainer": {
        "logger": "dlcli records to MLflow: see the tracking group.",
        "callbacks": "Use the callbacks group.",
        "enable_progress_bar": "dlcli draws its own bar.",
        "enable_model_summary": "The summary is always recorded.",
        "enable_checkpointing": "Checkpoints are always written: see tracking.checkpoint_minutes.",
        "default_root_dir": "Use runs_dir.",
        "num_sanity_val_steps": "dlcli runs no sanity check.",
    },
    "trainer.profiler": {"dirpath": "dlcli writes to profile/ in the run's folder."},
}


def supplied_to(section: str, supplied: Supplied) -> dict[str, str]:
    """Return the arguments that dlcli passes to a section's target, each with a hint."""
    return {
        argument: text
        for pattern, arguments in supplied.items()
        if fnmatchcase(section, pattern)
        for argument, text in arguments.items()
    }
