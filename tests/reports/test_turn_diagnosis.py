"""The diagnosis of the training of a GAN follows from the measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dlcli.reports.turn_diagnosis import diagnose_turns


def said(**values: Sequence[float]) -> str:
    history = {name.replace("_", "/", 1): list(enumerate(each)) for name, each in values.items()}
    return diagnose_turns(history)


HEALTHY = [1.2, 1.1, 1.0, 1.0, 1.1, 1.0]


def test_only_what_was_measured_is_named() -> None:
    falling = [9.0, 5.0, 3.0, 2.0, 2.1, 2.2]
    assert "no sign of mode collapse, or of a discriminator that wins" in said(
        val_frechet=falling, val_diversity=HEALTHY, train_discriminator_loss=HEALTHY
    )
    alone = said(val_frechet=falling, train_discriminator_loss=HEALTHY)
    assert "no sign of a discriminator that wins" in alone and "collapse" not in alone
    assert "no sign" not in said(val_frechet=falling)


def test_distances_that_are_not_finite() -> None:
    assert "NaN in all epochs" in said(val_frechet=[math.nan] * 5, val_diversity=HEALTHY)
    assert "was not computed" in said(val_diversity=HEALTHY)
    ended = said(val_frechet=[4.0, 2.0, 3.0, math.nan])
    assert "lowest at epoch 2 (2) and is NaN at the end" in ended


def test_classes_that_are_dropped_and_a_discriminator_that_has_won() -> None:
    falling = [9.0, 5.0, 3.0, 2.0, 2.0]
    assert "cover 4 classes, after 10" in said(val_frechet=falling, val_modes=[8, 10, 9, 5, 4])
    assert "vary 0.01 times" in said(val_frechet=falling, val_diversity=[1, 1, 1, 0.5, 0.01])
    assert "almost always" in said(val_frechet=falling, train_discriminator_loss=[1, 1, 0.5, 0.2, 0.01])
