"""Greedy decoding and beam search for sequence-to-sequence models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from dlcli.preprocessing.subwords import END, PADDING, START

State = tuple[Tensor, ...]


@runtime_checkable
class Decodes(Protocol):
    """A model that generates sequences. All tensors have one entry per row, `(N, ...)`."""

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[State, State]:
        """Return the memory of the sources for `decode`, and the state before the first token."""

    def decode(self, tokens: Tensor, memory: State, state: State) -> tuple[Tensor, State]:
        """Return the logits `(N, V)` of the token after `tokens` `(N,)`, and the state after these."""


@dataclass(frozen=True)
class Decoded:
    """Generated sequences.

    Attributes:
        tokens: padded tokens `(N, T)` without the end token.
        scores: log-probability of each sequence including its end `(N,)`.
        lengths: number of tokens including the end `(N,)`; a truncated sequence has no end.
        is_ended: whether a sequence has an end `(N,)`.
    """

    tokens: Tensor
    scores: Tensor
    lengths: Tensor
    is_ended: Tensor


def generated(
    model: Any, x: Tensor, lengths: Tensor, steps: int, beam: int = 1, length_penalty: float = 1.0
) -> Decoded:
    """Return a sequence for each source.

    Args:
        model: `Decodes`.
        x: source tokens `(N, S)`.
        lengths: of the sources `(N,)`.
        steps: maximum number of tokens.
        beam: number of beams; 1 is greedy decoding.
        length_penalty: exponent of the length by which the score of a finished sequence is divided.
    """
    return (
        greedy(model, x, lengths, steps)
        if beam == 1
        else beam_search(model, x, lengths, steps, beam, length_penalty)
    )


def greedy(model: Any, x: Tensor, lengths: Tensor, steps: int) -> Decoded:
    """Return the sequences of the most likely tokens; see `generated` for the arguments."""
    rows = len(x)
    memory, state = model.encode(x, lengths)
    tokens = x.new_full((rows,), START)
    found = x.new_full((rows, steps), PADDING)
    scores = torch.zeros(rows, device=x.device)
    counts = torch.zeros_like(tokens)
    ended = torch.zeros_like(tokens, dtype=torch.bool)
    for step in range(steps):
        logits, state = model.decode(tokens, memory, state)
        logits = _without_special(logits)
        best, tokens = logits.max(dim=1)
        scores += (best - logits.logsumexp(dim=1)).masked_fill(ended, 0)
        counts += ~ended
        tokens = tokens.masked_fill(ended, PADDING)
        found[:, step] = tokens
        ended |= tokens == END
        if bool(ended.all()):
            break
    return Decoded(found.masked_fill_(found == END, PADDING), scores, counts, ended)


def beam_search(
    model: Any, x: Tensor, lengths: Tensor, steps: int, beam: int, length_penalty: float
) -> Decoded:
    """Return the sequences with the best length-normalized scores.

    In each step, a row's `2 * beam` best continuations are considered: finished ones among the first `beam` are kept if
    they are better than the best finished one, and the first `beam` unfinished ones are continued. A row is done when
    `beam` sequences are finished, or no other one can become better (Wu et al., 2016). See `generated` for the
    arguments.
    """
    rows, device = len(x), x.device
    memory, state = model.encode(x, lengths)
    memory, state = (
        tuple(part.repeat_interleave(beam, dim=0) for part in parts) for parts in (memory, state)
    )
    first = torch.arange(rows, device=device)[:, None] * beam  # of each row's sequences
    tokens = x.new_full((rows * beam,), START)
    alive = torch.full((rows, beam), -math.inf, device=device)
    alive[:, 0] = 0
    sequences = x.new_full((rows, beam, steps), PADDING)
    best = torch.full((rows,), -math.inf, device=device)
    result = Decoded(
        sequences[:, 0].clone(),
        torch.zeros_like(best),
        x.new_zeros(rows),
        torch.zeros_like(best, dtype=torch.bool),
    )
    endings = x.new_zeros(rows)
    done = torch.zeros_like(result.is_ended)
    for step in range(steps):
        logits, state = model.decode(tokens, memory, state)
        each, choices = _without_special(logits.float()).log_softmax(dim=1).topk(2 * beam, dim=1)
        candidates = (alive[:, :, None] + each.view(rows, beam, -1)).flatten(1)
        scores, places = candidates.topk(2 * beam, dim=1)
        chosen = choices.view(rows, -1).gather(1, places)
        parents = places // (2 * beam)
        ends = (chosen == END) & (scores > -math.inf)
        # The first finished continuation of a row is the best one.
        ending = ends[:, :beam] & ~done[:, None]
        ranked = (scores[:, :beam] / (step + 1) ** length_penalty).masked_fill(~ending, -math.inf)
        top, which = ranked.max(dim=1)
        better = top > best
        best = torch.where(better, top, best)
        at = which[:, None]
        sequence = sequences.gather(1, parents.gather(1, at)[:, :, None].expand(-1, -1, steps))[:, 0]
        result.tokens[better] = sequence[better]
        result.scores[better] = scores.gather(1, at)[:, 0][better]
        result.lengths[better] = step + 1
        result.is_ended[better] = True
        endings += ending.sum(dim=1)
        alive, kept = scores.masked_fill(ends, -math.inf).topk(beam, dim=1)
        tokens, parents = chosen.gather(1, kept), parents.gather(1, kept)
        sequences = sequences.gather(1, parents[:, :, None].expand(-1, -1, steps))
        sequences[:, :, step] = tokens
        most = alive[:, 0] / (steps if length_penalty > 0 else step + 1) ** length_penalty
        done |= (endings >= beam) | (best >= most)
        if bool(done.all()):
            break
        order = (first + parents).flatten()
        state, tokens = tuple(part.index_select(0, order) for part in state), tokens.flatten()
    open_rows = ~result.is_ended
    result.tokens[open_rows] = sequences[:, 0][open_rows]
    result.scores[open_rows] = alive[:, 0][open_rows]
    result.lengths[open_rows] = steps
    return result


def _without_special(logits: Tensor) -> Tensor:
    """Return the logits with padding and start excluded, in place."""
    logits[:, : max(PADDING, START) + 1] = -math.inf
    return logits
