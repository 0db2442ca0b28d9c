"""Arguments that dlcli passes itself: who tries to set one is told which key to use instead."""

from __future__ import annotations

from collections.abc import Mapping

_FROM_DATA = "It comes from the data."

SUPPLIED: Mapping[str, Mapping[str, str]] = {
    "model": dict.fromkeys(("input_shape", "num_outputs"), _FROM_DATA),
    "task": {"classes": _FROM_DATA},
    "optimizer": {"params": "They are the model's."},
    "scheduler": {
        "optimizer": "It is the optimizer group's.",
        "max_lr": "It is optimizer.lr.",
        "total_steps": "It follows from trainer.max_epochs and the number of rows.",
        "steps_per_epoch": "It follows from dataset.batch_size and the number of rows.",
    },
    "trainer": {
        "logger": "The record is MLflow's: see the tracking group.",
        "callbacks": "Use the callbacks group.",
        "enable_progress_bar": "dlcli draws its own bar.",
        "enable_model_summary": "The summary is always recorded.",
        "enable_checkpointing": "Checkpoints are always written: see tracking.checkpoint_minutes.",
        "default_root_dir": "Use runs_dir.",
        "num_sanity_val_steps": "dlcli does without.",
    },
}
