"""Train the classifier that judges made images, on the training rows of a split."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dlcli.assembly.parts import Parts
from dlcli.config.build import build
from dlcli.tasks.generate import Generate
from dlcli.tasks.judge import Judge, JudgeFacts
from dlcli.tasks.metric_choice import with_metrics
from dlcli.training.fields import Fields
from dlcli.training.loader import BatchLoader

# Steps of training: two passes over the rows of MNIST, and on fewer rows as many, with smaller batches.
_STEPS, _LR, _SMOOTHING = 470, 0.02, 0.05
_SMALLEST, _LARGEST = 32, 256

# Training rows whose features stand for the best that can be expected.
_REFERENCE = 2000

# The same for all runs, so that those on the same training rows are judged by the same judge.
_SEED = 0

# The last judge, for the trials of a sweep and for further runs of a process.
_known: dict[str, JudgeFacts] = {}


def with_judge(config: Mapping[str, Any], parts: Parts) -> tuple[Parts, dict[str, str]]:
    """Return the parts with a judge in the task, trained on the training rows, and the line for the panel.

    Tasks that make no images are left as they are. Torch's random state is left as it is.
    """
    if not isinstance(parts.task, Generate):
        return parts, {}
    started = time.perf_counter()
    rows = parts.val if parts.val is not None else parts.train
    key = _digest(parts.train) + _digest(rows)
    is_known = bool(key) and key in _known
    facts = _known[key] if is_known else _judged(parts.train, rows, parts.task.num_outputs)
    if key and not is_known:
        _known.clear()
        _known[key] = facts
    own = {
        f"judge_{name}": list(fact) if isinstance(fact, tuple) else fact
        for name, fact in asdict(facts).items()
    }
    targets = {**parts.target_facts, **own}
    task = build(with_metrics(config["task"], config.get("metric")), where="task", **targets)
    took = "of an earlier run on the same rows" if is_known else f"in {time.perf_counter() - started:.1f} s"
    whose = f"{len(rows['y']):,} {'validation' if parts.val is not None else 'training'} rows"
    line = f"a CNN trained on the training rows {took}, accuracy {facts.accuracy:.3f} on the {whose}"
    return replace(parts, task=task, target_facts=targets), {"judge": line}


def _judged(train: Fields, held_out: Fields, classes: int) -> JudgeFacts:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        channels, height, width = train["x"].shape[1:]
        judge = Judge((channels, height, width), classes)
        _train(judge, train)
    return judge.to_facts(_reference(judge, train), _accuracy(judge, held_out))


def _digest(rows: Fields) -> str:
    """Return a digest of images and classes in memory; empty for others."""
    x, y = rows["x"], rows["y"][:]
    if not isinstance(x, Tensor):
        return ""
    digest = hashlib.blake2b(repr((x.shape, x.dtype)).encode(), digest_size=16)
    for values in (x, y[:, 0]):
        digest.update(np.ascontiguousarray(values.numpy()).data.cast("B"))
    return digest.hexdigest()


def _train(judge: Judge, rows: Fields) -> None:
    """Train a judge with a one-cycle schedule, in place."""
    size = min(_LARGEST, max(_SMALLEST, len(rows["y"]) // 40))
    optimizer = torch.optim.AdamW(judge.parameters(), lr=_LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=_STEPS)
    batches = BatchLoader(rows, size, shuffle=True, seed=_SEED)
    step = 0
    judge.train()
    while step < _STEPS:
        for batch in islice(batches, _STEPS - step):
            _, logits = judge(batch["x"])
            optimizer.zero_grad()
            functional.cross_entropy(logits, batch["y"][:, 0], label_smoothing=_SMOOTHING).backward()
            optimizer.step()
            schedule.step()
            step += 1
        batches.epoch += 1


def _reference(judge: Judge, rows: Fields) -> Tensor:
    """Set the scale of a judge's features, and return those of some training rows, as `JudgeFacts` has them."""
    number = len(rows["y"])
    chosen = torch.linspace(0, number - 1, min(number, _REFERENCE), dtype=torch.float64).long()
    features, seen = judge.judged(rows["x"].index_select(0, chosen))
    judge.scale.copy_(features.var(dim=0).mean().sqrt().clamp_min(1e-12))
    codes = rows["y"].index_select(0, chosen)[:, 0]
    return torch.cat([codes[:, None].float(), seen[:, None].float(), features / judge.scale], dim=1)


def _accuracy(judge: Judge, rows: Fields) -> float:
    """Return the share of rows whose class a judge sees."""
    right = sum(
        int((judge.judged(batch["x"])[1] == batch["y"][:, 0]).sum()) for batch in BatchLoader(rows, _LARGEST)
    )
    return right / len(rows["y"])
