"""Settings that folds choose for themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.cross_validation.children import Children
from dlcli.cross_validation.estimation import Fold


@dataclass(frozen=True)
class Choice:
    """What a fold is trained with.

    Attributes:
        params: key to the value that was chosen; empty where nothing was.
        config: the whole configuration.
    """

    params: dict[str, Any]
    config: dict[str, Any]


# Chooses for each fold, by looking at its training and validation rows alone.
Search = Callable[[Children, Sequence[Fold]], list[Choice]]


def chosen_by(folds: Sequence[Fold], choices: Sequence[Choice]) -> list[str]:
    """A sentence for each choice: `Folds 0, 2 chose optimizer.lr=0.01.`"""
    found: dict[str, list[str]] = {}
    for fold, choice in zip(folds, choices, strict=True):
        if choice.params and fold.repeat == 0:
            text = ", ".join(f"{key}={value}" for key, value in choice.params.items())
            found.setdefault(text, []).append(str(fold.number))
    return [
        f"{'Folds' if len(numbers) > 1 else 'Fold'} {', '.join(numbers)} chose {text}."
        for text, numbers in found.items()
    ]
