"""Targets of the toy configuration, with signatures as users write them and without heavy imports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

if TYPE_CHECKING:
    from nowhere import Unknown


class Recorded:
    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments


class Net(Recorded):
    def __init__(
        self,
        input_shape: tuple[int, ...],
        hidden: Annotated[int, Ge(1)] | list[int] = 8,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        activation: Literal["relu", "tanh"] = "relu",
        extra: Unknown | None = None,
        bias: bool = None,  # type: ignore[assignment]  # noqa: RUF013
        weights: dict[str, float] | None = None,
    ) -> None:
        super().__init__(input_shape=input_shape, hidden=hidden, dropout=dropout, activation=activation)


class Open(Recorded):
    def __init__(self, size: int = 1, **arguments: Any) -> None:
        super().__init__(size=size, **arguments)


class Adam(Recorded):
    def __init__(
        self,
        params: object,
        lr: Annotated[float, Gt(0)] = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params=params, lr=lr, betas=betas)


class Loss(Recorded):
    def __init__(self, smoothing: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(smoothing=smoothing, reduction=reduction)


class Task(Recorded):
    def __init__(self, loss: Loss, parts: list[Loss] | None = None, average: str = "macro") -> None:
        super().__init__(loss=loss, parts=parts, average=average)


class Stop(Recorded):
    def __init__(self, monitor: str, patience: int = 3) -> None:
        if patience < 0:
            raise ValueError("patience must not be negative")
        super().__init__(monitor=monitor, patience=patience)


def load(root: str = "data", columns: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    return {"root": root, "columns": columns}


CONSTANT = 3
