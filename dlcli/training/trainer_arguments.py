"""How dlcli treats each argument of Lightning's trainer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Argument:
    """The treatment of one argument.

    Attributes:
        values: the accepted values, or None if every value that the trainer accepts is one.
        reason: why other values are refused.
        instead: what to do instead.
        chunks: the values with which Lightning need not see single steps; by default all accepted ones.
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
ARGUMENTS: Mapping[str, Argument] = {
    "accelerator": Argument(),
    "strategy": Argument(
        ("auto", "ddp"),
        "dlcli trains on one device, or on several with DistributedDataParallel",
        "Use trainer.strategy=ddp.",
        chunks=("auto", "ddp"),
    ),
    "devices": Argument(),
    "num_nodes": Argument(),
    "precision": Argument(
        (None, 32, "32", "32-true", "bf16", "bf16-mixed", 16, "16", "16-mixed"),
        "the weights, the preprocessing and the saved model have 32 bits",
        "Use trainer.precision=bf16-mixed, 16-mixed or 32.",
        chunks=(None, 32, "32", "32-true", "bf16", "bf16-mixed"),
    ),
    "max_epochs": Argument(),
    "min_epochs": Argument(),
    "max_steps": Argument(chunks=(-1,)),
    "min_steps": Argument(chunks=(None,)),
    "max_time": Argument(),
    "limit_train_batches": Argument(chunks=(None, 1.0)),
    "accumulate_grad_batches": Argument(chunks=(1,)),
    "gradient_clip_val": Argument(chunks=(None, 0, 0.0)),
    "gradient_clip_algorithm": Argument(),
    "deterministic": Argument(),
    "benchmark": Argument(),
    "inference_mode": Argument(),
    "detect_anomaly": Argument(chunks=(False,)),
    "profiler": Argument(chunks=(None,)),
    "limit_val_batches": Argument(
        (None, 1.0), _PARTIAL, "For fewer validation rows, use cv.val_size=0.05 or another share."
    ),
    "val_check_interval": Argument((None, 1.0), f"{_PARTIAL}: at the end of each epoch", _SHORT_EPOCHS),
    "check_val_every_n_epoch": Argument(
        (1,),
        "the best epoch is chosen among all epochs, so that each one is validated",
        "Remove it; fewer validation rows (cv.val_size=0.05) take less time.",
    ),
    "limit_test_batches": Argument((None, 1.0), _EVALUATION, "Remove it, or use trainer=debug."),
    "limit_predict_batches": Argument((None, 1.0), _EVALUATION, "Remove it, or predict fewer rows."),
    "overfit_batches": Argument(
        (0, 0.0),
        "validation would use training rows",
        "To see whether a model can fit a few batches, use trainer.limit_train_batches=2 monitor=train/loss.",
    ),
    "fast_dev_run": Argument((False, 0), "it would save nothing", "Use trainer=debug."),
    "barebones": Argument((False,), "it would save nothing", "Remove it: dlcli's steps are bare already."),
    "log_every_n_steps": Argument((None,), "dlcli records metrics after each epoch", "Remove it."),
    "use_distributed_sampler": Argument((True,), "each process reads its own part of every batch", "Remove it."),
    "sync_batchnorm": Argument(
        (False,),
        "it is not supported on several devices, and has no effect on one",
        "Use model.normalization=group, which does not depend on the batch.",
    ),
    "reload_dataloaders_every_n_epochs": Argument((0,), "the rows of a run do not change", "Remove it."),
    "plugins": Argument((None,), "dlcli passes its own plugins", "Remove it."),
    "enable_autolog_hparams": Argument((True,), "dlcli records the whole configuration", "Remove it."),
    "model_registry": Argument((None,), "dlcli saves no model to Lightning's registry", "Use dlcli export RUN."),
}  # fmt: skip


def refused(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Argument]]:
    """Yield the arguments, by name, whose values are not accepted."""
    for name, treatment in ARGUMENTS.items():
        if name in arguments and not is_among(arguments[name], treatment.values):
            yield name, treatment


def needs_single_steps(arguments: Mapping[str, Any]) -> bool:
    """Return whether an argument needs Lightning to see every single step."""
    return any(
        name in arguments and not is_among(arguments[name], treatment.chunks or treatment.values)
        for name, treatment in ARGUMENTS.items()
    )


def is_among(value: Any, values: tuple[Any, ...] | None) -> bool:
    """Return whether a value is among others of the same type: 1 (batch) is not 1.0 (all batches). None: all are."""
    return values is None or any(type(value) is type(other) and value == other for other in values)
