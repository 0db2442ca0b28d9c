"""Connectionist temporal classification (Graves et al., 2006): the loss of a transcript without alignment."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

# The output of a step that has no symbol. As a code of targets, it is their padding.
BLANK = 0


class CTCLoss(nn.Module):
    """Negative log-likelihood of transcripts, summed over all alignments with the steps of the outputs.

    A transcript needs a step for each symbol, and one more between equal neighbours; see `alignable`.
    """

    accepts: ClassVar = {"ctc"}
    lower_bound: ClassVar = 0.0

    def forward(self, log_probabilities: Tensor, steps: Tensor, y: Tensor, symbols: Tensor) -> Tensor:
        """Return the loss of each row in nats `(N,)`; 0 for transcripts that have no alignment.

        Args:
            log_probabilities: logarithms of probabilities of the blank and the symbols `(N, T, C)`.
            steps: number of steps of each row `(N,)`.
            y: codes of the symbols, padded with 0 `(N, S)`.
            symbols: number of symbols of each row `(N,)`.
        """
        return functional.ctc_loss(
            log_probabilities.transpose(0, 1),
            y,
            steps,
            symbols,
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )


def alignable(steps: Tensor, y: Tensor) -> Tensor:
    """Return whether transcripts `(N, S)`, padded with 0, can be aligned with their number of steps `(N,)`."""
    repeated = ((y[:, 1:] == y[:, :-1]) & (y[:, 1:] != BLANK)).sum(dim=1)
    return (y != BLANK).sum(dim=1) + repeated <= steps


def log_likelihoods(log_probabilities: Tensor, steps: Tensor, y: Tensor) -> Tensor:
    """Return the logarithm of the probability of texts `(N, S)`, padded with 0, over all alignments, `(N,)`."""
    symbols = (y != BLANK).sum(dim=1)
    return -torch.nn.functional.ctc_loss(
        log_probabilities.transpose(0, 1), y, steps, symbols, blank=BLANK, reduction="none"
    )
