"""Choose `trainer.precision=auto`: bfloat16 on a CPU that computes it, if steps of the network are clearly faster.

The steps are measured once for an experiment, and the choice is recorded in the configuration of all of its runs, so
that resuming and repeating them measure nothing. Nothing is measured in a search over several models or precisions,
whose trials would otherwise depend on the network that happens to come first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch.nn.modules.conv import _ConvNd

from dlcli.assembly.automatic import AUTO, FULL_PRECISION, PRECISION, Automatic, AutomaticChoice
from dlcli.assembly.batch_rows import rows_of, takes_all_rows
from dlcli.assembly.optimization import make_optimizer, may_fuse
from dlcli.assembly.parts import Parts, assemble
from dlcli.distributed.lightning_trainer import build_trainer
from dlcli.errors import DlcliError
from dlcli.splits.split import Split
from dlcli.tasks.facts import target_facts
from dlcli.training.loader import BatchLoader
from dlcli.training.rehearsal import rehearse_step
from dlcli.training.step_times import fastest_steps

HALF_PRECISION = "bf16-mixed"

# Ratio of the times of a step from which on bfloat16 is chosen. Below, its rounding is not worth the time.
GAIN = 1.3

# Maximum number of rows that are prepared to measure a step.
_ROWS = 4096

_QUIET = {"enable_checkpointing": False, "enable_model_summary": False, "enable_progress_bar": False}


def choose_precision(automatic: Automatic, config: Mapping[str, Any]) -> AutomaticChoice:
    """Measure a few steps of a configuration's network in both precisions, and return the choice.

    They are measured on one CPU with instructions for bfloat16 (AMX or AVX512-BF16), if the network has convolutions.
    Otherwise, the choice is full precision. torch's random state is unchanged.

    Args:
        automatic: the rows of the smallest fold.
        config: the configuration, with all other values of `auto` resolved.

    Raises:
        ConfigError: the network cannot be trained in full precision.
    """
    if reason := _why_not_measured(config):
        return AutomaticChoice(PRECISION, FULL_PRECISION, reason)
    rows = automatic.rows[: min(rows_of(config["dataset"]["batch_size"], len(automatic.rows)), _ROWS)]
    none = automatic.rows[:0]
    with isolate_rng():
        facts = target_facts(automatic.data, automatic.rows)  # a few rows may lack classes
        split = Split(rows, none, none)
        parts = assemble(config, automatic.data, split, config["seed"], facts, len(rows))
        if not any(isinstance(layer, _ConvNd) for layer in parts.network.modules()):
            reason = "as the network has no convolutions"
            return AutomaticChoice(PRECISION, FULL_PRECISION, reason)
        return _measured(config, parts)


def _why_not_measured(config: Mapping[str, Any]) -> str:
    trainer = build_trainer({**config["trainer"], "precision": FULL_PRECISION}, logger=False, **_QUIET)
    if trainer.strategy.root_device.type != "cpu":
        return "as it is measured on a CPU only"
    if trainer.world_size > 1:
        return "as several processes train"
    if not computes_bfloat16():
        return "as the processor has neither AMX nor AVX512-BF16"
    if takes_all_rows(config):
        return "as each step solves on all rows"
    finetune = config["finetune"] or {}
    if finetune.get("cache") or finetune.get("tune") is False:
        return "as the features of a frozen backbone are computed once"
    return ""


def without_measuring(
    automatic: Automatic, config: Mapping[str, Any], searched: Collection[str]
) -> Automatic:
    """Return the object with full precision for all runs if models or precisions are searched, else unchanged.

    A search that continues keeps the precision that an earlier version measured for all of its trials.

    Args:
        automatic: the object of the experiment.
        config: the configuration of the first point, with its `auto`.
        searched: keys of the search space.
    """
    names = {"model": "models", PRECISION: "precisions"}
    if not (found := [name for key, name in names.items() if key in searched]):
        return automatic
    known = ((automatic.earlier or {}).get("trainer") or {}).get("precision")
    if config["trainer"].get("precision") == AUTO and known not in (None, AUTO, FULL_PRECISION):
        return replace(automatic, precision=AutomaticChoice(PRECISION, known, "as when the search started"))
    reason = f"as it is not measured in a search over {' and '.join(found)}"
    return replace(automatic, precision=AutomaticChoice(PRECISION, FULL_PRECISION, reason))


def computes_bfloat16() -> bool:
    """Return whether this processor has instructions for products of bfloat16: AMX or AVX512-BF16."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def _measured(config: Mapping[str, Any], parts: Parts) -> AutomaticChoice:
    network, task = parts.network.train(), parts.task
    batch = BatchLoader(
        parts.train, len(parts.train["y"]), tokens=config["dataset"].get("batch_tokens")
    ).batch(0)
    steps = []
    for precision in (FULL_PRECISION, HALF_PRECISION):
        section = {**config["trainer"], "precision": precision}
        plugin = build_trainer(section, logger=False, **_QUIET).precision_plugin
        optimizer = make_optimizer(config["optimizer"], network.trained_parameters(), fuse=may_fuse(section))
        steps.append(partial(rehearse_step, network, task, optimizer, plugin, dict(batch)))
    steps[0]()
    try:
        steps[1]()
    except DlcliError as error:
        reason = f"as {HALF_PRECISION} fails: {error.problems[0].message}"
        return AutomaticChoice(PRECISION, FULL_PRECISION, reason)
    full, half = fastest_steps(steps)
    value = HALF_PRECISION if full >= GAIN * half else FULL_PRECISION
    reason = (
        f"as a step takes {half * 1000:.3g} ms in {HALF_PRECISION}, {full * 1000:.3g} ms in {FULL_PRECISION}"
    )
    return AutomaticChoice(PRECISION, value, reason)
