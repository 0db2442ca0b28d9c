"""An object in place of a plain value is reported as such, not as an exception of the code that receives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import pytest
from pytorch_lightning.profilers import Profiler
from torch import Tensor, nn

from dlcli.config.made_objects import mismatch_of_objects
from dlcli.config.signature import UNKNOWN, Argument

RELU = {"_target_": "torch.nn.ReLU"}


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str | timedelta | dict[str, int] | None, RELU),
        (str | timedelta | dict[str, int] | None, {"hours": RELU}),
        (int | float | None, RELU),
        (Literal["a", "b"], RELU),
        (list[int] | int, [1, RELU]),
        (list[int] | int, {"a": RELU}),
        (float, {**RELU, "_partial_": True}),
        (type(None), RELU),
        (str | Profiler | None, RELU),
    ],
)
def test_an_object_that_does_not_fit_is_reported(annotation: Any, value: Any) -> None:
    text = mismatch_of_objects(value, Argument(annotation, None, required=False), "trainer.x")
    assert text is not None and "torch.nn.ReLU" in text and text.startswith("should be ")


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (UNKNOWN, RELU),
        (Any, RELU),
        (object, RELU),
        (nn.Module | None, RELU),
        (nn.Linear | None, RELU),
        (Sequence[nn.Module], [RELU]),
        (Mapping[str, nn.Module], {"a": RELU}),
        (tuple[nn.Module, ...], [RELU, RELU]),
        (Callable[[Tensor], Tensor], RELU),
        (float | Tensor, {"_target_": "torch.tensor", "data": 0.1}),
        (float, {"_target_": "builtins.int"}),
        (int, {"_target_": "no.such.module"}),
        (int, 3),
    ],
)
def test_what_may_fit_is_left_to_its_receiver(annotation: Any, value: Any) -> None:
    assert mismatch_of_objects(value, Argument(annotation, None, required=False), "trainer.x") is None
