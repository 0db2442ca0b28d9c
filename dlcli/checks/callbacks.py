"""Checks of callbacks: which of Lightning's work in dlcli, and what replaces the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from inspect import isfunction, signature
from typing import Any

from pytorch_lightning import callbacks

from dlcli.config.build import locate
from dlcli.errors import Problem
from dlcli.process.own_frame import own_place

# Lightning's callbacks that work, also in a resumed run. User-defined callbacks are accepted as well.
WORKING = (
    callbacks.Callback,
    callbacks.EarlyStopping,
    callbacks.GradientAccumulationScheduler,
    callbacks.LambdaCallback,
    callbacks.Timer,
)

_OWN_CHECKPOINTS = (
    "would write checkpoints in addition to those of dlcli",
    "The best weights and the last state are always saved: see tracking.checkpoint_minutes.",
)
_OWN_DISPLAY = (
    "would write to the terminal in addition to dlcli",
    "Remove it: dlcli shows and records the same.",
)
_NO_LOGGER = "needs a logger of Lightning, but dlcli records to MLflow itself"

# Callback to the reason why it is refused, and what to do instead.
REFUSED: Mapping[type[callbacks.Callback], tuple[str, str]] = {
    callbacks.WeightAveraging: ("has no effect on the saved weights", "Use weight_averaging=ema."),
    callbacks.EMAWeightAveraging: ("has no effect on the saved weights", "Use weight_averaging=ema."),
    callbacks.StochasticWeightAveraging: ("has no effect on the saved weights", "Use weight_averaging=swa."),
    callbacks.LearningRateFinder: ("has no effect on the recorded rate", "Use finder=lr."),
    callbacks.BatchSizeFinder: ("has no effect on dlcli's batches", "Use finder=batch_size."),
    callbacks.LearningRateMonitor: (_NO_LOGGER, "Remove it: each epoch's rate is recorded as the metric lr."),
    callbacks.DeviceStatsMonitor: (_NO_LOGGER, "Use tracking.system_metrics=true."),
    callbacks.ThroughputMonitor: (
        _NO_LOGGER,
        "Remove it: each epoch's speed is recorded as the metric samples_per_second.",
    ),
    callbacks.Checkpoint: _OWN_CHECKPOINTS,
    callbacks.ModelCheckpoint: _OWN_CHECKPOINTS,
    callbacks.OnExceptionCheckpoint: _OWN_CHECKPOINTS,
    callbacks.ProgressBar: _OWN_DISPLAY,
    callbacks.TQDMProgressBar: _OWN_DISPLAY,
    callbacks.RichProgressBar: _OWN_DISPLAY,
    callbacks.ModelSummary: _OWN_DISPLAY,
    callbacks.RichModelSummary: _OWN_DISPLAY,
    callbacks.BasePredictionWriter: (
        "is never called: dlcli predicts with the saved model",
        "Use dlcli predict.",
    ),
    callbacks.BaseFinetuning: (
        "changes the trained parameters, which dlcli's checkpoints would not record",
        "Use finetune=gradual_unfreezing.",
    ),
    callbacks.BackboneFinetuning: (
        "changes the trained parameters, which dlcli's checkpoints would not record",
        "Use finetune=gradual_unfreezing.",
    ),
    callbacks.ModelPruning: (
        "replaces parameters by masked ones, which the saved model does not have",
        "Prune the network of a finished run in Python: dlcli.load_run(RUN).",
    ),
    callbacks.SpikeDetection: (
        "keeps the batches to skip outside of the checkpoint, so that a resumed run would differ",
        "Clip the gradients instead: trainer.gradient_clip_val=1.0.",
    ),
}


def find_callback_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield Lightning's callbacks that do not work in dlcli, each with what to do instead."""
    for name, node in config["callbacks"].items():
        kind = locate(node["_target_"]) if node else None
        if not isinstance(kind, type):
            continue
        # The nearest base class decides: a user's subclass is treated like Lightning's class.
        base = next((base for base in kind.__mro__ if base in REFUSED or base in WORKING), None)
        if base is not None and base in REFUSED:
            reason, instead = REFUSED[base]
            yield Problem(f"{kind.__name__} {reason}", f"callbacks.{name}", instead)
        elif own_place(kind):
            yield from _wrong_hooks(kind, f"callbacks.{name}")


def _wrong_hooks(kind: type, where: str) -> Iterator[Problem]:
    """Yield the methods of a user's callback that look like hooks but are none, or lack an argument."""
    for name, method in vars(kind).items():
        if not isfunction(method) or not name.startswith("on_"):
            continue
        place = own_place(method)
        hook = getattr(callbacks.Callback, name, None)
        if hook is None:
            if near := get_close_matches(
                name, [hook for hook in dir(callbacks.Callback) if hook[:3] == "on_"], 1
            ):
                message = f"{kind.__name__}.{name} is never called: Lightning has no such hook{place}"
                yield Problem(message, where, f"Did you mean {near[0]}?")
            continue
        given = signature(hook).parameters
        try:
            signature(method).bind(*given)
        except TypeError:
            message = f"{kind.__name__}.{name} cannot be called with the arguments of the hook{place}"
            yield Problem(message, where, f"Write def {name}({', '.join(given)}).")
