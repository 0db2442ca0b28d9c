"""Decoding the outputs of connectionist temporal classification: the best path, or a beam search over prefixes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dlcli.tasks.ctc_loss import BLANK

# Symbols whose probability in a step is below this one begin no prefix there: outputs are mostly near 0 or 1.
_LEAST = math.log(1e-5)


def best_paths(log_probabilities: Tensor, steps: Tensor) -> Tensor:
    """Return the symbols of the most likely alignment of each row, padded with 0, `(N, T)`.

    Args:
        log_probabilities: `(N, T, C)`.
        steps: number of steps of each row `(N,)`.
    """
    best = log_probabilities.argmax(dim=2)
    best[torch.arange(best.shape[1], device=best.device) >= steps.unsqueeze(1)] = BLANK
    before = torch.nn.functional.pad(best[:, :-1], (1, 0), value=BLANK)
    is_new = (best != BLANK) & (best != before)
    # A stable sort moves the symbols to the front without changing their order.
    order = (~is_new).to(torch.uint8).argsort(dim=1, stable=True)
    return best.masked_fill(~is_new, BLANK).gather(1, order)


def prefix_search(log_probabilities: Tensor, steps: Tensor, beam: int) -> Tensor:
    """Return the most likely texts that a search over prefixes finds, padded with 0, `(N, T)`.

    The probabilities of all alignments of a prefix are added (Hannun et al., First-Pass Large Vocabulary Continuous
    Speech Recognition using Bi-Directional Recurrent DNNs, 2014, without a language model).

    Args:
        log_probabilities: `(N, T, C)`.
        steps: number of steps of each row `(N,)`.
        beam: number of prefixes that are followed.
    """
    values = log_probabilities.double().cpu().numpy()
    found = np.full(values.shape[:2], BLANK, np.int64)
    for row, length in enumerate(steps.tolist()):
        text = _searched(values[row, :length], beam)
        found[row, : len(text)] = text
    return torch.from_numpy(found).to(log_probabilities.device)


# Logarithms of the probability that a prefix ends with a blank, and that it ends with its last symbol.
_Beams = dict[tuple[int, ...], tuple[float, float]]


def _searched(values: np.ndarray, beam: int) -> Sequence[int]:
    """Return the most likely text of one row `(T, C)`."""
    beams: _Beams = {(): (0.0, -math.inf)}
    symbols = [np.flatnonzero(step[1:] > _LEAST) + 1 for step in values]
    for step, likely in zip(values.tolist(), symbols, strict=True):
        grown: _Beams = {}
        for prefix, (blank, symbol) in beams.items():
            whole = _sum(blank, symbol)
            last = prefix[-1] if prefix else BLANK
            _add(grown, prefix, whole + step[BLANK], symbol + step[last] if prefix else -math.inf)
            for code in likely.tolist():
                # A repeated symbol is a new one only after a blank.
                _add(grown, (*prefix, code), -math.inf, (blank if code == last else whole) + step[code])
        ranked = sorted(grown, key=lambda prefix: (-_sum(*grown[prefix]), prefix))
        beams = {prefix: grown[prefix] for prefix in ranked[:beam]}
    return next(iter(beams))


def _add(beams: _Beams, prefix: tuple[int, ...], ends_blank: float, ends_symbol: float) -> None:
    """Add probabilities, given as logarithms, to those of a prefix."""
    blank, symbol = beams.get(prefix, (-math.inf, -math.inf))
    beams[prefix] = (_sum(blank, ends_blank), _sum(symbol, ends_symbol))


def _sum(first: float, second: float) -> float:
    """Return the logarithm of the sum of two numbers given as logarithms."""
    high, low = (first, second) if first > second else (second, first)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
