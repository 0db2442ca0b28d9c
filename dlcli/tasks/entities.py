"""Entities in tags: numbers of true, predicted and correct ones, as defined by seqeval.

seqeval (Nakayama, 2018; mode None) and the evaluation script of CoNLL-2000 count an entity as correct if its first
word, last word and type are correct. An entity begins at B-, and at I- after O or another type; it ends before the next
word that is O, begins with B- or has another type. Tags here are IOB2 or plain; each word with a plain tag is an
entity.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dlcli.datasets.words.schemes import OUTSIDE, split_tag


class EntityTypes:
    """Entity types of tags, and whether each tag continues an entity.

    Args:
        tags: names of the tags, in the order of their codes.

    Attributes:
        names: names of the types.
    """

    def __init__(self, tags: Sequence[str]) -> None:
        parts = [split_tag(tag) for tag in tags]
        kinds = [kind or ("" if tag == OUTSIDE else tag) for tag, (_, kind) in zip(tags, parts, strict=True)]
        self.names = tuple(dict.fromkeys(kind for kind in kinds if kind))
        number = {name: place for place, name in enumerate(self.names)}
        self._types = torch.tensor([number.get(kind, -1) for kind in kinds])
        self._inside = torch.tensor([prefix == "I" for prefix, _ in parts])

    def counts(self, predicted: Tensor, y: Tensor) -> Tensor:
        """Return the numbers of true, predicted and correct entities of each type `(N, 3, K)`, float64.

        Args:
            predicted: codes of the words `(N, T)`; codes beyond the end of a row are ignored.
            y: their targets, negative beyond the end of a row.
        """
        words = y >= 0
        given, found = self._spans(y, words), self._spans(predicted, words)
        both = torch.where((given == found).all(dim=2), given[..., 1], -1)
        return torch.stack([self._totals(kinds) for kinds in (given[..., 1], found[..., 1], both)], dim=1)

    def _spans(self, codes: Tensor, words: Tensor) -> Tensor:
        """Return the last word and the type of the entity that begins at each word `(N, T, 2)`; -1 if none begins."""
        types = torch.where(words, self._types.to(codes.device)[codes.clamp_min(0)], -1)
        inside = self._inside.to(codes.device)[codes.clamp_min(0)] & (types >= 0)
        before = torch.nn.functional.pad(types[:, :-1], (1, 0), value=-1)
        begins = (types >= 0) & ~(inside & (before == types))
        # An entity extends to the word before the next one that begins an entity or belongs to none.
        places = torch.arange(codes.shape[1], device=codes.device).expand_as(codes)
        stops = torch.where(begins | (types < 0), places, codes.shape[1])
        nearest = torch.nn.functional.pad(stops[:, 1:], (0, 1), value=codes.shape[1])
        end = nearest.flip(1).cummin(dim=1).values.flip(1)
        spans = torch.stack([end, types], dim=2)
        return spans.masked_fill(~begins.unsqueeze(2), -1)

    def _totals(self, kinds: Tensor) -> Tensor:
        """Return the number of each type in each row `(N, K)`, given types `(N, T)`, -1 for none."""
        counts = torch.zeros(len(kinds), len(self.names) + 1, dtype=torch.float64, device=kinds.device)
        one = torch.ones((), dtype=torch.float64, device=kinds.device).expand_as(kinds)
        return counts.scatter_add_(1, kinds + 1, one)[:, 1:]
