"""The training runs of an experiment: each split with each seed, as jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from dlcli.datasets.data import Data
from dlcli.job import Job
from dlcli.splits.split import Part, Split, shares_rows, without_overlap
from dlcli.training.loader import derive_seed


@dataclass(frozen=True)
class Fold:
    """One training run: a split and a seed.

    Attributes:
        number: Number of the split, from 0.
        repeat: Number of the training seed, from 0.
        split: Row numbers of the split.
        seed: Seed of initial weights, order of rows and dropout.
        share: Share of the split's training rows that it is trained on.
    """

    number: int
    repeat: int
    split: Split
    seed: int
    share: float = 1.0


@dataclass(frozen=True, eq=False)
class Estimation:
    """Configuration, data and splits for estimating the performance of a configuration.

    Attributes:
        config: The resolved configuration.
        data: Rows of the dataset.
        splits: One split per fold.
        final_test: Numbers of the rows that are in no fold; a refitted model is tested on them.
        code: Folders of the user's code.
        shares: For each split, the share of the training rows that it keeps, in descending order; empty if all splits
            keep all rows.
    """

    config: dict[str, Any]
    data: Data
    splits: Sequence[Split]
    final_test: np.ndarray
    code: tuple[str, ...]
    shares: tuple[float, ...] = ()

    @property
    def folds(self) -> list[Fold]:
        """The training runs. With one seed it is the configuration's; several seeds are derived from that."""
        seed, seeds = self.config["seed"], self.config["cv"]["seeds"]
        single = len(self.splits) == seeds == 1
        return [
            Fold(number, repeat, split, seed if single else derive_seed(seed, repeat, number), share)
            for repeat in range(seeds)
            for number, (split, share) in enumerate(self._with_shares)
        ]

    @property
    def _with_shares(self) -> list[tuple[Split, float]]:
        return list(zip(self.splits, self.shares or (1.0,) * len(self.splits), strict=True))

    @property
    def is_single(self) -> bool:
        """Whether there is a single training run, which needs no parent run."""
        return len(self.splits) == 1 and self.config["cv"]["seeds"] == 1 and not self.config["cv"]["refit"]

    @property
    def refits_holdout(self) -> bool:
        """Whether the model of a hold-out is to be refitted on training and validation rows before it is tested."""
        (first, *more) = self.splits
        return bool(self.config["cv"]["refit"]) and not more and shares_rows(first.test, self.final_test)

    @property
    def whole(self) -> Split:
        """The split of a refit: all rows of the folds for training, and the final test rows for the test.

        For a single split that is not refitted, it is this split.
        """
        if self.refits_holdout:
            (split,) = self.splits
            if self.data.reach is not None and not self.config["trainer"].get("limit_rows"):
                # Windows of a series that reach into two parts belong to neither, but can be trained on here.
                rows = np.setdiff1d(np.arange(len(self.data)), split.test)
                return Split(without_overlap(self.data, rows, split.test), split.val[:0], split.test)
            return Split(np.sort(np.concatenate([split.train, split.val])), split.val[:0], split.test)
        if len(self.splits) == 1:
            return self.splits[0]
        if self.config["trainer"].get("limit_rows"):
            rows = np.concatenate([s.rows(part) for s in self.splits for part in get_args(Part)])
        else:
            rows = np.arange(len(self.data))
        none = self.final_test[:0]
        rows = np.setdiff1d(rows, self.final_test)
        return Split(without_overlap(self.data, rows, self.final_test), none, self.final_test)

    @property
    def trained(self) -> list[Split]:
        """The splits of all training runs: those of the folds, and that of a refit."""
        return [*self.splits, *([self.whole] if self.config["cv"]["refit"] else ())]

    def for_choosing(self) -> Estimation:
        """Return the estimation for choosing among configurations, whose splits have no test rows.

        The held-out rows of a fold become its validation rows, for early stopping and the choice of the epoch, and its
        validation rows become training rows.
        """
        none = self.final_test[:0]
        splits = []
        for split in (split for split, share in self._with_shares if share == 1):
            held_out = np.setdiff1d(split.test, self.final_test)
            if len(held_out):
                splits.append(Split(np.sort(np.concatenate([split.train, split.val])), held_out, none))
            else:
                splits.append(Split(split.train, split.val, none))
        return replace(self, splits=splits, shares=())

    @property
    def fingerprint(self) -> str:
        """A digest of all splits; runs with equal digests can be compared fold by fold."""
        if len(self.splits) == 1:
            return self.splits[0].fingerprint
        prints = "".join(split.fingerprint for split in self.splits)
        return hashlib.blake2b(prints.encode(), digest_size=16).hexdigest()

    def job(self, run_dir: Path, fold: Fold, config: dict[str, Any] | None = None) -> Job:
        """Return the job of a training run."""
        aside = 0 if shares_rows(fold.split.test, self.final_test) else len(self.final_test)
        settings = config or self.config
        return Job(settings, str(run_dir), fold.seed, self.code, slim=not self.is_single, final_test=aside)
