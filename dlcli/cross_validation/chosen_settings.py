"""Settings that a search chooses separately for each fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.config.build import TARGET, locate
from dlcli.cross_validation.children import Children
from dlcli.cross_validation.estimation import Fold
from dlcli.splits.nested import Nested


@dataclass(frozen=True)
class FoldSettings:
    """The settings of one fold.

    Attributes:
        params: Key to chosen value; empty without a search.
        config: The complete configuration.
    """

    params: dict[str, Any]
    config: dict[str, Any]


# Chooses the settings of each fold, using only its training and validation rows.
Search = Callable[[Children, Sequence[Fold]], list[FoldSettings]]


def searches_in_folds(config: Mapping[str, Any]) -> bool:
    """Return whether each fold searches for its own settings (`cv=nested`)."""
    strategy = locate(config["cv"][TARGET])
    return isinstance(strategy, type) and issubclass(strategy, Nested)


def chosen_by(folds: Sequence[Fold], choices: Sequence[FoldSettings]) -> list[str]:
    """Return a sentence for each distinct choice: `Folds 0, 2 chose optimizer.lr=0.01.`"""
    found: dict[str, list[str]] = {}
    for fold, choice in zip(folds, choices, strict=True):
        if choice.params and fold.repeat == 0:
            text = ", ".join(f"{key}={value}" for key, value in choice.params.items())
            found.setdefault(text, []).append(str(fold.number))
    return [
        f"{'Folds' if len(numbers) > 1 else 'Fold'} {', '.join(numbers)} chose {text}."
        for text, numbers in found.items()
    ]
