"""Support of the arguments of Lightning's trainer in dlcli."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Treatment:
    """Support of one argument.

    Attributes:
        values: accepted values, or None for all values that the trainer accepts.
        reason: reason for refusing other values.
        instead: alternative, for messages.
        chunks: values with which Lightning need not process single steps; by default all accepted ones.
    """

    values: tuple[Any, ...] | None = None
    reason: str = ""
    instead: str = ""
    chunks: tuple[Any, ...] | None = None


_EVALUATION = "dlcli evaluates the saved model itself, on all rows of a part"
_PARTIAL = "the best epoch is chosen on all validation rows, with the weights that are saved"
_SHORT_EPOCHS = (
    "For more frequent validation, train more and shorter epochs: trainer.limit_train_batches=0.25."
)

# The arguments that dlcli sets itself are in `dlcli.config.reserved_keys`.
ARGUMENTS: Mapping[str, Treatment] = {
    "accelerator": Treatment(),
    "strategy": Treatment(
        ("auto", "ddp"),
        "dlcli trains on one device, or on several with DistributedDataParallel",
        "Use trainer.strategy=ddp.",
        chunks=("auto", "ddp"),
    ),
    "devices": Treatment(),
    "num_nodes": Treatment(),
    "precision": Treatment(
        (None, 32, "32", "32-true", "bf16", "bf16-mixed", 16, "16", "16-mixed"),
        "the weights, the preprocessing and the saved model have 32 bits",
        "Use trainer.precision=bf16-mixed, 16-mixed or 32.",
        chunks=(None, 32, "32", "32-true", "bf16", "bf16-mixed"),
    ),
    "max_epochs": Treatment(),
    "min_epochs": Treatment(),
    "max_steps": Treatment(chunks=(-1,)),
    "min_steps": Treatment(chunks=(None,)),
    "max_time": Treatment(),
    "limit_train_batches": Treatment(chunks=(None, 1.0)),
    "accumulate_grad_batches": Treatment(chunks=(1,)),
    "gradient_clip_val": Treatment(chunks=(None, 0, 0.0)),
    "gradient_clip_algorithm": Treatment(),
    "deterministic": Treatment(),
    "benchmark": Treatment(),
    "inference_mode": Treatment(),
    "detect_anomaly": Treatment(chunks=(False,)),
    "profiler": Treatment(chunks=(None,)),
    "limit_val_batches": Treatment(
        (None, 1.0), _PARTIAL, "For fewer validation rows, use cv.val_size=0.05 or another share."
    ),
    "val_check_interval": Treatment((None, 1.0), f"{_PARTIAL}: at the end of each epoch", _SHORT_EPOCHS),
    "check_val_every_n_epoch": Treatment(
        (1,),
        "the best epoch is chosen among all epochs, so each one is validated",
        "Remove it; fewer validation rows (cv.val_size=0.05) take less time.",
    ),
    "limit_test_batches": Treatment((None, 1.0), _EVALUATION, "Remove it, or use trainer=debug."),
    "limit_predict_batches": Treatment((None, 1.0), _EVALUATION, "Remove it, or predict fewer rows."),
    "overfit_batches": Treatment(
        (0, 0.0),
        "validation would use training rows",
        "To see whether a model can fit a few batches, use trainer.limit_train_batches=2 monitor=train/loss.",
    ),
    "fast_dev_run": Treatment((False, 0), "it would save nothing", "Use trainer=debug."),
    "barebones": Treatment((False,), "it would save nothing", "Remove it: dlcli's steps already have minimal "
    "overhead."),
    "log_every_n_steps": Treatment((None,), "dlcli records metrics after each epoch", "Remove it."),
    "use_distributed_sampler": Treatment((True,), "each process reads its own part of every batch", "Remove it."),
    "sync_batchnorm": Treatment(
        (False,),
        "it is not supported on several devices, and has no effect on one",
        "Use model.normalization=group, which does not depend on the batch.",
    ),
    "reload_dataloaders_every_n_epochs": Treatment((0,), "the rows of a run do not change", "Remove it."),
    "plugins": Treatment((None,), "dlcli passes its own plugins", "Remove it."),
    "enable_autolog_hparams": Treatment((True,), "dlcli records the whole configuration", "Remove it."),
    "model_registry": Treatment((None,), "dlcli saves no model to Lightning's registry", "Use dlcli export RUN."),
}  # fmt: skip


def unsupported(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Treatment]]:
    """Yield the arguments, by name, whose values are not accepted."""
    for name, treatment in ARGUMENTS.items():
        if name in arguments and not is_among(arguments[name], treatment.values):
            yield name, treatment


def needs_single_steps(arguments: Mapping[str, Any]) -> bool:
    """Return whether an argument requires Lightning to process every single step."""
    return any(
        name in arguments and not is_among(arguments[name], treatment.chunks or treatment.values)
        for name, treatment in ARGUMENTS.items()
    )


def is_among(value: Any, values: tuple[Any, ...] | None) -> bool:
    """Return whether a value is among values of the same type: 1 (batch) is not 1.0 (all batches). None
    allows all values."""
    return values is None or any(type(value) is type(other) and value == other for other in values)
