"""The judge of generated images: a classifier trained on the training rows of a split, or that of a saved run."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dlcli.assembly.parts import Parts
from dlcli.assembly.run_judge import fit_components, judge_of_run
from dlcli.config.build import build
from dlcli.formatting import counted
from dlcli.tasks.generate import Generate
from dlcli.tasks.judge import FEATURES, Judge, JudgeFacts
from dlcli.tasks.metric_choice import with_metrics
from dlcli.training.fields import Fields
from dlcli.training.loader import BatchLoader

# Steps of training: two passes over the rows of MNIST; for fewer rows the same number, with smaller batches.
_STEPS, _LR, _SMOOTHING = 470, 0.02, 0.05
_SMALLEST, _LARGEST = 32, 256

_WARM, _TIMED = 2, 5  # steps of an estimate

# Number of training rows whose features represent the best possible result.
_REFERENCE = 2000

# The same for all runs, so that those on the same training rows are judged by the same judge.
_SEED = 0

# The last judge, for the trials of a sweep and for further runs of a process.
_known: dict[str, JudgeFacts] = {}


def with_judge(config: Mapping[str, Any], parts: Parts) -> tuple[Parts, dict[str, str]]:
    """Return the parts with a judge in the task, trained on the training rows, and the line for the panel.

    Tasks that do not generate images, and torch's random state, are not changed.
    """
    if not isinstance(parts.task, Generate):
        return parts, {}
    started = time.perf_counter()
    rows = parts.val if parts.val is not None else parts.train
    kind = "validation" if parts.val is not None else "training"
    if config["task"].get("judge"):
        facts, text = _of_run(config, parts.train, rows, parts.task.classes, kind)
    else:
        key = _digest(parts.train) + _digest(rows)
        is_known = bool(key) and key in _known
        facts = _known[key] if is_known else _judged(parts.train, rows, parts.task.num_outputs, kind)
        if key and not is_known:
            _known.clear()
            _known[key] = facts
        took = (
            "of an earlier run on the same rows" if is_known else f"in {time.perf_counter() - started:.1f} s"
        )
        text = f"a CNN trained on the training rows {took}, "
    own = {
        f"judge_{name}": list(fact) if isinstance(fact, tuple) else fact
        for name, fact in asdict(facts).items()
    }
    targets = {**parts.target_facts, **own}
    task = build(with_metrics(config["task"], config.get("metric")), where="task", **targets)
    line = f"{text}accuracy {facts.accuracy:.3f} on the {len(rows['y']):,} {kind} rows"
    return replace(parts, task=task, target_facts=targets), {"judge": line}


def judge_seconds(config: Mapping[str, Any], parts: Parts) -> float:
    """Return the seconds that training the judge takes, estimated from a few steps; 0 if none is trained.

    Torch's random state changes.
    """
    if not isinstance(parts.task, Generate) or config["task"].get("judge"):
        return 0.0
    channels, height, width = parts.train["x"].shape[1:]
    judge = Judge((channels, height, width), parts.task.num_outputs)
    _train(judge, parts.train, _WARM)
    started = time.perf_counter()
    _train(judge, parts.train, _TIMED)
    return (time.perf_counter() - started) / _TIMED * _STEPS


def _of_run(
    config: Mapping[str, Any], train: Fields, rows: Fields, classes: Sequence[str], kind: str
) -> tuple[JudgeFacts, str]:
    judge, name = judge_of_run(config, train["x"].shape[1:], classes)
    share = fit_components(judge, train["x"].index_select(0, _reference_rows(train)))
    facts = judge.to_facts(_reference(judge, train), _accuracy(judge, rows), kind, name)
    features = len(judge.components)
    return facts, (
        f"the classifier of {name}, whose training rows are unknown, by {min(FEATURES, features)} principal components "
        f"({share:.1%} of the variance) of its {counted(features, 'feature')}; "
    )


def _judged(train: Fields, held_out: Fields, classes: int, kind: str) -> JudgeFacts:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        channels, height, width = train["x"].shape[1:]
        judge = Judge((channels, height, width), classes)
        _train(judge, train, _STEPS)
    return judge.to_facts(_reference(judge, train), _accuracy(judge, held_out), kind)


def _digest(rows: Fields) -> str:
    """Return a digest of images and classes in memory; empty for others."""
    x, y = rows["x"], rows["y"][:]
    if not isinstance(x, Tensor):
        return ""
    digest = hashlib.blake2b(repr((x.shape, x.dtype)).encode(), digest_size=16)
    for values in (x, y[:, 0]):
        digest.update(np.ascontiguousarray(values.numpy()).data.cast("B"))
    return digest.hexdigest()


def _train(judge: Judge, rows: Fields, steps: int) -> None:
    """Train a judge with a one-cycle schedule, in place."""
    size = min(_LARGEST, max(_SMALLEST, len(rows["y"]) // 40))
    optimizer = torch.optim.AdamW(judge.parameters(), lr=_LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=steps)
    batches = BatchLoader(rows, size, shuffle=True, seed=_SEED)
    step = 0
    judge.train()
    while step < steps:
        for batch in islice(batches, steps - step):
            _, logits = judge(batch["x"])
            optimizer.zero_grad()
            functional.cross_entropy(logits, batch["y"][:, 0], label_smoothing=_SMOOTHING).backward()
            optimizer.step()
            schedule.step()
            step += 1
        batches.epoch += 1


def _reference(judge: Judge, rows: Fields) -> Tensor:
    """Set the scale of a judge's features, and return those of some training rows, as `JudgeFacts` has them."""
    chosen = _reference_rows(rows)
    features, seen = judge.judged(rows["x"].index_select(0, chosen))
    judge.scale.copy_(features.var(dim=0).mean().sqrt().clamp_min(1e-12))
    codes = rows["y"].index_select(0, chosen)[:, 0]
    return torch.cat([codes[:, None].float(), seen[:, None].float(), features / judge.scale], dim=1)


def _reference_rows(rows: Fields) -> Tensor:
    """Return the numbers of rows that are spread evenly, and of the first row of each class."""
    number = len(rows["y"])
    even = torch.linspace(0, number - 1, min(number, _REFERENCE), dtype=torch.float64).long()
    _, first = np.unique(rows["y"][:][:, 0].numpy(), return_index=True)
    return torch.cat([even, torch.from_numpy(first)]).unique()


def _accuracy(judge: Judge, rows: Fields) -> float:
    """Return the share of rows whose class a judge recognizes."""
    right = sum(
        int((judge.judged(batch["x"])[1] == batch["y"][:, 0]).sum()) for batch in BatchLoader(rows, _LARGEST)
    )
    return right / len(rows["y"])
